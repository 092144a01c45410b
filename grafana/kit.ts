// Turns a dashboard's plain data into Grafana's JSON, with Grafana's own builders, in either language.
import * as barchart from '@grafana/grafana-foundation-sdk/barchart';
import * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as grafana from '@grafana/grafana-foundation-sdk/dashboard';
import * as gauge from '@grafana/grafana-foundation-sdk/gauge';
import * as heatmap from '@grafana/grafana-foundation-sdk/heatmap';
import * as piechart from '@grafana/grafana-foundation-sdk/piechart';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import type { DashboardSpec, PanelSpec, QuerySpec, Steps, Text, VariableName } from './spec.js';
import { written } from './spec.js';

export type Language = 'en' | 'zh';
const DATASOURCE = { type: 'prometheus', uid: '$datasource' };

/** Words of the kit's own. */
const WORDS = {
  datasource: ['Data source', 'Data source'],
  job: ['Job', 'Job'],
  instance: ['Instance', 'Instance'],
  supplier: ['Supplier', '供货账户'],
  storefront: ['Storefront', '下游商户'],
  kind: ['Kind', '类型'],
  related: ['Kamigate', 'Kamigate'],
  started: ['Process started', '进程启动'],
  opened: ['Circuit opened', '熔断打开'],
  detail: ['Supplier in detail', '查看该供货账户'],
  closed: ['closed', '正常'],
  half_open: ['half-open', '试探'],
  open: ['open', '熔断'],
  paused: ['paused', '暂停'],
} as const satisfies Record<string, Text>;

/** The dashboard as Grafana reads it. The linter asks for the labels of the common variables in English. */
export function buildDashboard(spec: DashboardSpec, language: Language): grafana.Dashboard {
  const say = (text: Text): string => text[language === 'en' ? 0 : 1];
  const suffix = language === 'en' ? '' : '-zh';
  const builder = new grafana.DashboardBuilder(say(spec.title))
    .uid(`${spec.uid}${suffix}`)
    .description(say(spec.about))
    .tags(['kamigate', language === 'en' ? 'en' : 'zh-CN'])
    .timezone('browser')
    .readonly()
    .tooltip(grafana.DashboardCursorSync.Crosshair)
    .refresh(spec.refresh)
    .time({ from: spec.range, to: 'now' })
    .link(linkToOthers(say, language));
  addVariables(builder, spec.variables, say);
  addAnnotations(builder, say);
  const ids = { next: 1 };
  for (const panel of spec.panels) builder.withPanel(buildPanel(panel, { say, suffix, ids }));
  for (const row of spec.rows) {
    const panels = row.panels.map((panel) => buildPanel(panel, { say, suffix, ids }));
    const heading = new grafana.RowBuilder(say(row.title)).id(ids.next++);
    // Only a collapsed row holds its panels; an open one stands above them.
    if (row.is_collapsed) for (const panel of panels) heading.withPanel(panel);
    builder.withRow(heading.collapsed(row.is_collapsed ?? false));
    if (!row.is_collapsed) for (const panel of panels) builder.withPanel(panel);
  }
  return placed(builder.build());
}

function linkToOthers(say: (text: Text) => string, language: Language): grafana.DashboardLinkBuilder {
  return new grafana.DashboardLinkBuilder(say(WORDS.related))
    .type(grafana.DashboardLinkType.Dashboards)
    .tags(['kamigate', language === 'en' ? 'en' : 'zh-CN'])
    .asDropdown(true)
    .includeVars(true)
    .keepTime(true);
}

const VARIABLE_QUERIES: Readonly<Record<VariableName, string>> = {
  supplier: 'label_values(kamigate_supplier_enabled{job=~"$job", instance=~"$instance"}, supplier)',
  storefront: 'label_values(kamigate_orders_created_total{job=~"$job", instance=~"$instance"}, storefront)',
  kind: 'label_values(kamigate_orders_created_total{job=~"$job", instance=~"$instance"}, kind)',
};

function addVariables(
  builder: grafana.DashboardBuilder,
  names: readonly VariableName[],
  say: (text: Text) => string,
): void {
  builder.withVariable(
    new grafana.DatasourceVariableBuilder('datasource').label(say(WORDS.datasource)).type('prometheus').multi(false),
  );
  const choice = (name: 'job' | 'instance' | VariableName, query: string): grafana.QueryVariableBuilder =>
    new grafana.QueryVariableBuilder(name)
      .label(say(WORDS[name]))
      .query(query)
      .datasource(DATASOURCE)
      .refresh(grafana.VariableRefresh.OnTimeRangeChanged)
      .sort(grafana.VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true)
      .allValue('.+')
      .current({ selected: true, text: ['All'], value: ['$__all'] });
  builder.withVariable(choice('job', 'label_values(kamigate_build_info, job)'));
  builder.withVariable(choice('instance', 'label_values(kamigate_build_info{job=~"$job"}, instance)'));
  for (const name of names) builder.withVariable(choice(name, VARIABLE_QUERIES[name]));
}

