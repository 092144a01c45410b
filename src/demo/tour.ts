// `kamigate demo`: walks the tour on a stage of its own and prints each step, what came of it, and how long it took.
import { decimalText } from '../orders/view.js';
import { type Stage, SUPPLIER_NAMES, setStage } from './stage.js';
import { STEPS, type Tour } from './steps.js';

export interface DemoOptions {
  /** A temporary folder; ends after the tour. */
  once: boolean;
  folder: string;
  port: number;
  print: (line: string) => void;
  /** Resolves when the person wants to stop. */
  stopped: Promise<void>;
}

/** Runs the demo and returns its exit code: 0 if every step passed. Everything it started has ended by then. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const { print } = options;
  const stage = await setStage({ folder: options.once ? null : options.folder, port: options.port });
  try {
    print(`kamigate demo: data in ${stage.folder}${options.once ? ' (removed afterwards)' : ''}`);
    print(
      `three simulated suppliers: ${SUPPLIER_NAMES.map((name) => `${name} ${stage.suppliers[name].url}`).join(', ')}`,
    );
    print('');
    const tour = { stage } as Tour;
    const result = await Promise.race([walk(tour, print), options.stopped.then(() => null)]);
    if (result === null) return 130;
    print('');
    print(`${result.passed} passed, ${result.failed} failed`);
    if (!options.once && tour.client) {
      print(`\n${invitation(tour)}`);
      await options.stopped;
    }
    return result.failed === 0 ? 0 : 1;
  } finally {
    await stage.close();
  }
}

async function walk(tour: Tour, print: (line: string) => void): Promise<{ passed: number; failed: number }> {
  let passed = 0;
  for (const [at, step] of STEPS.entries()) {
    const started_at = performance.now();
    try {
      const said = await step.run(tour);
      passed++;
      print(lineOf(at, 'ok  ', step.title, started_at));
      print(`         ${said}`);
    } catch (error) {
      print(lineOf(at, 'FAIL', step.title, started_at));
      print(`         ${(error as Error).message}`);
      print(tailOf(tour.stage));
      if (step.is_base) break;
    }
  }
  return { passed, failed: STEPS.length - passed };
}

function lineOf(at: number, result: string, title: string, started_at: number): string {
  const took = `${Math.round(performance.now() - started_at)} ms`.padStart(8);
  return `${String(at + 1).padStart(2)} ${result} ${title.padEnd(82, ' ')} ${took}`;
}

function tailOf(stage: Stage): string {
  return stage
    .logTail()
    .split('\n')
    .map((line) => `         | ${line}`)
    .join('\n');
}

/** What a person can do now that it runs. */
function invitation({ stage, client }: Tour): string {
  const order = { external_id: 'hello-1', sku: 'PHONE-10', quantity: 1, recipient: { account: '13800000002' } };
  const spent = SUPPLIER_NAMES.map((name) => stage.suppliers[name].books().net_e4).reduce((sum, each) => sum + each, 0);
  return [
    `API        ${stage.api_url}/v1`,
    `test key   ${client.key}`,
    `place one  curl -s -X POST ${stage.api_url}/v1/orders -H 'Authorization: Bearer ${client.key}' \\`,
    `             -H 'Content-Type: application/json' -H 'Prefer: wait=10' -d '${JSON.stringify(order)}'`,
    `break A    curl -s -X POST ${stage.suppliers['sim-a'].url}/_control -d '{"do":"fault","fault":"accept_then_drop"}'`,
    `look       node dist/src/cli.js --config ${stage.folder}/kamigate.yaml order list`,
    `spent      ${decimalText(spent)} CNY of play money so far`,
    'Ctrl-C stops everything; the next demo begins anew.',
  ].join('\n');
}
