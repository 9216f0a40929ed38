import type { Sql } from '../../platform/database.ts';
import { idTime, lowestIdAt } from '../../platform/ids.ts';
import type { AttemptErrorCode, AttemptRecord, AttemptTrigger } from './delivery.ts';

interface AttemptRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly delivery_id: string;
  readonly number: number;
  readonly trigger: AttemptTrigger;
  readonly started_at: number;
  readonly duration_ms: number;
  readonly request_headers: string;
  readonly response_status: number | null;
  readonly response_headers: string | null;
  readonly response_body: Buffer | null;
  readonly response_truncated: boolean;
  readonly error_code: AttemptErrorCode | null;
  readonly error_message: string | null;
}

const COLUMNS = `id, tenant_id, delivery_id, number, trigger, epoch_ms(started_at) as started_at, duration_ms,
  request_headers, response_status, response_headers, response_body, response_truncated, error_code, error_message`;

/*
 * An attempt's id derives from its delivery and number, so that all of them are found by primary key; it also has the
 * delivery's millisecond, and the range leaves out partitions.
 */
const BY_DELIVERY = `/*attempts_by_delivery*/
select ${COLUMNS} from attempt
where tenant_id = $1 and id >= $4 and id < $5
  and id = any(array(
    select derive_id(d.id, number::text)
    from unnest($2::uuid[], $3::integer[]) as d (id, count), generate_series(1, d.count) as number
  ))
order by number`;

/**
 * The attempts of many deliveries in one statement, each list in the order of their numbers; every delivery asked for
 * has a list. Reads `attemptCount` of them each: an attempt made after the delivery was read is not there.
 */
export const findAttempts = async (
  sql: Sql,
  tenantId: string,
  deliveries: readonly { readonly id: string; readonly attemptCount: number }[],
): Promise<Map<string, AttemptRecord[]>> => {
  const attempts = new Map<string, AttemptRecord[]>(deliveries.map(({ id }) => [id, []]));
  if (deliveries.length === 0) return attempts;
  const ids = deliveries.map(({ id }) => id);
  const times = ids.map(idTime);
  const rows = await sql.query<AttemptRow>(BY_DELIVERY, [
    tenantId,
    ids,
    deliveries.map(({ attemptCount }) => attemptCount),
    lowestIdAt(Math.min(...times)),
    lowestIdAt(Math.max(...times) + 1),
  ]);
  for (const row of rows) attempts.get(row.delivery_id)?.push(attemptOf(row));
  return attempts;
};

/** One attempt by its own id; null where this tenant has none such. */
export const findAttempt = async (sql: Sql, tenantId: string, id: string): Promise<AttemptRecord | null> => {
  const [row] = await sql.query<AttemptRow>(
    `/*attempt_by_id*/ select ${COLUMNS} from attempt where id = $2 and tenant_id = $1`,
    [tenantId, id],
  );
  return row === undefined ? null : attemptOf(row);
};

const attemptOf = (row: AttemptRow): AttemptRecord => ({
  id: row.id,
  tenantId: row.tenant_id,
  deliveryId: row.delivery_id,
  number: row.number,
  trigger: row.trigger,
  startedAt: new Date(Math.round(row.started_at)),
  durationMs: row.duration_ms,
  requestHeaders: JSON.parse(row.request_headers) as Record<string, string>,
  responseStatus: row.response_status,
  responseHeaders:
    row.response_headers === null ? null : (JSON.parse(row.response_headers) as Record<string, string | string[]>),
  // Whatever is no UTF-8, such as a character cut in two at the limit, becomes U+FFFD.
  responseBody: row.response_body === null ? null : row.response_body.toString('utf8'),
  responseTruncated: row.response_truncated,
  error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
});
