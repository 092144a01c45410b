// What a dashboard of ours may look like, strictly: every key that is not here is refused. It describes the part of
// Grafana's own schema (version 42) that the generator uses, so that a typing mistake or a legacy key cannot pass.
type Schema = Record<string, unknown>;

const text: Schema = { type: 'string' };
const filled: Schema = { type: 'string', minLength: 1 };
const flag: Schema = { type: 'boolean' };
const whole: Schema = { type: 'integer', minimum: 0 };
const list = (items: Schema, more: Schema = {}): Schema => ({ type: 'array', items, ...more });
const only = (...values: unknown[]): Schema => ({ enum: values });

/** An object with these keys and no others; a `?` after a key makes it optional. */
function object(keys: Readonly<Record<string, Schema>>): Schema {
  const names = Object.keys(keys);
  return {
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(names.map((name) => [name.replace('?', ''), keys[name]])),
    required: names.filter((name) => !name.endsWith('?')),
  };
}

const DATASOURCE = object({ type: only('prometheus'), uid: only('$datasource') });
const COLOUR = only('green', 'orange', 'red', 'blue', 'text');
const UNIT = only('none', 'short', 'percentunit', 's', 'ops', 'opm', 'reqps', 'bytes', 'string');
const THRESHOLDS = object({
  mode: only('absolute'),
  steps: list(object({ value: { type: ['number', 'null'] }, color: COLOUR }), { minItems: 1 }),
});
const LINK = {
  title: filled,
  icon: text,
  tooltip: text,
  asDropdown: flag,
  placement: text,
  targetBlank: flag,
  includeVars: flag,
  keepTime: flag,
};
const MAPPING = object({
  type: only('value'),
  options: {
    type: 'object',
    minProperties: 1,
    additionalProperties: false,
    patternProperties: { '^[0-3]$': object({ text: filled, color: COLOUR, index: whole }) },
  },
});
const OVERRIDE = object({
  matcher: object({ id: only('byName'), options: filled }),
  properties: list(object({ id: only('unit', 'thresholds', 'mappings', 'custom.cellOptions'), value: {} }), {
    minItems: 1,
  }),
});
const FIELDS = object({
  defaults: object({
    'unit?': UNIT,
    'min?': { type: 'number' },
    'max?': { type: 'number' },
    'thresholds?': THRESHOLDS,
    'color?': object({ mode: only('thresholds', 'palette-classic') }),
    'mappings?': list(MAPPING, { minItems: 1 }),
    'links?': list(object({ ...LINK, type: only('link'), tags: list(text), url: filled })),
    'custom?': object({
      'lineWidth?': whole,
      'fillOpacity?': whole,
      'gradientMode?': text,
      'showPoints?': only('never'),
      'spanNulls?': flag,
      'align?': text,
      'inspect?': flag,
    }),
  }),
  overrides: list(OVERRIDE),
});
const TARGET = object({
  expr: filled,
  refId: { type: 'string', pattern: '^[A-Z]$' },
  datasource: DATASOURCE,
  editorMode: only('code'),
  legendFormat: filled,
  instant: flag,
  range: flag,
  'format?': only('table', 'heatmap'),
  'exemplar?': flag,
});
const PLACE = object({
  x: { type: 'integer', minimum: 0, maximum: 23 },
  y: whole,
  w: { type: 'integer', minimum: 1, maximum: 24 },
  h: { type: 'integer', minimum: 1, maximum: 20 },
});

const PANEL = object({
  id: { type: 'integer', minimum: 1 },
  type: only('stat', 'gauge', 'timeseries', 'table', 'bargauge', 'piechart', 'barchart', 'heatmap', 'state-timeline'),
  title: filled,
  description: { type: 'string', minLength: 3 },
  transparent: flag,
  'repeatDirection?': text,
  gridPos: PLACE,
  datasource: DATASOURCE,
  targets: list(TARGET, { minItems: 1 }),
  'interval?': { type: 'string', pattern: '^\\d+[smhd]$' },
  'transformations?': list(object({ id: only('joinByField', 'organize'), options: { type: 'object' } })),
  // Each kind of panel has options of its own; the generator's builders are typed.
  options: { type: 'object' },
  fieldConfig: FIELDS,
});
const ALERT_LIST = object({
  id: { type: 'integer', minimum: 1 },
  type: only('alertlist'),
  title: filled,
  description: { type: 'string', minLength: 3 },
  transparent: flag,
  'repeatDirection?': text,
  gridPos: PLACE,
  options: object({ viewMode: only('list'), alertName: filled, stateFilter: { type: 'object' } }),
  'fieldConfig?': object({ defaults: { type: 'object' }, overrides: list({}) }),
});
const ROW = object({
  id: { type: 'integer', minimum: 1 },
  type: only('row'),
  title: filled,
  collapsed: flag,
  gridPos: PLACE,
  panels: list({ anyOf: [PANEL, ALERT_LIST] }),
});
const SETTING = {
  name: filled,
  label: filled,
  skipUrlSync: flag,
  multi: flag,
  allowCustomValue: flag,
  includeAll: flag,
  auto: flag,
  auto_min: text,
  auto_count: whole,
};
const VARIABLE: Schema = {
  anyOf: [
    object({ ...SETTING, type: only('datasource'), query: only('prometheus') }),
    object({
      ...SETTING,
      type: only('query'),
      query: filled,
      datasource: DATASOURCE,
      refresh: only(2),
      sort: whole,
      allValue: only('.+'),
      current: { type: 'object' },
    }),
  ],
};
const ANNOTATION = object({
  name: filled,
  enable: flag,
  hide: flag,
  iconColor: text,
  builtIn: whole,
  placement: text,
  datasource: DATASOURCE,
  expr: filled,
  step: text,
  titleFormat: text,
});

export const DASHBOARD_SCHEMA: Schema = object({
  uid: { type: 'string', pattern: '^kamigate-[a-z-]{3,34}$' },
  title: { type: 'string', pattern: '^Kamigate / ' },
  description: { type: 'string', minLength: 10 },
  tags: list(filled, { minItems: 2, maxItems: 2 }),
  timezone: only('browser'),
  editable: only(false),
  graphTooltip: only(1),
  fiscalYearStartMonth: only(0),
  schemaVersion: only(42),
  refresh: only('30s', '5m'),
  time: object({ from: only('now-1h', 'now-30d'), to: only('now') }),
  links: list(object({ ...LINK, type: only('dashboards'), tags: list(filled, { minItems: 1 }) })),
  templating: object({ list: list(VARIABLE, { minItems: 3 }) }),
  annotations: object({ list: list(ANNOTATION) }),
  panels: list({ anyOf: [PANEL, ALERT_LIST, ROW] }, { minItems: 1 }),
});
