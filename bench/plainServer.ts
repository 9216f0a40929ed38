import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'pg';

/**
 * What the receivers are measured beside, a process of its own: reads the body and answers; with a database's address as
 * its argument it inserts one row before, as simple as can be.
 */
const [, , url] = process.argv;
const pool = url === undefined ? null : new Pool({ connectionString: url, max: 6 });
await pool?.query(
  `create table if not exists bench_inbox (id uuid primary key, at timestamptz not null, body bytea not null)`,
);

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const answer = (): void => {
      response.setHeader('content-type', 'application/json');
      response.end('{"ok":true}');
    };
    if (pool === null) return answer();
    pool
      .query({
        name: 'insert',
        text: 'insert into bench_inbox values (gen_random_uuid(), now(), $1)',
        values: [Buffer.concat(chunks)],
      })
      .then(answer, () => response.writeHead(500).end());
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send!({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));
