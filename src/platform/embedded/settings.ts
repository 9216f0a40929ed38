/**
 * Settings of the embedded server, given on its command line: always those of the running hookgraph, whatever is in its
 * files. Durability is PostgreSQL's default (`fsync`, `synchronous_commit` on). Who needs others runs a PostgreSQL of
 * their own. The packaged server has no LZ4.
 */
export const serverSettings: Readonly<Record<string, string>> = {
  // Loopback and a password, no socket: its path would have to fit in 107 bytes.
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  // Some 25 for each process that has all roles.
  max_connections: '200',
  shared_buffers: '256MB',
  effective_cache_size: '1GB',
  // A statement over all partitions locks each of them and its indexes.
  max_locks_per_transaction: '256',
  max_wal_size: '2GB',
  min_wal_size: '256MB',
  wal_compression: 'pglz',
  random_page_cost: '1.1',
  // Compiling costs more than any statement of hookgraph takes.
  jit: 'off',
  // Tables that churn must not wait a minute for a vacuum, nor be vacuumed at a trickle.
  autovacuum_naptime: '10s',
  autovacuum_vacuum_cost_limit: '2000',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Errors of statements reach who sent them; here they would only fill the disk.
  log_min_messages: 'log',
  log_checkpoints: 'off',
};
