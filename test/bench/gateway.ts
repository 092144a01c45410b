// The gateway under measurement, in a process of its own: the parts of production behind the real HTTP layer.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { supplierFor } from '../../adapters/register.js';
import { connect } from '../../src/db/connect.js';
import { createApp } from '../../src/http/app.js';
import { createLogger } from '../../src/log.js';
import { buildGateway } from '../../src/main.js';
import { createKeyring } from '../../vault/keyring.js';
import { keyFile } from '../../vault/sources.js';
import { gatewayOptions } from '../kit/world.js';

const told = JSON.parse(process.argv[2] ?? '{}') as { database_url: string; key_file: string };

const gateway = buildGateway({
  database: connect({ url: told.database_url, pool_max: 16, acquire_timeout_ms: 10_000 }),
  keyring: createKeyring(keyFile(told.key_file)),
  supplierFor,
  log: createLogger({ level: 'error' }),
  now: Date.now,
  options: gatewayOptions('http://127.0.0.1:9', {
    key_cache_ms: 60_000,
    sweep_ms: 5_000,
    // It looks as it does in production, and finds nothing: what is ordered here nobody ever ordered before.
    vault_brake: { factor: 5, codes_min: 1_000_000 },
  }),
});
const app = createApp({
  ...gateway,
  now: Date.now,
  body_limit_bytes: 1_000_000,
  wait_max_ms: 30_000,
  allow_private_webhooks: true,
  isDraining: () => false,
  observeRequest: ({ route, method, status, duration_ms }) => {
    gateway.metrics.count('http_requests_total', { route, method, code: String(status) });
    gateway.metrics.observe('http_request_duration_seconds', { route }, duration_ms / 1_000);
  },
  observeFailure: (error) => gateway.log.error({ err: error }, 'failure'),
  checks: [],
});
const server = createServer(app).listen(0, '127.0.0.1', () => {
  gateway.jobs.start();
  process.send?.({ port: (server.address() as AddressInfo).port });
});
