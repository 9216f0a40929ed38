import { Client } from 'pg';
import { expect, it } from 'vitest';
import { decodeId } from '../src/platform/ids.ts';
import { runSql, selectSql } from './harness/database.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { stall } from './harness/stall.ts';

const scene = useScene();

const connected = async (): Promise<Client> => {
  const client = new Client({ connectionString: scene.database.url });
  await client.connect();
  return client;
};

/** Statements of the program that wait for a lock now. */
const waiting = (like: string): Promise<unknown[]> =>
  selectSql(
    scene.database.url,
    `select from pg_stat_activity where wait_event_type = 'Lock' and query like $1 and datname = current_database()`,
    [like],
  );

const lanesOf = (id: string): Promise<{ resting: boolean }[]> =>
  selectSql(scene.database.url, `select next_due_at is not null as resting from lane where webhook_id = $1`, [
    decodeId('webhook', id),
  ]);

it.each(['ACTIVE', 'PAUSED'])(
  'what is published while its webhook, which was %s, is deleted ends, though the lane was swept before',
  async (status) => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    await tenant.update(id, { status });
    const { release } = await stall(scene.database.url, type, () => tenant.publish(type));
    await tenant.remove(id);
    // Nothing was open yet, so the holder found nothing to cancel and gave the lane up.
    await until('the lane is given up', async () => (await lanesOf(id)).every(({ resting }) => resting));
    await release();
    await until('the end', async () => {
      const { deliveries } = await tenant.graphql(
        `query ($types: [String!]!) { deliveries(filter: { eventTypes: $types }) { nodes { status } } }`,
        { types: [type] },
      );
      return deliveries.nodes.length === 1 && deliveries.nodes[0].status === 'CANCELLED';
    });
    expect(receiver.requests).toEqual([]);
  },
);

it('the lane of a deleted webhook is forgotten once nothing can be under way to it', async () => {
  const { tenant, receiver, database } = scene;
  const { id } = await tenant.createWebhook(receiver.url, ['a.b']);
  await tenant.remove(id);
  await until('the lane rests', async () => (await lanesOf(id))[0]?.resting);
  await runSql(database.url, `update lane set next_due_at = now() where webhook_id = $1`, [decodeId('webhook', id)]);
  await until('it is forgotten', async () => (await lanesOf(id)).length === 0);
});

it('deleting a webhook and settling what disables it wait for each other in one order', async () => {
  const { tenant, receiver } = scene;
  const { id } = await tenant.createWebhook(receiver.url, ['a.b']);
  const settler = await connected();
  try {
    // As a settle does: the health, then the webhook.
    await settler.query('begin');
    await settler.query(`update webhook_health set consecutive_failures = 1 where webhook_id = $1`, [
      decodeId('webhook', id),
    ]);
    const removed = tenant.remove(id).catch((error: unknown) => error);
    await until('deleting waits', async () => (await waiting('%webhook%')).length > 0);
    await settler.query(`update webhook set status = 'DISABLED' where id = $1`, [decodeId('webhook', id)]);
    await settler.query('commit');
    expect(await removed).toEqual({ deletedId: id });
  } finally {
    await settler.end();
  }
});
