import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import { FOLD_READS } from '../src/domain/analytics/fold.ts';
import { DAY, WHOLE_TENANT } from '../src/domain/analytics/grain.ts';
import { readRates, readTotals, readTypes } from '../src/domain/analytics/rollups.ts';
import { lastDay } from '../src/domain/analytics/window.ts';
import { findAttempts } from '../src/domain/deliveries/attemptLog.ts';

import type { BulkWork } from '../src/domain/bulk/bulkOperation.ts';
import { cancelScan } from '../src/domain/bulk/cancelScan.ts';
import { recoverScan } from '../src/domain/bulk/recoverScan.ts';
import { retryScan } from '../src/domain/bulk/retryScan.ts';
import type { Scan } from '../src/domain/bulk/scan.ts';
import { workStatement } from '../src/domain/bulk/slice.ts';
import { RETRY_ONE } from '../src/domain/deliveries/deliveryRetry.ts';
import { DELIVERY_LISTS, listDeliveries } from '../src/domain/deliveries/deliveryList.ts';
import type { DeliveryListFilter } from '../src/domain/deliveries/history.ts';
import { findDeliveries } from '../src/domain/deliveries/history.ts';
import { TAKE_BACK } from '../src/domain/deliveries/lateResult.ts';
import { TELL_HELD } from '../src/domain/deliveries/heldDeliveries.ts';
import { READ_DUE } from '../src/domain/deliveries/openDeliveries.ts';
import { SETTLE } from '../src/domain/deliveries/settlement.ts';
import { commentIdsOf, ticketIdsOf } from '../src/domain/desk/ticketList.ts';
import { EVENT_LISTS, findEvents, listEvents } from '../src/domain/events/eventLog.ts';
import { FAN_OUT } from '../src/domain/events/fanOut.ts';
import { PUBLISH } from '../src/domain/events/publication.ts';
import { BY_ID, BY_SLUG } from '../src/domain/inbound/directory.ts';
import {
  findInboundBodies,
  findInboundDeliveries,
  listInboundDeliveries,
} from '../src/domain/inbound/inboundHistory.ts';
import {
  dispatchesDueSince,
  dispatchesWithWork,
  READ_DISPATCHES,
  SETTLE_DISPATCHES,
} from '../src/domain/inbound/dispatch/openDispatches.ts';
import { RECEIVE } from '../src/domain/inbound/receipts.ts';
import { COUNT_REQUESTS, RECORD_BODYLESS } from '../src/domain/inbound/tally.ts';
import { REMOVE_PUBLISHED, REMOVE_RECEIVED } from '../src/domain/retention/expiredKeys.ts';
import { findRuns, findRunSteps, listRuns } from '../src/domain/workflows/runHistory.ts';
import { ATTEMPT_STEP, FINISH_RUN, FINISH_STEP, READ_RUN, READ_STEPS } from '../src/domain/workflows/runStore.ts';
import { PENDING } from '../src/domain/webhooks/webhookHealth.ts';
import { DISABLE_OVERDUE } from '../src/domain/webhooks/failureStreak.ts';
import { TAKE_OPERATIONAL } from '../src/domain/webhooks/operationalEvents.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database, Sql } from '../src/platform/database.ts';
import { idTime, lowestIdAt, LOWEST_ID, newId } from '../src/platform/ids.ts';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { useDatabase } from './harness/ownDatabase.ts';

// A prepared statement belongs to a connection.
const own = useDatabase(1);

const tenant = newId();
const webhook = newId();
const id = newId();

interface Hot {
  readonly statement: string;
  readonly values: readonly unknown[];
  /** The index that its plan goes by. */
  readonly uses: RegExp;
  /** While the tables are empty or unknown, where every index costs the same. */
  readonly usesAtFirst?: RegExp;
}

/** The statement that a function of the domain sends. */
const sentBy = async (
  work: (sql: Pick<Sql, 'query'>) => Promise<unknown>,
  uses: RegExp,
  usesAtFirst?: RegExp,
): Promise<Hot> => {
  const sent: [string, readonly unknown[]][] = [];
  const query: Sql['query'] = async (statement, values = []) => {
    sent.push([statement, values]);
    return [];
  };
  await work({ query });
  expect(sent).toHaveLength(1);
  const [[statement, values]] = sent as [[string, readonly unknown[]]];
  return { statement, values, uses, ...(usesAtFirst && { usesAtFirst }) };
};