function addAnnotations(builder: grafana.DashboardBuilder, say: (text: Text) => string): void {
  const mark = (name: Text, expr: string, colour: string, title: string) =>
    new grafana.AnnotationQueryBuilder()
      .name(say(name))
      .datasource(DATASOURCE)
      .enable(true)
      .iconColor(colour)
      .expr(written(expr))
      .step('60s')
      .titleFormat(title);
  builder.annotation(mark(WORDS.started, 'changes(process_start_time_seconds{$M}[2m]) > 0', 'blue', '{{instance}}'));
  builder.annotation(
    mark(
      WORDS.opened,
      'sum by (supplier) (increase(kamigate_supplier_circuit_transitions_total{$M, to="open"}[2m])) > 0',
      'red',
      '{{supplier}}',
    ),
  );
}

interface Around {
  say: (text: Text) => string;
  suffix: string;
  ids: { next: number };
}

/** What every builder of a panel can do; their types share no name for it. */
interface AnyPanel extends Builder<grafana.Panel> {
  id(id: number): this;
  title(title: string): this;
  description(description: string): this;
  datasource(datasource: common.DataSourceRef): this;
  gridPos(position: grafana.GridPos): this;
  unit(unit: string): this;
  withTarget(target: Builder<Dataquery>): this;
  thresholds(thresholds: Builder<grafana.ThresholdsConfig>): this;
  colorScheme(colour: Builder<grafana.FieldColor>): this;
  mappings(mappings: grafana.ValueMapping[]): this;
  dataLinks(links: Builder<grafana.DashboardLink>[]): this;
  min(min: number): this;
  max(max: number): this;
  interval(interval: string): this;
}

function buildPanel(spec: PanelSpec, around: Around): AnyPanel {
  const { say, suffix, ids } = around;
  const panel = emptyPanel(spec, around);
  panel
    .id(ids.next++)
    .title(say(spec.title))
    .description(say(spec.about));
  panel.gridPos({ x: 0, y: 0, w: spec.width, h: spec.height ?? (spec.width <= 4 ? 4 : 8) });
  if (spec.type === 'alertlist') return panel;
  panel.datasource(DATASOURCE);
  for (const [at, query] of spec.queries.entries()) panel.withTarget(targetOf(query, at, spec));
  panel.unit(spec.unit);
  if (spec.max !== undefined) panel.min(0).max(spec.max);
  if (spec.interval !== undefined) panel.interval(spec.interval);
  if (spec.steps) panel.thresholds(thresholdsOf(spec.steps));
  if (spec.steps && spec.type !== 'timeseries') {
    panel.colorScheme(new grafana.FieldColorBuilder().mode(grafana.FieldColorModeId.Thresholds));
  }
  if (spec.mapping) panel.mappings([circuitMapping(say)]).colorScheme(byThresholds());
  if (spec.links_to_supplier) panel.dataLinks([linkToSupplier(say, suffix)]);
  return panel;
}

function emptyPanel(spec: PanelSpec, { say }: Around): AnyPanel {
  const last = new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']);
  switch (spec.type) {
    case 'stat':
      return new stat.PanelBuilder()
        .reduceOptions(last)
        .graphMode(
          spec.queries.some(({ is_instant }) => is_instant)
            ? common.BigValueGraphMode.None
            : common.BigValueGraphMode.Area,
        )
        .colorMode(common.BigValueColorMode.Value) as unknown as AnyPanel;
    case 'gauge':
      return new gauge.PanelBuilder().reduceOptions(last) as unknown as AnyPanel;
    case 'bargauge':
      return new bargauge.PanelBuilder()
        .reduceOptions(last)
        .orientation(common.VizOrientation.Horizontal)
        .displayMode(common.BarGaugeDisplayMode.Basic) as unknown as AnyPanel;
    case 'piechart':
      return new piechart.PanelBuilder()
        .reduceOptions(last)
        .pieType(piechart.PieChartType.Donut) as unknown as AnyPanel;
    case 'barchart':
      return new barchart.PanelBuilder().orientation(common.VizOrientation.Vertical) as unknown as AnyPanel;
    case 'heatmap':
      return new heatmap.PanelBuilder().calculate(false) as unknown as AnyPanel;
    case 'state-timeline':
      return new statetimeline.PanelBuilder()
        .mergeValues(true)
        .showValue(common.VisibilityMode.Never) as unknown as AnyPanel;
    case 'table':
      return tableOf(spec, say);
    case 'timeseries':
      return new timeseries.PanelBuilder()
        .lineWidth(1)
        .fillOpacity(0)
        .showPoints(common.VisibilityMode.Never)
        .spanNulls(false)
        .legend(
          new common.VizLegendOptionsBuilder()
            .displayMode(common.LegendDisplayMode.List)
            .placement(common.LegendPlacement.Bottom)
            .showLegend(true)
            .calcs([]),
        ) as unknown as AnyPanel;
    case 'alertlist':
      // Grafana's own panel of alerts; the SDK has no builder for it.
      return new grafana.PanelBuilder().type('alertlist').options({
        viewMode: 'list',
        alertName: 'Kamigate',
        stateFilter: { firing: true, pending: true },
      }) as unknown as AnyPanel;
  }
}

