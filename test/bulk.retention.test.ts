import { expect, it } from 'vitest';
import { decodeId, encodeId, lowestIdAt } from '../src/platform/ids.ts';
import { bulkOf } from './harness/bulk.ts';
import { runSql } from './harness/database.ts';
import { startTestProgram, until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const HOUR_MS = 3_600_000;
const scene = useScene({ HOOKGRAPH_RETENTION_DAYS: '1' });

it('what retention may drop at any moment is not opened again, and what it keeps for a while yet is', async () => {
  const { tenant, receiver } = scene;
  receiver.answer = () => ({ status: 500 });
  const type = await tenant.registerType();
  const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [] });
  await tenant.publish(type);
  const [young] = await tenant.reached(id, 'ABANDONED');
  /** The same delivery and event, as if they were so old; each in its partition. */
  const older = async (hours: number): Promise<string> => {
    const ofNow = decodeId('delivery', young.id)!;
    const old = `${lowestIdAt(Date.now() - hours * HOUR_MS).slice(0, 13)}${ofNow.slice(13)}`;
    for (const [table, columns] of [
      ['event', 'tenant_id, type, entity_id, source, is_test, occurred_at, published_at, body'],
      [
        'delivery',
        'tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at, completed_at, payload_fields',
      ],
    ]) {
      const values = columns!.replace('event_id', '$1');
      await runSql(
        scene.database.url,
        `insert into ${table} (id, ${columns}) select $1, ${values} from ${table} where tenant_id = (select tenant_id from delivery where id = $2) limit 1`,
        [old, ofNow],
      );
    }
    return encodeId('delivery', old);
  };
  const [kept, tooOld] = [await older(22), await older(23.5)];
  const retry = async (delivery: string): Promise<unknown> =>
    (
      await tenant.graphql(
        `mutation ($id: ID!) { deliveryRetry(id: $id) {
           ... on DeliveryRetrySuccess { delivery { id } } ... on Error { code message } } }`,
        { id: delivery },
      )
    ).deliveryRetry;
  expect(await retry(tooOld)).toMatchObject({
    code: 'CONFLICT',
    message: expect.stringMatching(/about to be removed/),
  });
  await tenant.update(id, { status: 'PAUSED' });
  const bulk = bulkOf(tenant);
  expect(await bulk.ended(await bulk.retry({ webhookId: id }))).toMatchObject({ status: 'COMPLETED', total: 2 });
  const open = await tenant.reached(id, 'HELD', 2);
  expect(new Set(open.map((delivery) => delivery.id))).toEqual(new Set([young.id, kept]));
  // The events of both old ones match too; of the one that is too old nothing is made.
  expect(await bulk.ended(await bulk.recover(id, new Date(0)))).toMatchObject({ total: 1, succeeded: 1 });
});

it('operations that ended are forgotten after as long as history is kept', async () => {
  const { tenant, receiver, database } = scene;
  const { id } = await tenant.createWebhook(receiver.url, ['ticket.created']);
  const bulk = bulkOf(tenant);
  const [old, recent] = [await bulk.cancel({ webhookId: id }), await bulk.cancel({ webhookId: id })];
  await runSql(database.url, `update bulk_operation set completed_at = now() - interval '25 hours' where id = $1`, [
    decodeId('bulkOperation', old.id),
  ]);
  // Retention runs at the start of a worker.
  const again = await startTestProgram(database.url, { HOOKGRAPH_RETENTION_DAYS: '1' });
  try {
    await until('it is forgotten', async () => (await bulk.find(old.id)) === null);
    expect(await bulk.find(recent.id)).not.toBeNull();
  } finally {
    await again.stop();
  }
});
