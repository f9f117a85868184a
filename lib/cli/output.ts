import type { Classification } from '../types'

/** Turns results into lines; each ends with a line break. */
export interface Writer {
  header: string
  line: (text: string, result: Classification) => string
}

export const FORMATS = ['table', 'json', 'csv'] as const
export type Format = (typeof FORMATS)[number]

/**
 * @param labels of the model, in order
 * @param top_k how many labels to show, the highest first; all in the model's order where undefined
 * @param columns width of the terminal; undefined where it is none, and texts are not cut
 */
export function createWriter(
  format: Format,
  labels: readonly string[],
  top_k: number | undefined,
  columns: number | undefined,
): Writer {
  if (format === 'json') return { header: '', line: (text, result) => jsonLine(text, result, top_k) }
  if (format === 'csv') return csvWriter(labels, top_k)
  return { header: '', line: (text, result) => tableLine(text, result, labels, top_k ?? 1, columns) }
}

function highest(result: Classification, top_k: number | undefined): [label: string, score: number][] {
  const scores = Object.entries(result.scores)
  return top_k === undefined ? scores : scores.sort(([, a], [, b]) => b - a).slice(0, top_k)
}

function jsonLine(text: string, result: Classification, top_k: number | undefined): string {
  const { label, score, logits, num_tokens, truncated } = result
  const scores = Object.fromEntries(highest(result, top_k))
  return `${JSON.stringify({ text, label, score, scores, logits, num_tokens, truncated })}\n`
}

function csvWriter(labels: readonly string[], top_k: number | undefined): Writer {
  const header = ['text', 'label', 'score', ...labels, 'num_tokens', 'truncated'].map(csvField).join(',')
  return {
    header: `${header}\n`,
    line: (text, result) => {
      const shown = new Map(highest(result, top_k))
      const scores = labels.map((label) => shown.get(label) ?? '')
      const fields = [text, result.label, result.score, ...scores, result.num_tokens, result.truncated]
      return `${fields.map(csvField).join(',')}\n`
    },
  }
}

/** RFC 4180: quoted where it holds a comma, a quote or a line break. */
function csvField(value: string | number | boolean): string {
  const text = String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** `positive  0.987  I love this restaurant!`; the columns are as wide as the longest label. */
function tableLine(
  text: string,
  result: Classification,
  labels: readonly string[],
  top_k: number,
  columns: number | undefined,
): string {
  const width = Math.max(...labels.map(displayWidth))
  const scores = highest(result, top_k)
    .map(([label, score]) => `${label}${' '.repeat(width - displayWidth(label))}  ${score.toFixed(3)}`)
    .join('  ')
  // One line a text; control characters would move the cursor.
  const flat = text.replace(/\p{Cc}+/gu, ' ')
  const room = columns === undefined ? Infinity : Math.max(10, columns - scores.length - 3)
  return `${scores}  ${fit(flat, room)}`.trimEnd() + '\n'
}

function fit(text: string, room: number): string {
  if (room === Infinity || displayWidth(text.slice(0, room + 1)) <= room) return text
  let width = 1
  let kept = ''
  for (const character of text) {
    width += displayWidth(character)
    if (width > room) break
    kept += character
  }
  return `${kept}…`
}

/** Columns of a terminal: East Asian wide characters and emoji take two, combining marks none. */
function displayWidth(text: string): number {
  let width = 0
  for (const character of text) {
    if (/\p{Mn}|\p{Me}|\p{Cf}/u.test(character)) continue
    width += WIDE.test(character) ? 2 : 1
  }
  return width
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u
