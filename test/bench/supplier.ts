// A zero-latency HTTP supplier in a process of its own.
import { startSimulator } from '../../adapters/simulator.js';

const simulator = await startSimulator({ balance_e4: 9_000_000_000_000 });
process.send?.({ url: simulator.url, app_key: simulator.app_key, app_secret: simulator.app_secret });
