// Asks a real Prometheus every query of every panel: an error is a fault, and so is a panel without data that should
// have some.
import { DASHBOARDS } from '../../grafana/dashboards/all.js';
import { type PanelSpec, written } from '../../grafana/spec.js';
import type { Prometheus, Series } from './prometheus.js';

export interface PanelFinding {
  panel: string;
  queries: number;
  has_data: boolean;
  errors: string[];
  may_be_empty: string | null;
}

const STEP_S = 2;
/** Far enough back to hold the whole run. */
const RANGE_S = 180;

export async function checkPanels(prometheus: Prometheus): Promise<PanelFinding[]> {
  const findings: PanelFinding[] = [];
  for (const { uid, panels, rows } of DASHBOARDS) {
    for (const panel of [...panels, ...rows.flatMap((row) => row.panels)]) {
      if (panel.type === 'alertlist') continue;
      findings.push(await checkPanel(prometheus, uid, panel));
    }
  }
  return findings;
}

async function checkPanel(prometheus: Prometheus, uid: string, panel: PanelSpec): Promise<PanelFinding> {
  const errors: string[] = [];
  let with_data = 0;
  for (const { expr, is_instant } of panel.queries) {
    const query = asGrafanaWould(expr);
    const to_s = Date.now() / 1_000;
    try {
      const series = is_instant
        ? await prometheus.query(query)
        : await prometheus.queryRange(query, to_s - RANGE_S, to_s, STEP_S);
      if (series.some(hasNumber)) with_data++;
    } catch (error) {
      errors.push(`${query}: ${(error as Error).message}`);
    }
  }
  return {
    panel: `${uid} / ${panel.title[0]}`,
    queries: panel.queries.length,
    // Of several queries (p50, p95, p99; the columns of a table) each must have something to show.
    has_data: with_data === panel.queries.length,
    errors,
    may_be_empty: panel.may_be_empty ?? null,
  };
}

/** "All" of every variable, and the intervals of a dashboard over these three minutes. */
function asGrafanaWould(expr: string): string {
  return written(expr)
    .replaceAll('$__rate_interval', '10s')
    .replaceAll('$__range', `${RANGE_S}s`)
    .replace(/\$(?:job|instance|supplier|storefront|kind)\b/g, '.+');
}

function hasNumber({ value, values }: Series): boolean {
  return [...(value ? [value] : []), ...(values ?? [])].some(([, number]) => !Number.isNaN(Number(number)));
}
