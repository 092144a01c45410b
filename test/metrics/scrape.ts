// Reads an exposition: series by name and labels. Strict enough to fail on what Prometheus would not take.
export interface Scrape {
  /** Every sample line. */
  samples: { name: string; labels: Record<string, string>; value: number; exemplar: string | null }[];
  help: Map<string, string>;
  type: Map<string, string>;
  /** The value of the one series with these labels; undefined if there is none. */
  value(name: string, labels?: Record<string, string>): number | undefined;
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*?)\})? (\S+)(?: # (\{.*?\} \S+ \S+))?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)",?/y;

export function readScrape(body: string): Scrape {
  const scrape: Scrape = {
    samples: [],
    help: new Map(),
    type: new Map(),
    value: (name, labels = {}) =>
      scrape.samples.find(
        (sample) =>
          sample.name === name &&
          Object.keys(sample.labels).length === Object.keys(labels).length &&
          Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
      )?.value,
  };
  for (const line of body.split('\n')) {
    if (line === '' || line === '# EOF') continue;
    const meta = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (meta) {
      const into = meta[1] === 'HELP' ? scrape.help : scrape.type;
      if (into.has(meta[2]!)) throw new Error(`${meta[1]} of ${meta[2]} comes twice`);
      into.set(meta[2]!, meta[3]!);
      continue;
    }
    const [, name, labels = '', value, exemplar = null] = SAMPLE.exec(line) ?? [];
    if (name === undefined) throw new Error(`no sample: ${line}`);
    scrape.samples.push({ name, labels: readLabels(labels), value: Number(value), exemplar });
  }
  return scrape;
}

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const at = LABEL.lastIndex;
    const match = LABEL.exec(text);
    if (!match) throw new Error(`no label at ${at} of ${text}`);
    labels[match[1]!] = match[2]!;
  }
  return labels;
}
