import { type Drawing, drawSvg } from './draw-svg'
import { figure, rows as rowsOf, shortCount } from './html'
import type { Curve, PageData } from './page-data'
import {
  type Box,
  FONT,
  MUTED,
  UNSEEN,
  boxes,
  diagonal,
  fitted,
  isolatedOnPlot,
  line,
  unitAxis,
  widthOf,
} from './plot-parts'

/*
 * The page's figures as SVG. Colours are the page's CSS variables, so that they follow the reader's theme. Sizes are
 * in pixels of a drawing that the page scales to its column: 380 is about a phone's width, and a third of a desk's.
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
const HEAT_STEPS = 10

const WIDTH = 380
const SMALL_WIDTH = 190
const SMALL_HEIGHT = 150

/** How the line of each class is broken, so that it is known without its colour. */
const DASHES: readonly (readonly number[])[] = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [14, 4]]

function dashes(index: number): readonly number[] {
  return DASHES[index % DASHES.length] ?? []
}

/** The same for the legend: an SVG dash array. */
export function dashArray(index: number): string {
  return dashes(index).length ? dashes(index).join(' ') : 'none'
}

function plot(drawing: Drawing, width: number, height: number, least_width = 0): Plot {
  return { svg: drawSvg(drawing, width, height), width, least_width }
}

/** Counts, shaded by their share of the true class. */
export function confusionPlot(labels: readonly string[], matrix: readonly (readonly number[])[]): Plot {
  const roomy = labels.length <= 8
  const side = roomy ? Math.max(54, Math.min(96, 290 / labels.length)) : 34
  const height = roomy ? Math.max(42, side * 0.66) : 26
  const names = labels.map((label) => fitted(label, 130))
  const longest = Math.max(...names.map(widthOf))
  const turned = longest > side - 6
  const left = longest + 34
  const top = turned ? longest * 0.71 + 40 : 46
  const right = turned ? longest * 0.71 : 4
  const width = Math.max(left + side * labels.length + right, WIDTH)
  const cells = matrix.flatMap((row, truth) => {
    const total = row.reduce((sum, value) => sum + value, 0)
    return row.map((value, predicted): Box => {
      const share = total > 0 ? value / total : 0
      const step = value === 0 ? 0 : Math.max(1, Math.ceil(share * HEAT_STEPS))
      const percent = roomy && total > 0 ? `\n${(share * 100).toFixed(0)}%` : ''
      return {
        color: `var(--heat-${step})`,
        radius: 3,
        shape: (at) => {
          const { x, y } = at(predicted, truth)
          return { x: x - side / 2 + 1, y: y - height / 2 + 1, width: side - 2, height: height - 2 }
        },
        text: {
          text: `${shortCount(value)}${percent}`,
          color: `var(--heat-${step}-ink)`,
          size: side > 60 ? FONT + 1 : side > 40 ? FONT : 10,
          position: 'inside',
        },
      }
    })
  })
  const axis = {
    type: 'category' as const,
    data: names,
    silent: true,
    axisLine: { show: false },
    axisTick: { show: false },
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
      axisLabel: { ...axis_label, ...(turned && { rotate: -45 }) },
    },
    yAxis: { ...axis, inverse: true, name: 'true', nameGap: left - 14, axisLabel: axis_label },
    series: [boxes(cells)],
  }
  return plot(drawing, width, top + height * labels.length + 4, width > 480 ? width * 0.8 : 0)
}

/** Curves in one frame, or one in a small frame. */
export function curvesPlot(
  curves: readonly Curve[],
  axes: { x: string; y: string },
  options: { chance: boolean; small?: boolean },
): Plot {
  const { chance, small = false } = options
  const lines = curves.map(({ points }, index) => {
    const type = dashes(index).length ? [...dashes(index)] : ('solid' as const)
    return line(points, { color: `var(--series-${index % MOST_LINES})`, width: 2, type })
  })
  const series = [...(chance ? [diagonal()] : []), ...lines]
  if (small) {
    const grid = { left: 26, top: 8, right: 10, bottom: 22 }
    const axis = unitAxis('', 0, 1)
    return plot({ grid, xAxis: axis, yAxis: axis, series }, SMALL_WIDTH, SMALL_HEIGHT)
  }
  const grid = { left: 48, top: 10, right: 14, bottom: 44 }
  return plot({ grid, xAxis: unitAxis(axes.x, 28), yAxis: unitAxis(axes.y, 34), series }, WIDTH, 310)
}

/** Accuracy over confidence, and below it how many rows each bin has. */
export function reliabilityPlot(bins: PageData['reliability']): Plot {
  const [left, right] = [48, 14]
  const narrowest = Math.min(...bins.map(({ from, to }) => to - from)) * (WIDTH - left - right)
  const upright = narrowest < 31
  const most = Math.max(...bins.map((bin) => bin.count))
  const points = bins.map(({ confidence, accuracy }) => ({ x: confidence, y: accuracy }))
  const marks = points.map((point): Box => {
    const size = 9
    return {
      color: 'var(--series-0)',
      radius: size / 2,
      shape: (at) => {
        const { x, y } = at(point.x, point.y)
        return { x: x - size / 2, y: y - size / 2, width: size, height: size }
      },
    }
  })
  const counts = bins.map((bin): Box => {
    return {
      color: 'var(--bar)',
      shape: (at) => rectangle(at(bin.from, bin.count), at(bin.to, 0)),
      text: {
        text: shortCount(bin.count),
        color: 'var(--ink)',
        size: upright ? 10 : 11,
        position: 'top',
        upright,
      },
    }
  })
  const drawing: Drawing = {
    grid: [
      { left, right, top: 10, height: 226 },
      { left, right, top: upright ? 316 : 298, height: 56 },
    ],
    xAxis: [unitAxis('confidence', 28), { ...unitAxis(), gridIndex: 1, ...UNSEEN }],
    yAxis: [
      unitAxis('accuracy', 34),
      { ...unitAxis('rows', 34), gridIndex: 1, ...UNSEEN, max: most, interval: most },
    ],
    series: [
      diagonal(),
      line(points, { color: 'var(--series-0)', width: 2 }),
      boxes(marks),
      boxes(counts, 1),
    ],
  }
  return plot(drawing, WIDTH, upright ? 376 : 358)
}

