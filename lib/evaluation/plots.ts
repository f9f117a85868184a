import { type Drawing, drawSvg } from './draw-svg'
import { count, figure, shortCount, visible } from './html'
import type { Curve, PageData } from './page-data'

/*
 * The page's figures as SVG. Colours are the page's CSS variables, so that they follow the reader's theme, and sizes
 * are in pixels of a drawing that the page scales to its column: 380 wide is a phone's width and a third of a desk's.
 */

/** An `<svg>` element, and the narrowest that it can be shown and still be read. */
export interface Plot {
  svg: string
  width: number
  least_width: number
}

/** More classes than this are drawn one by one: so many lines in one frame cannot be told apart. */
export const MOST_LINES = 6

/** Steps of the heat map's shade, each a variable of the page's style: `--heat-0` is for none at all. */
export const HEAT_STEPS = 10

const WIDTH = 380
const FONT = 12
const MUTED = 'var(--muted)'
const LINES = ['solid', [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4]] as const

/** Text on plots is an element each, so a mark in it that turns the direction cannot reach another. */
function fitted(text: string, width: number): string {
  const characters = Array.from(visible(text))
  let used = 0
  for (const [index, character] of characters.entries()) {
    used += widthOf(character)
    if (used > width)
      return `${characters
        .slice(0, Math.max(index - 1, 1))
        .join('')
        .trimEnd()}…`
  }
  return characters.join('')
}

/** About: there is no font to ask. East Asian characters are square. */
function widthOf(text: string): number {
  let width = 0
  for (const character of text) width += (character.codePointAt(0) ?? 0) > 0x1100 ? FONT : FONT * 0.56
  return width
}

function plot(drawing: Drawing, width: number, height: number, least_width = 0): Plot {
  return { svg: drawSvg(drawing, width, height), width, least_width }
}

/** An axis from 0 to 1 in fifths. */
function unitAxis(name: string, gap: number) {
  return {
    type: 'value' as const,
    min: 0,
    max: 1,
    interval: 0.2,
    silent: true,
    name,
    nameLocation: 'middle' as const,
    nameGap: gap,
    nameTextStyle: { color: MUTED, fontSize: FONT },
    axisLine: { show: false },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: 'var(--grid)' } },
    axisLabel: { color: MUTED, fontSize: FONT },
  }
}

const HIDDEN_AXIS = {
  axisLine: { show: false },
  axisTick: { show: false },
  splitLine: { show: false },
  axisLabel: { show: false },
}

const QUIET = { silent: true, clip: false, emphasis: { disabled: true } } as const

/** Counts, shaded by their share of the true class. */
export function confusionPlot(labels: readonly string[], matrix: readonly (readonly number[])[]): Plot {
  const roomy = labels.length <= 8
  const side = roomy ? Math.max(44, Math.min(96, 290 / labels.length)) : 32
  const height = roomy ? Math.max(44, side * 0.66) : 26
  const names = labels.map((label) => fitted(label, 130))
  const longest = Math.max(...names.map(widthOf))
  const turned = longest > side - 6
  const left = longest + 32
  const top = turned ? longest * 0.71 + 36 : 46
  const right = turned ? longest * 0.71 : 4
  const width = Math.max(left + side * labels.length + right, WIDTH)
  const full_height = top + height * labels.length + 4
  const cells = matrix.flatMap((row, truth) => {
    const total = row.reduce((sum, value) => sum + value, 0)
    return row.map((value, predicted) => {
      const share = total > 0 ? value / total : 0
      const step = value === 0 ? 0 : Math.max(1, Math.ceil(share * HEAT_STEPS))
      const percent = roomy && total > 0 ? `\n${(share * 100).toFixed(0)}%` : ''
      return {
        value: [predicted, truth],
        shade: `var(--heat-${step})`,
        ink: `var(--heat-${step}-ink)`,
        text: `${shortCount(value)}${percent}`,
      }
    })
  })
  const axis = {
    type: 'category' as const,
    data: names,
    silent: true,
    axisLine: { show: false },
    axisTick: { show: false },
    splitArea: { show: false },
    nameLocation: 'middle' as const,
    nameTextStyle: { color: MUTED, fontSize: FONT },
  }
  const axis_label = { color: 'var(--ink)', fontSize: FONT, interval: 0, margin: 8 }
  const drawing: Drawing = {
    grid: { left, top, right: width - left - side * labels.length, bottom: 4 },
    xAxis: {
      ...axis,
      position: 'top',
      name: 'predicted',
      nameGap: top - 18,
      axisLabel: { ...axis_label, ...(turned && { rotate: 45 }) },
    },
    yAxis: { ...axis, inverse: true, name: 'true', nameGap: left - 14, axisLabel: axis_label },
    series: [
      {
        type: 'custom',
        data: cells.map(({ value }) => value),
        renderItem: ({ dataIndex }, api) => {
          const cell = cells[dataIndex]
          if (!cell) return null
          const [x = 0, y = 0] = api.coord(cell.value)
          return {
            type: 'rect',
            shape: { x: x - side / 2 + 1, y: y - height / 2 + 1, width: side - 2, height: height - 2, r: 3 },
            style: { fill: cell.shade },
            textConfig: { position: 'inside' },
            textContent: {
              type: 'text',
              style: {
                text: cell.text,
                fill: cell.ink,
                fontSize: roomy ? FONT + 1 : 10,
                lineHeight: 17,
                align: 'center',
              },
            },
          }
        },
        silent: true,
        clip: false,
      },
    ],
  }
  return plot(drawing, width, full_height, width > 560 ? width * 0.85 : 0)
}

