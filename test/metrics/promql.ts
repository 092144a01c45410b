// Reads a PromQL query with Prometheus' own grammar: whether it parses, and which metrics and labels it uses where.
import { parser } from '@prometheus-io/lezer-promql';

type SyntaxNode = ReturnType<typeof parser.parse>['topNode'];

export interface Selector {
  metric: string;
  /** Label → operator and value. */
  matchers: { label: string; op: string; value: string }[];
  /** The function right around it: `rate`, `increase`; null outside of any. */
  within: string | null;
  /** The range in brackets, if any. */
  range: string | null;
}
export interface Query {
  /** Where the grammar gave up; null if it did not. */
  error: string | null;
  selectors: Selector[];
  /** Labels named in by, without, on, ignoring. */
  grouped: string[];
}

/** Grafana fills these in before Prometheus sees the query; the grammar does not know them. */
export function withoutMacros(query: string): string {
  return query.replaceAll('$__rate_interval', '5m').replaceAll('$__range', '1h').replaceAll('$__interval', '1m');
}

export function readQuery(query: string): Query {
  const text = withoutMacros(query);
  const found: Query = { error: null, selectors: [], grouped: [] };
  const tree = parser.parse(text);
  tree.iterate({
    enter: (ref) => {
      const node = ref.node;
      if (node.type.isError)
        found.error ??= `at ${node.from}: ${text.slice(Math.max(0, node.from - 20), node.from + 20)}`;
      if (node.name === 'VectorSelector') found.selectors.push(selectorOf(node, text));
      if (node.name === 'LabelName' && node.parent?.name === 'GroupingLabels') found.grouped.push(textOf(node, text));
    },
  });
  return found;
}

function textOf(node: SyntaxNode, text: string): string {
  return text.slice(node.from, node.to);
}

function selectorOf(node: SyntaxNode, text: string): Selector {
  const identifier = node.getChild('Identifier');
  const matchers: Selector['matchers'] = [];
  node.cursor().iterate((ref) => {
    if (ref.name !== 'UnquotedLabelMatcher') return;
    const match = /^(\w+)\s*(=~|!~|!=|=)\s*"(.*)"$/s.exec(textOf(ref.node, text));
    if (match) matchers.push({ label: match[1]!, op: match[2]!, value: match[3]! });
  });
  const matrix = node.parent?.name === 'MatrixSelector' ? node.parent : null;
  let around = (matrix ?? node).parent;
  while (around && ['FunctionCallBody', 'FunctionCallArgs', 'ParenExpr'].includes(around.name)) around = around.parent;
  const called = around?.name === 'FunctionCall' ? around.getChild('FunctionIdentifier') : null;
  return {
    metric: identifier ? textOf(identifier, text) : '',
    matchers,
    within: called ? textOf(called, text) : null,
    range: matrix ? (/\[(.*)\]$/s.exec(textOf(matrix, text))?.[1] ?? null) : null,
  };
}
