// Runs drills at full size: `npm run drill -- <name>…`, or `all`. Prints the figures; exits 1 on any violation. The
// database is SQLite in a temporary folder, or a new one on the server KAMIGATE_DATABASE_URL names.
import { type DrillReport, printReport, secondsSince } from './report.js';

/** Name → how its full size is run. */
const DRILLS: Record<string, () => Promise<DrillReport>> = {
  flapping: async () => {
    const { run, FULL } = await import('./flapping.js');
    return run(FULL);
  },
  purchases: runPurchases,
  'cost-jump': async () => {
    const { run, FULL } = await import('./cost-jump.js');
    return run(FULL);
  },
  sweep: async () => {
    const { run, FULL } = await import('./sweep.js');
    return run(FULL);
  },
  'vault-issue': async () => {
    const { run, FULL } = await import('./vault-issue.js');
    return run(FULL);
  },
  'vault-bytes': async () => {
    const { run, FULL } = await import('./vault-bytes.js');
    return run(FULL);
  },
  'vault-tamper': async () => {
    const { run, FULL } = await import('./vault-tamper.js');
    return run(FULL);
  },
  'vault-ledger': async () => {
    const { run, FULL } = await import('./vault-ledger.js');
    return run(FULL);
  },
  'vault-canary': async () => {
    const { run, FULL } = await import('./vault-canary.js');
    return run(FULL);
  },
  'vault-restore': async () => {
    const { run, FULL } = await import('./vault-restore.js');
    return run(FULL);
  },
  'vault-rotate': async () => {
    const { run, FULL } = await import('./vault-rotate.js');
    return run(FULL);
  },
  'vault-api': async () => {
    const { run, FULL } = await import('./vault-api.js');
    return run(FULL);
  },
  'vault-speed': async () => {
    const { run, FULL } = await import('./vault-speed.js');
    return run(FULL);
  },
};

/** No double purchase: so many seeds, so many orders each. A seed that fails says which it was, to be run again alone. */
async function runPurchases(): Promise<DrillReport> {
  const { run } = await import('./purchases.js');
  const report: DrillReport = { name: 'purchases', figures: { seeds: 20, 'orders, each': 2_000 }, violations: [] };
  const started = process.hrtime.bigint();
  for (let seed = 1; seed <= 20; seed++) {
    const { violations, ...figures } = await run({ orders: 2_000, seed });
    for (const [name, figure] of Object.entries(figures))
      report.figures[name] = Number(report.figures[name] ?? 0) + figure;
    report.violations.push(...violations.map((sentence) => `seed ${seed}: ${sentence}`));
    if (figures.faults === 0 || figures.units_bought === 0)
      report.violations.push(`seed ${seed}: no fault struck, or nothing was bought: the drill proves nothing`);
  }
  report.figures.seconds = secondsSince(started).toFixed(1);
  return report;
}

const wanted = process.argv.slice(2);
const names = wanted.includes('all') ? Object.keys(DRILLS) : wanted;
const unknown = names.filter((name) => !DRILLS[name]);
if (names.length === 0 || unknown.length > 0) {
  console.error(
    `${unknown.length > 0 ? `no drill ${unknown.join(', ')}` : 'name a drill'}\ntry one of: ${Object.keys(DRILLS).join(', ')}, all`,
  );
  process.exit(2);
}
let violations = 0;
for (const name of names) {
  const report = await DRILLS[name]!();
  violations += report.violations.length;
  console.log(printReport(report));
}
process.exit(violations === 0 ? 0 : 1);