type Counts = Pick<PageData['histograms'][number], 'when_true' | 'when_other'>

/** The largest share of all histograms: with one scale they can be compared. */
export function largestShare(histograms: readonly Counts[]): number {
  return Math.max(
    ...histograms.flatMap(({ when_true, when_other }) => [shares(when_true), shares(when_other)]).flat(),
  )
}

/** Shares up for the texts whose true class it is, down for the others, on a square root scale to `largest`. */
export function histogramPlot(histogram: Counts, largest: number, small: boolean): Plot {
  const most = Math.sqrt(largest)
  const bars = (values: readonly number[], sign: 1 | -1, color: string): Box[] =>
    values.map((value, bin) => ({
      color,
      shape: (at) => {
        const start = at(bin / values.length, sign * Math.sqrt(value))
        return rectangle(start, at((bin + 1) / values.length, 0))
      },
    }))
  const ticks = [0.05, 0.25, 0.5, 1].filter((share) => share <= largest)
  const roots = (small ? ticks.slice(-1) : ticks).map(Math.sqrt)
  const x_axis = small ? unitAxis('', 0, 1) : unitAxis('score', 28)
  const y_axis = unitAxis(small ? '' : 'share of rows', 36)
  const drawing: Drawing = {
    grid: small ? { left: 38, top: 8, right: 10, bottom: 22 } : { left: 52, top: 10, right: 14, bottom: 44 },
    xAxis: {
      ...x_axis,
      splitLine: { show: false },
      axisLine: { show: false, onZero: false },
    },
    yAxis: {
      ...y_axis,
      min: -most,
      max: most,
      splitLine: { show: false },
      axisLabel: {
        ...y_axis.axisLabel,
        customValues: [...roots.map((root) => -root), 0, ...roots],
        formatter: (value: number) => `${Math.round(value * value * 100)}%`,
      },
    },
    series: [
      boxes([
        ...bars(shares(histogram.when_true), 1, 'var(--series-0)'),
        ...bars(shares(histogram.when_other), -1, 'var(--other)'),
      ]),
    ],
  }
  return plot(drawing, small ? SMALL_WIDTH : WIDTH, small ? SMALL_HEIGHT : 260)
}

/** Each count's share of them all. */
function shares(counts: readonly number[]): number[] {
  const total = counts.reduce((sum, value) => sum + value, 0)
  return counts.map((value) => (total > 0 ? value / total : 0))
}

/** Between two corners, with a gap to the next one on its right. */
function rectangle(a: { x: number; y: number }, b: { x: number; y: number }) {
  return { x: a.x, y: Math.min(a.y, b.y), width: b.x - a.x - 1, height: Math.abs(a.y - b.y) }
}

/** A bar for each name, which stands above it with its rows, and beside it the figure; a mark at the reference. */
export function barsPlot(bars: PageData['f1_by_group'], reference: number | null): Plot {
  const [left, right, top, bottom, band, thick] = [8, 58, 2, 24, 44, 12]
  const height = band * bars.length
  const all = bars.flatMap(({ name, f1, rows }, index): Box[] => {
    const bar = (to: number, color: string): Box => ({
      color,
      radius: 2,
      shape: (at) => {
        const { x, y } = at(0, index)
        return { x, y: y + band - thick - 4, width: at(to, index).x - x, height: thick }
      },
    })
    const title: Box = {
      color: 'none',
      shape: (at) => ({ x: at(0, index).x - 4, y: at(0, index).y + 8, width: 0, height: 14 }),
      text: {
        text: `${isolatedOnPlot(fitted(name, 240))} · ${rowsOf(rows)}`,
        color: 'var(--ink)',
        size: FONT,
        position: 'right',
      },
    }
    const value = { text: figure(f1), color: 'var(--ink)', size: FONT, position: 'right' } as const
    const mark: Box = {
      color: 'var(--ink)',
      shape: (at) => {
        const { x, y } = at(reference ?? 0, index)
        return { x: x - 1, y: y + band - thick - 7, width: 2, height: thick + 6 }
      },
    }
    return [
      title,
      { ...bar(1, 'var(--track)'), text: value },
      bar(f1 ?? 0, 'var(--series-0)'),
      ...(reference === null ? [] : [mark]),
    ]
  })
  const drawing: Drawing = {
    grid: { left, right, top, height },
    xAxis: unitAxis(),
    yAxis: { type: 'value', min: 0, max: bars.length, inverse: true, silent: true, ...UNSEEN },
    series: [boxes(all)],
  }
  return plot(drawing, WIDTH, top + height + bottom)
}
