// What a dashboard is made of, as plain data in two languages. kit.ts turns it into Grafana's JSON; the gates and
// `npm run observe` read the same data.

/** English, and 简体中文. */
export type Text = readonly [en: string, zh: string];

export interface QuerySpec {
  /** `$M` stands for the job and instance selectors, `$S` for those and the supplier. */
  expr: string;
  /** In Grafana's form: `{{supplier}}`. */
  legend?: string;
  /** One value now rather than a series over time. */
  is_instant?: true;
  /** Table columns: its heading and unit. */
  column?: { title: Text; unit: Unit; steps?: Steps; mapping?: 'circuit' };
}

export type Unit = 'none' | 'short' | 'percentunit' | 's' | 'ops' | 'opm' | 'reqps' | 'bytes' | 'string';
/** From this value on, this colour; the first from the beginning. */
export type Steps = readonly (readonly [from: number | null, colour: 'green' | 'orange' | 'red' | 'blue' | 'text'])[];
export type PanelType =
  | 'stat'
  | 'gauge'
  | 'timeseries'
  | 'table'
  | 'bargauge'
  | 'piechart'
  | 'barchart'
  | 'heatmap'
  | 'state-timeline'
  | 'alertlist';

export interface PanelSpec {
  type: PanelType;
  title: Text;
  about: Text;
  unit: Unit;
  queries: readonly QuerySpec[];
  /** Of 24. */
  width: number;
  height?: number;
  steps?: Steps;
  mapping?: 'circuit';
  max?: number;
  /** Least time between two points: for the few queries over long ranges. */
  interval?: string;
  /** Click on a supplier to see it in detail. */
  links_to_supplier?: true;
  /** Why it may rightly have no data while all is well; the live gate accepts an empty answer only then. */
  may_be_empty?: string;
}

export interface RowSpec {
  title: Text;
  is_collapsed?: true;
  panels: readonly PanelSpec[];
}

export type VariableName = 'supplier' | 'storefront' | 'kind';

export interface DashboardSpec {
  /** Also the file's name; the Chinese twin has `-zh` after it. */
  uid: string;
  title: Text;
  about: Text;
  range: string;
  refresh: string;
  variables: readonly VariableName[];
  /** Without a heading of their own, on top. */
  panels: readonly PanelSpec[];
  rows: readonly RowSpec[];
}

export const MATCH = 'job=~"$job", instance=~"$instance"';

/** The query with its selectors written out. */
export function written(expr: string): string {
  return expr
    .replaceAll('$M', MATCH)
    .replaceAll('$S', `${MATCH}, supplier=~"$supplier"`)
    .replace(/\s*\n\s*/g, ' ');
}
