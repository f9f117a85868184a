import type { Drawing } from './draw-svg'
import { visible } from './html'

/* What the plots are put together from: axes, lines, boxes, and text that is cut to its room. */

/** Size of text on a plot, in its own pixels. */
export const FONT = 12

export const MUTED = 'var(--muted)'

const STILL = { silent: true, clip: false } as const

/** About: there is no font to ask. East Asian characters are square. */
export function widthOf(text: string): number {
  let width = 0
  for (const character of text) width += (character.codePointAt(0) ?? 0) > 0x1100 ? FONT : FONT * 0.58
  return width
}

/** A name, cut where it is too wide. */
export function fitted(text: string, room: number): string {
  const characters = Array.from(visible(text).trim())
  let used = 0
  for (const [index, character] of characters.entries()) {
    used += widthOf(character)
    if (used > room)
      return `${characters
        .slice(0, Math.max(index - 1, 1))
        .join('')
        .trimEnd()}…`
  }
  return characters.join('')
}

/** Between other text on a line, so that its direction, and marks in it that turn the direction, end with it. */
export function isolatedOnPlot(text: string): string {
  return `\u2068${text}\u2069`
}

/** An axis from 0 to 1, named where there is room for it, with a line every fifth or only the two ends. */
export function unitAxis(name = '', gap = 0, interval = 0.2) {
  return {
    type: 'value' as const,
    min: 0,
    max: 1,
    interval,
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

/** Goes into an axis that only gives places. */
export const UNSEEN = {
  axisLine: { show: false },
  axisTick: { show: false },
  splitLine: { show: false },
  axisLabel: { show: false },
}

/** A line through points; `dashed` as ECharts takes it. */
export function line(
  points: readonly { x: number; y: number }[],
  style: { color: string; width: number; type?: 'solid' | 'dashed' | number[] },
) {
  return {
    type: 'line' as const,
    data: points.map(({ x, y }) => [x, y]),
    showSymbol: false,
    lineStyle: style,
    emphasis: { disabled: true },
    ...STILL,
  }
}

/** From corner to corner. */
export function diagonal() {
  return line(
    [
      { x: 0, y: 0 },
      { x: 1, y: 1 },
    ],
    { color: 'var(--axis)', width: 1, type: 'dashed' },
  )
}

interface Rectangle {
  x: number
  y: number
  width: number
  height: number
}

/** A filled rectangle, with text in or beside it. */
export interface Box {
  color: string
  /** Where it is, in pixels; `at` turns a place on the axes into one on the drawing. */
  shape: (at: (x: number, y: number) => { x: number; y: number }) => Rectangle
  radius?: number
  text?: {
    text: string
    color: string
    size: number
    position: 'inside' | 'top' | 'right'
    /** Reads upwards. */
    upright?: boolean
  }
}

/**
 * Boxes at places of a grid. The library's own bars stand in slots of equal width, and stretch the axis to make room
 * for half a bar at both ends; bins from 0 to 1 must stand exactly where they are.
 */
export function boxes(all: readonly Box[], grid = 0): NonNullable<Drawing['series']> & { type: 'custom' } {
  return {
    type: 'custom',
    xAxisIndex: grid,
    yAxisIndex: grid,
    data: all.map(() => [0, 0]),
    renderItem: ({ dataIndex }, api) => {
      const box = all[dataIndex]
      if (!box) return null
      const shape = box.shape((x, y) => {
        const [left = 0, top = 0] = api.coord([x, y])
        return { x: left, y: top }
      })
      return {
        type: 'rect',
        shape: { ...shape, r: box.radius ?? 0 },
        style: { fill: box.color },
        ...(box.text && withText(box.text)),
      }
    },
    ...STILL,
  }
}

function withText({ text, color, size, position, upright = false }: NonNullable<Box['text']>) {
  return {
    textConfig: { position, distance: 4, ...(upright && { rotation: Math.PI / 2, distance: 14 }) },
    textContent: {
      type: 'text' as const,
      style: { text, fill: color, fontSize: size, fontFamily: 'inherit', lineHeight: size + 4 },
    },
  }
}