const range = [`ffffffff-ffff-ffff-ffff-ffffffffffff`, `00000000-0000-0000-0000-000000000000`];
/** What lists of deliveries and of events are given: no filter, pages of 25. */
const deliveries = (owner: string, ...more: readonly unknown[]): readonly unknown[] => [
  tenant,
  owner,
  ...range,
  null,
  null,
  null,
  null,
  null,
  26,
  ...more,
];
const events = (entity: string | null, ...more: readonly unknown[]): readonly unknown[] => [
  tenant,
  ...range,
  null,
  null,
  entity,
  ...more,
];
const window = lastDay(Date.now());
const rollupDays = [[tenant], [webhook], [DAY], [0]];
const page = { first: 25, after: null };
const deskPage = { limit: 25, from: newId(), backward: false };
/** With which the range of ids has at least left out the partitions of other days. */
const ANY_INDEX = /Subplans Removed: [1-9]/;

const runId = [id, lowestIdAt(idTime(id)), lowestIdAt(idTime(id) + 1)];
const STEP_KEY = /workflow_run_step_p\d+_pkey/;

const operation: BulkWork = {
  id,
  tenantId: tenant,
  kind: 'RETRY',
  task: { kind: 'RETRY', filter: {} },
  status: 'RUNNING',
  total: 0,
  succeeded: 0,
  failed: 0,
  startedAt: new Date(),
  completedAt: null,
  error: null,
  isCounted: true,
  scanAfter: LOWEST_ID,
  tries: 0,
};
const recovery = async (): Promise<Scan> =>
  (await recoverScan(
    { query: async <Row>() => [{ status: 'ACTIVE', event_types: ['a.*'], entity_ids: [] }] as Row[] },
    operation,
    { kind: 'RECOVER', webhookId: webhook, since: new Date(0) },
    LOWEST_ID,
  )) as Scan;
const bulkWork = (scan: Scan, uses: RegExp): Hot => ({
  statement: workStatement(scan),
  values: scan.values,
  uses,
  // Planned each time anew: only what it comes to matters.
  usesAtFirst: /Index/,
});