/** Curves in one frame. */
export function curvesPlot(
  curves: readonly Curve[],
  axes: { x: string; y: string },
  options: { chance: boolean; small?: boolean },
): Plot {
  const { chance, small = false } = options
  const width = small ? 190 : WIDTH
  const drawing: Drawing = {
    grid: small ? { left: 26, top: 8, right: 10, bottom: 22 } : { left: 48, top: 10, right: 14, bottom: 44 },
    xAxis: { ...unitAxis(small ? '' : axes.x, 28), ...(small && { interval: 1 }) },
    yAxis: { ...unitAxis(small ? '' : axes.y, 34), ...(small && { interval: 1 }) },
    series: [
      ...(chance ? [diagonal()] : []),
      ...curves.map((curve, index) => ({
        type: 'line' as const,
        data: curve.points.map(({ x, y }) => [x, y]),
        showSymbol: false,
        lineStyle: {
          color: `var(--series-${index % MOST_LINES})`,
          width: 2,
          type: small ? ('solid' as const) : dashes(index),
        },
        ...QUIET,
      })),
    ],
  }
  return plot(drawing, width, small ? 150 : 300)
}

/** How the line of a class is broken, so that it is known without its colour: an ECharts line type. */
function dashes(index: number): 'solid' | number[] {
  const line = LINES[index % LINES.length] ?? 'solid'
  return line === 'solid' ? line : [...line]
}

/** The same for the legend: an SVG dash array. */
export function dashArray(index: number): string {
  const line = dashes(index)
  return line === 'solid' ? 'none' : line.join(' ')
}

function diagonal() {
  return {
    type: 'line' as const,
    data: [
      [0, 0],
      [1, 1],
    ],
    showSymbol: false,
    lineStyle: { color: 'var(--axis)', width: 1, type: 'dashed' as const },
    ...QUIET,
  }
}

/** Accuracy over confidence, and below it how many rows each bin has. */
export function reliabilityPlot(bins: PageData['reliability']): Plot {
  const [left, right] = [48, 14]
  const inner = WIDTH - left - right
  const least = Math.min(...bins.map(({ from, to }) => to - from))
  const turned = inner * least < 34
  const most = Math.max(...bins.map((bin) => bin.count))
  const drawing: Drawing = {
    grid: [
      { left, right, top: 10, height: 226 },
      { left, right, top: 302, height: 62 },
    ],
    xAxis: [
      { ...unitAxis('confidence', 28), gridIndex: 0 },
      { ...unitAxis('', 0), gridIndex: 1, axisLabel: { show: false }, splitLine: { show: false } },
    ],
    yAxis: [
      { ...unitAxis('accuracy', 34), gridIndex: 0 },
      {
        ...unitAxis('rows', 34),
        ...HIDDEN_AXIS,
        gridIndex: 1,
        max: most,
        interval: most,
        axisLine: { show: false },
      },
    ],
    series: [
      diagonal(),
      {
        type: 'line',
        data: bins.map(({ confidence, accuracy }) => [confidence, accuracy]),
        symbol: 'circle',
        symbolSize: 8,
        lineStyle: { color: 'var(--series-0)', width: 2 },
        itemStyle: { color: 'var(--series-0)', borderColor: 'var(--surface)', borderWidth: 1.5 },
        ...QUIET,
      },
      {
        type: 'bar',
        xAxisIndex: 1,
        yAxisIndex: 1,
        barWidth: Math.max(inner * least - 2, 2),
        data: bins.map((bin) => ({
          value: [(bin.from + bin.to) / 2, bin.count],
          label: { formatter: () => shortCount(bin.count) },
        })),
        itemStyle: { color: 'var(--bar)' },
        label: {
          show: true,
          position: 'top',
          color: 'var(--ink)',
          fontSize: turned ? 10 : 11,
          ...(turned && { rotate: 90, align: 'left', verticalAlign: 'middle', distance: 4 }),
        },
        ...QUIET,
      },
    ],
  }
  return plot(drawing, WIDTH, 372)
}