function tableOf(spec: PanelSpec, say: (text: Text) => string): AnyPanel {
  const panel = new table.PanelBuilder().showHeader(true);
  const columns = spec.queries.filter(({ column }) => column);
  if (columns.length === 0) return panel as unknown as AnyPanel;
  const letters = spec.queries.map((_, at) => refIdOf(at));
  const excluded = Object.fromEntries(letters.map((_, at) => [at === 0 ? 'Time' : `Time ${at + 1}`, true]));
  panel.withTransformation({ id: 'joinByField', options: { byField: 'supplier', mode: 'outer' } });
  panel.withTransformation({
    id: 'organize',
    options: {
      excludeByName: { ...excluded, 'Time 1': true },
      renameByName: Object.fromEntries(columns.map(({ column }, at) => [`Value #${refIdOf(at)}`, say(column!.title)])),
    },
  });
  for (const { column } of columns) {
    const properties: grafana.DynamicConfigValue[] = [{ id: 'unit', value: column!.unit }];
    if (column!.steps) {
      properties.push({ id: 'thresholds', value: thresholdsOf(column!.steps).build() });
      properties.push({ id: 'custom.cellOptions', value: { type: 'color-text' } });
    }
    if (column!.mapping) {
      properties.push({ id: 'mappings', value: [circuitMapping(say)] });
      properties.push({ id: 'custom.cellOptions', value: { type: 'color-background' } });
    }
    panel.overrideByName(say(column!.title), properties);
  }
  return panel as unknown as AnyPanel;
}

function refIdOf(at: number): string {
  return String.fromCharCode(65 + at);
}

function targetOf(query: QuerySpec, at: number, spec: PanelSpec): Builder<Dataquery> {
  const target = new prometheus.DataqueryBuilder()
    .expr(written(query.expr))
    .refId(refIdOf(at))
    .datasource(DATASOURCE)
    .editorMode(prometheus.QueryEditorMode.Code)
    .legendFormat(query.legend ?? '__auto');
  if (spec.type === 'table') target.format(prometheus.PromQueryFormat.Table);
  if (spec.type === 'heatmap') target.format(prometheus.PromQueryFormat.Heatmap).exemplar(true);
  return query.is_instant ? target.instant() : target.range();
}

function thresholdsOf(steps: Steps): grafana.ThresholdsConfigBuilder {
  return new grafana.ThresholdsConfigBuilder()
    .mode(grafana.ThresholdsMode.Absolute)
    .steps(steps.map(([value, color]) => ({ value, color })));
}

function byThresholds(): grafana.FieldColorBuilder {
  return new grafana.FieldColorBuilder().mode(grafana.FieldColorModeId.Thresholds);
}

/** The numbers of `kamigate_supplier_circuit_state`. */
function circuitMapping(say: (text: Text) => string): grafana.ValueMap {
  const { closed, half_open, open, paused } = WORDS;
  return {
    type: grafana.MappingType.ValueToText,
    options: {
      '0': { text: say(closed), color: 'green', index: 0 },
      '1': { text: say(half_open), color: 'orange', index: 1 },
      '2': { text: say(open), color: 'red', index: 2 },
      '3': { text: say(paused), color: 'text', index: 3 },
    },
  };
}

function linkToSupplier(say: (text: Text) => string, suffix: string): grafana.DashboardLinkBuilder {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana fills it in
  const variables = 'var-supplier=${__field.labels.supplier}&var-datasource=${datasource}&${__url_time_range}';
  return new grafana.DashboardLinkBuilder(say(WORDS.detail))
    .type(grafana.DashboardLinkType.Link)
    .url(`/d/kamigate-supplier-detail${suffix}?${variables}`);
}

/** Puts the panels side by side, row by row: the SDK's own placing starts a new line only at exactly 24. */
function placed(dashboard: grafana.Dashboard): grafana.Dashboard {
  let [x, y, line] = [0, 0, 0];
  const put = (panel: { gridPos?: grafana.GridPos }, width: number, height: number): void => {
    if (x + width > 24) [x, y, line] = [0, y + line, 0];
    panel.gridPos = { x, y, w: width, h: height };
    x += width;
    line = Math.max(line, height);
  };
  for (const each of dashboard.panels ?? []) {
    if ('panels' in each && each.type === 'row') {
      [x, y, line] = [0, y + line, 0];
      put(each, 24, 1);
      for (const inner of each.panels) put(inner, inner.gridPos!.w, inner.gridPos!.h);
    } else put(each, each.gridPos!.w, each.gridPos!.h);
  }
  return dashboard;
}