const hotStatements = async (): Promise<Readonly<Record<string, Hot>>> => ({
  lanes_read: {
    statement: READ_DUE,
    values: [[webhook], [0], ['-infinity'], ['0'], [200], []],
    uses: /delivery_open_due/,
  },
  lane_held: {
    statement: TELL_HELD,
    values: [webhook, 'Name', 0, LOWEST_ID, true],
    uses: /delivery_open_webhook[^]*Index Cond: \(\(webhook_id = [^\n]*AND \(id > [^]*delivery_open_pkey/,
    usesAtFirst: /Index Cond: \(\(webhook_id = [^]*AND \(id > /,
  },
  settle: { statement: SETTLE, values: ['[]'], uses: /delivery_open_pkey/ },
  delivery_retry: {
    statement: RETRY_ONE,
    values: [tenant, id, LOWEST_ID],
    uses: /Delete on delivery[^]*delivery_p\d+_pkey/,
    usesAtFirst: ANY_INDEX,
  },
  late_results: {
    statement: TAKE_BACK,
    values: [[id], [0]],
    uses: /Delete on delivery[^]*delivery_p\d+_pkey/,
    usesAtFirst: /Index/,
  },
  bulk_retry_of_tenant: bulkWork(
    retryScan(operation, {}, LOWEST_ID),
    /delivery_p\d+_tenant_id_id_idx[^]*Delete on delivery[^]*delivery_p\d+_pkey/,
  ),
  bulk_retry_of_webhook: bulkWork(
    retryScan(operation, { webhookId: webhook, eventTypes: ['a.*'] }, LOWEST_ID),
    /delivery_p\d+_webhook_id_id_idx[^]*Delete on delivery[^]*delivery_p\d+_pkey/,
  ),
  bulk_cancel_of_tenant: bulkWork(
    cancelScan(operation, { status: ['PENDING'] }),
    /delivery_open_tenant[^]*Delete on delivery_open[^]*delivery_open_pkey/,
  ),
  bulk_cancel_of_webhook: bulkWork(
    cancelScan(operation, { webhookId: webhook }),
    /delivery_open_webhook[^]*Delete on delivery_open[^]*delivery_open_pkey/,
  ),
  bulk_recover: bulkWork(await recovery(), /event_p\d+_tenant_id_id_idx[^]*delivery_p\d+_pkey/),
  disable_overdue: { statement: DISABLE_OVERDUE, values: [0, 500], uses: /webhook_health_disable/ },
  take_operational: { statement: TAKE_OPERATIONAL, values: [500], uses: /operational_outbox_pkey[^]*event_p\d+_pkey/ },
  publish: {
    statement: PUBLISH,
    values: ['[]', '[]', [], [], [], 1_000, 1_000],
    uses: /webhook_subscription_pkey[^]*Index Cond: \(\(ROW\(tenant_id, pattern, entity_id\) >= /,
  },
  fan_out: { statement: FAN_OUT, values: [1_000], uses: /fan_out_turn[^]*webhook_subscription_pkey/ },
  receive: {
    statement: RECEIVE,
    values: ['', 1_000, ''],
    uses: /inbound_webhook_pkey[^]*inbound_key_pkey/,
  },
  dispatches_read: {
    statement: READ_DISPATCHES,
    values: [webhook, 16],
    uses: /inbound_open_due[^]*inbound_delivery_p\d+_pkey/,
  },
  dispatches_settle: {
    statement: SETTLE_DISPATCHES,
    values: ['[]', 1_000],
    uses: /inbound_open_pkey[^]*inbound_delivery_p\d+_pkey/,
  },
  dispatches_due: await sentBy((sql) => dispatchesDueSince(sql, Date.now()), /inbound_open_next/),
  dispatches_with_work: await sentBy((sql) => dispatchesWithWork(sql, [webhook]), /inbound_open_due/),
  record_bodyless: { statement: RECORD_BODYLESS, values: ['[]'], uses: /Function Scan on json_to_recordset/ },
  count_requests: { statement: COUNT_REQUESTS, values: ['[]'], uses: /inbound_counter_pkey/ },
  receiver_by_slug: {
    statement: BY_SLUG,
    values: ['default', 'slug'],
    uses: /tenant_slug_key[^]*inbound_webhook_tenant_id_slug_key/,
    usesAtFirst: /Index Scan using tenant[^]*Index Scan using inbound_webhook/,
  },
  receiver_by_id: {
    statement: BY_ID,
    values: [webhook],
    uses: /inbound_webhook_pkey/,
    usesAtFirst: /inbound_webhook_\w+ on inbound_webhook w[^]*Index Cond: \(id =/,
  },
  expired_event_keys: { statement: REMOVE_PUBLISHED, values: [5_000], uses: /event_key_expiry[^]*Tid Scan/ },
  expired_inbound_keys: { statement: REMOVE_RECEIVED, values: [5_000], uses: /inbound_key_expiry[^]*Tid Scan/ },
  inbound_of_tenant: await sentBy(
    (sql) => listInboundDeliveries(sql, tenant, {}, page),
    /inbound_delivery_p\d+_tenant_id_id_idx/,
  ),
  inbound_of_webhook: await sentBy(
    (sql) => listInboundDeliveries(sql, tenant, { webhookId: webhook }, page),
    /inbound_delivery_p\d+_webhook_id_id_idx/,
    /inbound_delivery_p\d+_(?:webhook|tenant)_id_id_idx/,
  ),
  inbound_by_id: await sentBy(
    (sql) => findInboundDeliveries(sql, tenant, [id]),
    /inbound_delivery_p\d+_pkey/,
    ANY_INDEX,
  ),
  inbound_bodies: await sentBy((sql) => findInboundBodies(sql, tenant, [id]), /inbound_delivery_p\d+_pkey/, ANY_INDEX),
  deliveries_of_tenant: {
    statement: DELIVERY_LISTS.LOOK('tenant'),
    values: deliveries(tenant, 26, 26),
    uses: /delivery_p\d+_tenant_id_id_idx[^]*delivery_open_tenant/,
  },
  deliveries_of_webhook: {
    statement: DELIVERY_LISTS.LOOK('webhook'),
    values: deliveries(webhook, 200, 200),
    uses: /delivery_p\d+_webhook_id_id_idx[^]*delivery_open_webhook/,
  },
  deliveries_of_tenant_by_facet: {
    statement: DELIVERY_LISTS.BY_FACETS('tenant'),
    values: deliveries(WHOLE_TENANT, true),
    uses: /delivery_facet_pkey[^]*delivery_p\d+_facet_id_idx[^]*delivery_p\d+_(?:pkey|(?:tenant|webhook)_id_id_idx)[^]*delivery_open_tenant/,
  },
  deliveries_of_webhook_by_facet: {
    statement: DELIVERY_LISTS.BY_FACETS('webhook'),
    values: deliveries(webhook, true),
    uses: /delivery_facet_pkey[^]*delivery_p\d+_webhook_id_facet_id_idx[^]*delivery_p\d+_(?:pkey|(?:tenant|webhook)_id_id_idx)[^]*delivery_open_webhook/,
  },
  deliveries_count_of_tenant: {
    statement: DELIVERY_LISTS.COUNT('tenant'),
    values: deliveries(WHOLE_TENANT, true),
    uses: /delivery_p\d+_facet_id_idx[^]*delivery_open_tenant/,
  },
  deliveries_count_of_webhook: {
    statement: DELIVERY_LISTS.COUNT('webhook'),
    values: deliveries(webhook, true),
    uses: /delivery_p\d+_webhook_id_facet_id_idx[^]*delivery_open_webhook/,
  },
  deliveries_of_event: await sentBy(
    (sql) => listDeliveries(sql, tenant, { eventId: id }, page),
    /Subplans Removed: [1-9][^]*delivery_p\d+_(?:pkey|tenant_id_id_idx)/,
    ANY_INDEX,
  ),
  deliveries_by_id: await sentBy((sql) => findDeliveries(sql, tenant, [id]), /delivery_p\d+_pkey/, ANY_INDEX),
  events_of_tenant: {
    statement: EVENT_LISTS.LOOK,
    values: events(null, 26, 26),
    uses: /event_p\d+_tenant_id_id_idx/,
  },
  events_by_type: {
    statement: EVENT_LISTS.BY_TYPES,
    values: [tenant, ...range, null, null, 26],
    uses: /event_p\d+_tenant_id_type_id_idx[^]*event_p\d+_tenant_id_type_id_idx[^]*event_p\d+_pkey/,
  },
  events_of_entity: {
    statement: EVENT_LISTS.BY_ENTITY,
    values: events('e', 26),
    uses: /event_p\d+_tenant_id_entity_id_id_idx/,
  },
  events_count: {
    statement: EVENT_LISTS.COUNT_ALL,
    values: [tenant, ...range, 26],
    uses: /event_p\d+_tenant_id_id_idx/,
  },
  events_count_by_type: {
    statement: EVENT_LISTS.COUNT_BY_TYPES,
    values: [tenant, ...range, null, null, 26],
    uses: /event_p\d+_tenant_id_type_id_idx/,
  },
  events_count_of_entity: {
    statement: EVENT_LISTS.COUNT_BY_ENTITY,
    values: events('e', 26),
    uses: /event_p\d+_tenant_id_entity_id_id_idx/,
  },
  pending: {
    statement: PENDING,
    values: [[webhook], tenant],
    uses: /delivery_open_webhook/,
    usesAtFirst: /delivery_open_(?:webhook|due)/,
  },
  rollups_of_webhooks: await sentBy(
    (sql) => readTotals(sql, tenant, [webhook], window),
    /rollup_pkey[^]*rollup_outbox_webhook/,
  ),
  rollups_of_tenant: await sentBy(
    (sql) => readTotals(sql, tenant, [WHOLE_TENANT], window),
    /rollup_pkey[^]*rollup_outbox_webhook/,
  ),
  type_rollups: await sentBy(
    (sql) => readTypes(sql, tenant, [webhook], window),
    /rollup_type_pkey[^]*rollup_outbox_webhook/,
  ),
  success_rates: await sentBy(
    (sql) => readRates(sql, tenant, [webhook], window),
    /rollup_pkey[^]*rollup_outbox_webhook/,
  ),
  fold_of_types: { statement: FOLD_READS.READ_TYPES, values: rollupDays, uses: /rollup_type_pkey/ },
  fold_of_latencies: { statement: FOLD_READS.READ_LATENCIES, values: rollupDays, uses: /rollup_pkey/ },
  events_by_id: await sentBy((sql) => findEvents(sql, tenant, [id]), /event_p\d+_pkey/, ANY_INDEX),
  tickets_of_tenant: await sentBy((sql) => ticketIdsOf(sql, tenant, {}, deskPage), /ticket_tenant/),
  tickets_by_status: await sentBy(
    (sql) => ticketIdsOf(sql, tenant, { isClosed: false }, deskPage),
    /Nested Loop[^]*ticket_status/,
  ),
  tickets_of_client: await sentBy(
    (sql) => ticketIdsOf(sql, tenant, { clientId: id, isClosed: false }, deskPage),
    /ticket_client/,
    /ticket_(?:client|tenant)/,
  ),
  tickets_of_assignee: await sentBy(
    (sql) => ticketIdsOf(sql, tenant, { assignedTo: 'sam' }, deskPage),
    /ticket_assigned/,
    /ticket_(?:assigned|tenant)/,
  ),
  comments_of_tickets: await sentBy((sql) => commentIdsOf(sql, tenant, [id], 50), /ticket_comment_ticket/),
  workflow_run_read: {
    statement: READ_RUN,
    values: [...runId, tenant],
    uses: /workflow_run_p\d+_(?:pkey|tenant_id_id_idx)[^]*workflow_version_pkey[^]*Index Cond: \(\(workflow_id = /,
    usesAtFirst: ANY_INDEX,
  },
  workflow_run_steps_read: { statement: READ_STEPS, values: runId, uses: STEP_KEY },
  workflow_step_attempt: { statement: ATTEMPT_STEP, values: [...runId, 0], uses: STEP_KEY },
  workflow_step_finish: { statement: FINISH_STEP, values: [...runId, 0, 'COMPLETED', ''], uses: STEP_KEY },
  workflow_run_finish: {
    statement: FINISH_RUN,
    values: [...runId, 'COMPLETED', ''],
    uses: /workflow_run_p\d+_pkey/,
    usesAtFirst: ANY_INDEX,
  },
  workflow_runs_of_tenant: await sentBy(
    (sql) => listRuns(sql, tenant, null, deskPage),
    /workflow_run_p\d+_tenant_id_id_idx/,
  ),
  workflow_runs_of_workflow: await sentBy(
    (sql) => listRuns(sql, tenant, webhook, deskPage),
    /workflow_run_p\d+_workflow_id_id_idx/,
  ),
  workflow_runs_by_id: await sentBy((sql) => findRuns(sql, tenant, [id]), /workflow_run_p\d+_pkey/, ANY_INDEX),
  workflow_run_steps: await sentBy((sql) => findRunSteps(sql, [id]), STEP_KEY),
  attempts: await sentBy((sql) => findAttempts(sql, tenant, [{ id, attemptCount: 1 }]), /attempt_p\d+_pkey/),
});

const literal = (value: unknown): string => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `'{${value.join(',')}}'`;
  if (value instanceof Date) return `'${value.toISOString()}'`;
  return typeof value === 'string' ? `'${value}'` : JSON.stringify(value);
};

/** Each its tenth of the rows, so that nobody's rows are found by reading everybody's. */
const owners = Array.from({ length: 10 }, (_, n) => (n === 0 ? [tenant, webhook] : [newId(), newId()]));
const ROWS_OF_ONE = 2_000;

it('every hot statement goes by its index alone, planned on empty tables, kept while they fill, and after ANALYZE', async () => {
  const hot = Object.entries(await hotStatements());
  // A connection plans it once, for values that it doesn't know, and keeps the plan until statistics change.
  for (const [name, { statement }] of hot) await own.database.sql.query(`prepare ${name} as ${statement}`);
  const check = async (index: (one: Hot) => RegExp): Promise<void> => {
    for (const [name, one] of hot) {
      const rows = await own.database.sql.query<{ 'QUERY PLAN': string }>(
        `explain execute ${name}(${one.values.map((value) => literal(value)).join(', ')})`,
      );
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      expect(plan, name).toMatch(index(one));
      expect(plan, name).not.toMatch(/Seq Scan|Bitmap|Hash Join|Merge Join|Sort Key: .*next_at/);
    }
  };
  const first = (one: Hot): RegExp => one.usesAtFirst ?? one.uses;
  await check(first);

  const inserts = [
    `insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at)
     select id, $1, $2, id, 'a.b', now() - n * interval '1 ms', now(), now()
     from unnest($3::uuid[]) with ordinality as t (id, n)`,
    `insert into delivery
       (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at, completed_at)
     select id, $1, $2, id, 'a.b', 'DELIVERED', false, 1, now(), now() from unnest($3::uuid[]) as t (id)`,
    `insert into event (id, tenant_id, type, source, occurred_at, published_at, body)
     select id, $1, 'a.b', $2::text, now(), now(), '{}' from unnest($3::uuid[]) as t (id)`,
    `insert into rollup (tenant_id, webhook_id, grain, minute, delivered, abandoned, cancelled, retrying, failed, latency)
     select $1, $2, grain, n / grain * grain, 1, 0, 0, 0, 0, '\\x00'
     from unnest($3::uuid[]) with ordinality as t (id, n) cross join (values (1), (60), (1440)) as of (grain) on conflict do nothing`,
    `insert into rollup_type
       (tenant_id, webhook_id, grain, minute, event_type, delivered, abandoned, cancelled, retrying, failed)
     select $1, $2, grain, n / grain * grain, 'a.b', 1, 0, 0, 0, 0
     from unnest($3::uuid[]) with ordinality as t (id, n) cross join (values (1), (60), (1440)) as of (grain) on conflict do nothing`,
    `insert into rollup_outbox
       (tenant_id, webhook_id, event_type, minute, delivered, abandoned, cancelled, retrying, failed)
     select $1, $2, 'a.b', n, 1, 0, 0, 0, 0 from unnest($3::uuid[]) with ordinality as t (id, n)`,
    `insert into attempt
       (id, tenant_id, delivery_id, number, trigger, started_at, duration_ms, request_headers, response_truncated)
     select derive_id(id, '1'), $1, id, 1, 'INITIAL', now(), length($2::text), '{}', false
     from unnest($3::uuid[]) as t (id)`,
    `insert into inbound_delivery
       (id, tenant_id, webhook_id, received_at, auth_status, dispatch_status, method, path, headers, response_status, duration_ms)
     select id, $1, $2, now(), 'VERIFIED', 'DISPATCHED', 'POST', '/', '{}', 200, 1 from unnest($3::uuid[]) as t (id)`,
    `insert into inbound_open (id, tenant_id, webhook_id, next_at, created_at, expires_at)
     select id, $1, $2, now() - n * interval '1 ms', now(), now()
     from unnest($3::uuid[]) with ordinality as t (id, n)`,
    `insert into inbound_webhook
       (id, tenant_id, name, slug, source, status, auth_type, auth_config, events, idempotency_window_seconds, handler_type,
        rate_limit_per_minute)
     select id, $1, $2::text, id::text, '', 'ACTIVE', 'BEARER', '{}', '{}', 60, 'RECORD', 60
     from unnest(($3::uuid[])[1:100]) as t (id)`,
    `insert into inbound_counter (webhook_id) select id from unnest(($3::uuid[])[1:100]) as t (id) where $1 <> $2`,
    `insert into inbound_key (webhook_id, key, delivery_id, expires_at)
     select $2, uuid_send(id), $1, now() from unnest($3::uuid[]) as t (id)`,
    `insert into workflow_run (id, tenant_id, workflow_id, version, delivery_id, status)
     select id, $1, $2, 1, id, 'RUNNING' from unnest($3::uuid[]) as t (id)`,
    `insert into workflow_run_step (id, position, name, status)
     select id, n, $1::text, $2::text from unnest($3::uuid[]) as t (id), generate_series(0, 3) as n`,
    `insert into client (id, tenant_id, name, created_at, updated_at)
     select id, $1, $2::text, now(), now() from unnest(($3::uuid[])[1:100]) as t (id)`,
    `insert into ticket
       (id, tenant_id, number, title, status, priority, client_id, assigned_to, created_at, updated_at)
     select id, $1, n, $2::text, case n % 20 when 0 then 'open' else 'closed' end, 'low',
       ($3::uuid[])[1 + n % 100], case n % 40 when 0 then 'sam' else 'kim' || n % 300 end, now(), now()
     from unnest($3::uuid[]) with ordinality as t (id, n)`,
    `insert into ticket_comment (id, tenant_id, ticket_id, text, is_internal, created_at)
     select derive_id(id, 'comment'), $1, ($3::uuid[])[1 + n % 200], $2::text, false, now()
     from unnest($3::uuid[]) with ordinality as t (id, n)`,
  ];
  await own.database.sql.query(
    `insert into tenant (id, slug, name) select id, id::text, '' from unnest($1::uuid[]) as t (id)`,
    [owners.map(([ofTenant]) => ofTenant)],
  );
  for (const [ofTenant, ofWebhook] of owners) {
    const ids = Array.from({ length: ROWS_OF_ONE }, () => newId());
    for (const statement of inserts) await own.database.sql.query(statement, [ofTenant, ofWebhook, ids]);
  }
  await check(first);
  await own.database.sql.query('analyze');
  await check((one) => one.uses);
});

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}
const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

describe('beside a tenant that has nearly all there is, all of one kind', () => {
  const huge = newId();
  const [tiny, hook] = [newId(), newId()];
  const MINUTE_MS = 60_000;
  let ofBoth: TestDatabase;
  let beside: Database;

  beforeAll(async () => {
    ofBoth = await createTestDatabase();
    beside = await openDatabase({ url: ofBoth.url, poolSize: 1, schema });
    const now = Date.now();
    const fill = (ofTenant: string, ofWebhook: string, count: number, before: number): Promise<unknown> =>
      beside.sql.query(
        `with ids as (
           select n, (lpad(to_hex($4::bigint - n), 12, '0') || '70008' || substr(md5($1::uuid::text || n), 1, 15))::uuid as id
           from generate_series(1, $3::integer) as n
         ), published as (
           insert into event (id, tenant_id, type, entity_id, source, occurred_at, published_at, body)
           select id, $1::uuid, case when n % 20 = 7 and $3 < 1000 then 'rare' else 'a.b' end, 'e', 'api', now(), now(), '{}' from ids
         ), waiting as (
           insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at)
           select derive_id(id, 'open'), $1::uuid, $2::uuid, id, 'a.b', now() + interval '1 day', now(), now() + interval '7 days' from ids
         )
         insert into delivery
           (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at, completed_at, response_status)
         select id, $1::uuid, $2::uuid, id, 'a.b', case when n % 20 = 7 and $3 < 1000 then 'ABANDONED' else 'DELIVERED' end, false, 1,
           now(), now(), 200 from ids`,
        [ofTenant, ofWebhook, count, before],
      );
    await fill(huge, newId(), 40_000, now);
    // Older than all of the other's, in the same partition unless it is just after midnight.
    await fill(tiny, hook, 400, now - MINUTE_MS);
    await beside.sql.query('analyze');
  });

  afterAll(async () => {
    await beside.close();
    await ofBoth.drop();
  });

  it('a small one pages as if it were alone, whatever it filters by', async () => {
    const seen: PlanNode[] = [];
    const explaining: Sql = {
      async query<Row>(statement: string, values: readonly unknown[] = []) {
        const name = /^\/\*(\w+)\*\//.exec(statement)![1]!;
        await beside.sql.query(`prepare tiny_${name} as ${statement}`);
        const [plan] = await beside.sql.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
          `explain (analyze, format json) execute tiny_${name}(${values.map((value) => literal(value)).join(', ')})`,
        );
        await beside.sql.query(`deallocate tiny_${name}`);
        seen.push(...nodesOf(plan!['QUERY PLAN'][0].Plan));
        return beside.sql.query<Row>(statement, values);
      },
    };
    const check = (what: unknown): void => {
      for (const node of seen.splice(0)) {
        const rows = (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
        expect({ what, node: node['Node Type'], index: node['Index Name'], rows }).toSatisfy(() => rows <= 450);
      }
    };
    const filters: DeliveryListFilter[] = [
      {},
      { webhookId: hook },
      { status: ['ABANDONED'] },
      { status: ['DELIVERED'], webhookId: hook, responseStatus: 200 },
      { responseStatus: 418 },
      { eventTypes: ['a.*'], isTest: false, status: ['ABANDONED', 'CANCELLED'] },
      { isTest: true },
      { webhookId: hook, isTest: true },
    ];
    for (const filter of filters) {
      const { deliveries: found } = await listDeliveries(explaining, tiny, filter, { first: 25, after: null });
      const rare = filter.status?.includes('ABANDONED') ? 20 : 25;
      expect(found, JSON.stringify(filter)).toHaveLength(filter.isTest || filter.responseStatus === 418 ? 0 : rare);
      check(filter);
    }
    for (const filter of [
      {},
      { types: ['rare'] },
      { types: ['rar.*'] },
      { entityId: 'e' },
      { entityId: 'x', types: ['rare'] },
    ]) {
      const { events: found } = await listEvents(explaining, tiny, filter, { first: 25, after: null });
      const isNone = filter.entityId === 'x' || filter.types?.[0] === 'rar.*';
      expect(found).toHaveLength(isNone ? 0 : filter.types ? 20 : 25);
      check(filter);
    }
  });
});
