import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { createLocker, memoryStore, reportBypass } from '@holdfast/core';
import { faultyStore, virtualClock } from '@holdfast/testing';
import { parser } from '@prometheus-io/lezer-promql';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { instrumentLockers } from '../src/index.ts';

interface Query {
  readonly title: string;
  readonly expr: string;
  readonly legend?: string | undefined;
}

const read = (file: string): string => readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');

const dashboard = JSON.parse(read('grafana/dashboard.json')) as {
  panels: { id: number; title: string; targets: { expr: string; legendFormat: string }[] }[];
  templating: { list: { name: string; query: unknown }[] };
};
const rules = (
  parse(read('prometheus/alerts.yaml')) as {
    groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[];
  }
).groups.flatMap((group) => group.rules);

const panelQueries = dashboard.panels.flatMap(({ title, targets }) =>
  targets.map(({ expr, legendFormat }): Query => ({ title, expr, legend: legendFormat })),
);
const alertQueries = rules.map(({ alert, expr, annotations }): Query => {
  return { title: alert, expr, legend: JSON.stringify(annotations) };
});
const queries = [...panelQueries, ...alertQueries];

/** What the Prometheus exporter serves after all has happened once: names with their labels. */
const served = new Map<string, Set<string>>();

beforeAll(async () => {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const meterProvider = new MeterProvider({ readers: [exporter] });
  const end = instrumentLockers({ meterProvider, traces: false, keyAttribute: () => 'all' });
  const clock = virtualClock({ seed: 1 });
  const faults = faultyStore(memoryStore({ clock }), { clock });
  const locker = createLocker({ store: faults, clock, name: 'orders' });
  const first = await locker.lock('k');
  const caller = new AbortController();
  const next = locker.lock('k');
  const gone = locker.lock('k', { signal: caller.signal });
  gone.catch(() => {});
  await locker.tryLock('k');
  await clock.advance(10);
  caller.abort();
  await first.release();
  await next;
  await clock.advance(5_000);
  await locker.forceRelease('k');
  faults.fail();
  await locker.tryLock('k').catch(() => {});
  reportBypass(locker, { key: 'k' });
  const { resourceMetrics, errors } = await exporter.collect();
  expect(errors).toEqual([]);
  for (const line of new PrometheusSerializer().serialize(resourceMetrics).split('\n')) {
    const [, name, labels = ''] = /^([a-z_]+)\{(.*)\} /.exec(line) ?? [];
    if (name === undefined) continue;
    const known = served.get(name) ?? new Set();
    for (const [, label] of labels.matchAll(/(\w+)="/g)) known.add(label as string);
    served.set(name, known);
  }
  end();
  await meterProvider.shutdown();
});

/** The names that a query asks for, as patterns. */
function selectorsOf(expr: string): { name: RegExp; text: string }[] {
  const byName = [...expr.matchAll(/__name__=~"([^"]+)"/g)].map(([, name]) => name as string);
  const plain = [...expr.replaceAll(/"[^"]*"/g, '""').matchAll(/\bholdfast_\w+/g)].map(
    ([name]) => name,
  );
  return [...byName, ...plain].map((text) => ({ name: new RegExp(`^(${text})$`), text }));
}

const filled = (expr: string): string => expr.replaceAll(/\$__(rate_interval|range)/g, '5m');

describe.each(queries)('the query of $title: $expr', ({ expr, legend = '' }) => {
  test('is PromQL', () => {
    const errors: number[] = [];
    parser.parse(filled(expr)).iterate({
      enter: ({ type, from }) => {
        if (type.isError) errors.push(from);
      },
    });
    expect(errors).toEqual([]);
  });

  test('asks for metrics and labels that are there', () => {
    const selectors = selectorsOf(expr);
    expect(selectors.length).toBeGreaterThan(0);
    for (const { name } of selectors) {
      const names = [...served.keys()].filter((one) => name.test(one));
      expect(names).not.toEqual([]);
      const labels = new Set(names.flatMap((one) => Array.from(served.get(one) ?? [])));
      const used = [
        ...[...expr.matchAll(/by \(([^)]+)\)/g)].flatMap(([, list]) =>
          (list as string).split(', '),
        ),
        ...[...expr.matchAll(/[{,](\w+)(?:=|!)/g)].map(([, label]) => label as string),
        ...[...legend.matchAll(/\{\{ ?(?:\$labels\.)?(\w+) ?\}\}/g)].map(
          ([, label]) => label as string,
        ),
      ].filter((label) => label !== '__name__' && label !== 'le');
      for (const label of used) expect([...labels]).toContain(label);
    }
  });
});

test('every metric is on the dashboard', () => {
  const patterns = panelQueries.flatMap(({ expr }) => selectorsOf(expr).map(({ name }) => name));
  const families = [...served.keys()].filter((name) => !/_(sum|count)$/.test(name));
  const missing = families.filter((name) => !patterns.some((pattern) => pattern.test(name)));
  expect(missing.filter((name) => name !== 'target_info')).toEqual([]);
});

test('the panels have ids of their own and do not overlap', () => {
  const ids = dashboard.panels.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const cells = (
    dashboard.panels as unknown as { gridPos: Record<'x' | 'y' | 'w' | 'h', number> }[]
  ).flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
});
