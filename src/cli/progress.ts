// How far a long command has come: a bar on a terminal, else one line for every ten percent. On standard error, so that
// data stays data.
import type { Context } from './context.js';

export interface Progress {
  /** `done` of `total`; a total of 0 counts as done. Never goes back. */
  at(done: number, total: number): void;
  /** Ends the line of a bar. */
  end(): void;
}

const BAR_WIDTH = 30;
const STEP_PERCENT = 10;

/** Shows the progress of one thing, named `what`. Says nothing with --quiet. */
export function createProgress(context: Context, what: string): Progress {
  const { quiet } = context.flags();
  const is_terminal = process.stderr.isTTY === true;
  let shown = -1;
  return {
    at: (done, total) => {
      const percent = total <= 0 ? 100 : Math.min(100, Math.floor((done * 100) / total));
      const step = is_terminal ? 1 : STEP_PERCENT;
      const next = percent - (percent % step);
      if (quiet || next <= shown) return;
      shown = next;
      if (is_terminal) process.stderr.write(`\r${what} ${bar(next)} ${String(next).padStart(3)} %`);
      else context.tell(`${what}: ${next} %`);
    },
    end: () => {
      if (is_terminal && shown >= 0 && !quiet) process.stderr.write('\n');
    },
  };
}

function bar(percent: number): string {
  const full = Math.round((percent * BAR_WIDTH) / 100);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}]`;
}