/** Shares up for the texts whose true class it is, down for the others, on a square root scale. */
export function histogramPlot(
  histogram: Pick<PageData['histograms'][number], 'when_true' | 'when_other'>,
  small: boolean,
): Plot {
  const [left, right] = small ? [34, 8] : [48, 14]
  const width = small ? 190 : WIDTH
  const roots = [histogram.when_true, histogram.when_other].map((counts) => {
    const total = counts.reduce((sum, value) => sum + value, 0)
    return counts.map((value) => (total > 0 ? Math.sqrt(value / total) : 0))
  })
  const most = Math.max(...roots.flat(), 0.1)
  const shares = (small ? [0.1, 0.5, 1] : [0.02, 0.1, 0.25, 0.5, 1]).filter(
    (share) => Math.sqrt(share) <= most,
  )
  const ticks = [...shares.map((share) => -Math.sqrt(share)), 0, ...shares.map(Math.sqrt)]
  const bars = (values: readonly number[], sign: 1 | -1, color: string) => ({
    type: 'bar' as const,
    stack: 'both',
    barWidth: (width - left - right) / values.length - (small ? 1 : 2),
    data: values.map((value, bin) => [(bin + 0.5) / values.length, sign * value]),
    itemStyle: { color },
    ...QUIET,
  })
  const [when_true = [], when_other = []] = roots
  const drawing: Drawing = {
    grid: { left, right, top: 10, bottom: small ? 22 : 44 },
    xAxis: {
      ...unitAxis(small ? '' : 'score', 28),
      ...(small && { interval: 1 }),
      splitLine: { show: false },
      axisLine: { show: true, onZero: true, lineStyle: { color: 'var(--axis)' } },
      axisLabel: { color: MUTED, fontSize: FONT },
      offset: 0,
    },
    yAxis: {
      ...unitAxis(small ? '' : 'share of rows', 36),
      min: -most,
      max: most,
      splitLine: { show: false },
      axisLabel: {
        color: MUTED,
        fontSize: FONT,
        customValues: ticks,
        formatter: (value: number) => `${Math.round(value * value * 100)}%`,
      },
    },
    series: [bars(when_true, 1, 'var(--series-0)'), bars(when_other, -1, 'var(--other)')],
  }
  return plot(drawing, width, small ? 150 : 260)
}

/** A bar for each name, which stands above it, and beside it the figure. */
export function barsPlot(bars: PageData['f1_by_group'], reference: number | null): Plot {
  const band = 44
  const [left, right, top, bottom] = [4, 56, 6, 28]
  const row = { type: 'category' as const, inverse: true, silent: true, ...HIDDEN_AXIS }
  const drawing: Drawing = {
    grid: { left, right, top, bottom },
    xAxis: { ...unitAxis('', 0), axisLabel: { color: MUTED, fontSize: FONT } },
    yAxis: [
      {
        ...row,
        data: bars.map(({ name, rows }) => `${fitted(name, 230)}  ·  ${count(rows)}`),
        axisLabel: {
          show: true,
          inside: true,
          margin: 0,
          align: 'left',
          interval: 0,
          padding: [0, 0, 24, 0],
          color: 'var(--ink)',
          fontSize: FONT,
        },
        z: 3,
      },
      {
        ...row,
        position: 'right',
        data: bars.map(({ f1 }) => figure(f1)),
        axisLabel: {
          show: true,
          interval: 0,
          margin: 8,
          padding: [16, 0, 0, 0],
          color: 'var(--ink)',
          fontSize: FONT,
        },
      },
      { type: 'value', min: 0, max: 1, silent: true, ...HIDDEN_AXIS },
    ],
    series: [
      {
        type: 'bar',
        data: bars.map(({ f1 }) => ({ value: f1 ?? 0 })),
        barWidth: 12,
        showBackground: true,
        backgroundStyle: { color: 'var(--track)' },
        itemStyle: { color: 'var(--series-0)' },
        ...QUIET,
      },
      ...(reference === null
        ? []
        : [
            {
              type: 'line' as const,
              yAxisIndex: 2,
              data: [
                [reference, 0],
                [reference, 1],
              ],
              showSymbol: false,
              lineStyle: { color: 'var(--ink)', width: 1, type: 'dashed' as const },
              ...QUIET,
            },
          ]),
    ],
  }
  return plot(drawing, WIDTH, top + band * bars.length + bottom)
}
