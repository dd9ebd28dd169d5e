import { init, type EChartsOption } from 'echarts';
import type { Axis, Point } from './axes.ts';

const WIDTH = 860;
const PLOT = { height: 230, top: 96, left: 58, right: 24 };
const INK = '#1f2937';
const LINE = '#c3ccd8';

/** Each library has its own in all pictures; ours is the one that is drawn last, and thick. */
const STYLES: readonly (readonly [library: RegExp, colour: string, symbol: string])[] = [
  [/^holdfast/, '#2563a8', 'circle'],
  [/^redlock 5/, '#b3382c', 'rect'],
  [/^redlock-universal/, '#b9770e', 'triangle'],
  [/^redis-semaphore/, '#2b7a4b', 'diamond'],
  [/^verrou/, '#7b4fa3', 'emptyCircle'],
  [/^simple-redis-mutex/, '#5b6675', 'emptyDiamond'],
  [/^async-mutex/, '#b3382c', 'rect'],
  [/^async-lock/, '#2b7a4b', 'diamond'],
];

/** What a logarithm can show of nothing at all. */
const LEAST = 0.01;

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 2 });

/** A picture of all panels of an axis beside each other, as SVG: on a light card, as the others of the docs are. */
export function draw(axis: Axis, points: readonly Point[], measured: string): string {
  const { panels, title, sizes, libraries, largest } = axis;
  const columns = panels.length === 4 ? 2 : 3;
  const room = WIDTH / columns;
  const rows = Math.ceil(panels.length / columns);
  const rowHeight = PLOT.height + 80;
  const height = PLOT.top + rows * rowHeight + 30;
  const left = (panel: number): number => (panel % columns) * room + PLOT.left;
  const top = (panel: number): number => PLOT.top + Math.floor(panel / columns) * rowHeight;
  const text = { color: INK, fontSize: 12 };
  const log = { type: 'log' as const, minorTick: { show: false } };
  const label = { ...text, fontSize: 11, formatter: (value: number) => compact.format(value) };

  const option: EChartsOption = {
    animation: false,
    textStyle: { fontFamily: 'system-ui, -apple-system, Segoe UI, Roboto, sans-serif' },
    title: {
      text: title,
      subtext: measured,
      left: 18,
      top: 12,
      textStyle: { color: INK, fontSize: 16, fontWeight: 600 },
      subtextStyle: { color: '#5b6675', fontSize: 11 },
    },
    legend: { bottom: 12, data: [...libraries], textStyle: text, itemGap: 18 },
    graphic: {
      type: 'rect',
      z: -10,
      shape: { x: 0.5, y: 0.5, width: WIDTH - 1, height: height - 1, r: 10 },
      style: { fill: '#fbfcfe', stroke: LINE },
    },
    grid: panels.map((_, panel) => ({
      left: left(panel),
      top: top(panel),
      width: room - PLOT.left - PLOT.right,
      height: PLOT.height,
    })),
    xAxis: panels.map((_, panel) => ({
      ...log,
      gridIndex: panel,
      logBase: largest > 100 ? 10 : 2,
      min: 1,
      max: largest,
      name: sizes,
      nameLocation: 'middle',
      nameGap: 28,
      nameTextStyle: text,
      axisLabel: label,
      axisLine: { lineStyle: { color: INK } },
      splitLine: { show: false },
    })),
    yAxis: panels.map(({ label: name }, panel) => ({
      ...log,
      gridIndex: panel,
      name,
      nameLocation: 'end',
      nameTextStyle: { ...text, align: 'left', padding: [0, 0, 0, -50] },
      axisLabel: label,
      splitLine: { lineStyle: { color: '#e4e9f0' } },
    })),
    series: panels.flatMap(({ figure }, panel) =>
      libraries.map((library) => {
        const [, color, symbol] = STYLES.find(([name]) => name.test(library)) ?? [
          '',
          INK,
          'circle',
        ];
        const ours = library.startsWith('holdfast');
        return {
          type: 'line',
          name: library,
          xAxisIndex: panel,
          yAxisIndex: panel,
          data: points
            .filter((point) => point.library === library)
            .map(({ size, figures }) => [size, figures[figure] ?? Number.NaN] as const)
            // Whoever did nothing in that time has no cost of it.
            .filter(([, value]) => Number.isFinite(value))
            .map(([size, value]) => [size, Math.max(value, LEAST)]),
          symbol,
          symbolSize: ours ? 8 : 7,
          z: ours ? 5 : 3,
          lineStyle: { color, width: ours ? 3.5 : 1.5 },
          itemStyle: { color },
        };
      }),
    ),
  };
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  chart.setOption(option);
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg.replace('>', ` role="img"><title>${title}</title>`)}\n`;
}
