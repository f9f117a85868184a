import type { Classification, TextInput } from '../types'
import { fit, onOneLine, widthOf } from '../text-width'

export const FORMATS = ['table', 'json', 'csv'] as const
export type Format = (typeof FORMATS)[number]

/** How results are written: a head, where there is one, and a line for each. */
export interface Writer {
  head: string
  line: (input: TextInput, result: Classification) => string
}

/** What stands between the texts of a pair in a table. */
const BETWEEN_PAIR = ' | '

/** Narrowest column that a text is cut to. */
const MIN_TEXT_WIDTH = 16

/**
 * @param top_k labels shown; undefined for what the format shows by itself: all, but the best one in a table
 * @param columns width of the terminal; undefined where the output is no terminal, so that nothing is cut
 * @param pairs whether the texts are pairs, so that CSV has a column for the second one
 */
export function writerOf(
  format: Format,
  labels: readonly string[],
  top_k: number | undefined,
  columns: () => number | undefined,
  pairs = false,
): Writer {
  if (format === 'json') return jsonWriter(top_k)
  return format === 'csv' ? csvWriter(labels, top_k, pairs) : tableWriter(labels, top_k ?? 1, columns)
}

function ranked(scores: Readonly<Record<string, number>>): [label: string, score: number][] {
  return Object.entries(scores).sort(([, a], [, b]) => b - a)
}

/** The columns are as wide as the longest label needs, for rows are written before the next one is known. */
function tableWriter(labels: readonly string[], top_k: number, columns: () => number | undefined): Writer {
  const names = new Map(labels.map((label) => [label, onOneLine(label)]))
  const label_width = Math.max(...[...names.values()].map(widthOf))
  const cell = ([label, score]: [string, number]): string => {
    const name = names.get(label) ?? label
    return `${name}${' '.repeat(label_width - widthOf(name))}  ${score.toFixed(4)}  `
  }
  return {
    head: '',
    line: (input, { scores }) => {
      const cells = ranked(scores).slice(0, top_k).map(cell).join('')
      const width = columns()
      const room = width === undefined ? Infinity : Math.max(width - widthOf(cells), MIN_TEXT_WIDTH)
      return `${cells}${fitted(input, room)}`.trimEnd() + '\n'
    },
  }
}

/** A text, or both of a pair, as far as there is room. */
function fitted(input: TextInput, room: number): string {
  const [text, pair] = typeof input === 'string' ? [input] : [input.text, input.text_pair].map(onOneLine)
  if (pair === undefined) return fit(onOneLine(text ?? ''), room)
  // What one of them does not need is the other's.
  const left = room - BETWEEN_PAIR.length
  const half = Math.floor(left / 2)
  const first = fit(text ?? '', Math.max(half, left - widthOf(pair)))
  return first + BETWEEN_PAIR + fit(pair, left - widthOf(first))
}

function jsonWriter(top_k: number | undefined): Writer {
  return {
    head: '',
    line: (input, { label, score, scores, logits, num_tokens, truncated }) => {
      const shown = top_k === undefined ? scores : Object.fromEntries(ranked(scores).slice(0, top_k))
      const { text, text_pair } = typeof input === 'string' ? { text: input, text_pair: undefined } : input
      return (
        JSON.stringify({ text, text_pair, label, score, scores: shown, logits, num_tokens, truncated }) + '\n'
      )
    },
  }
}

function csvWriter(labels: readonly string[], top_k: number | undefined, pairs: boolean): Writer {
  return {
    head: csvLine([
      'text',
      ...(pairs ? ['text_pair'] : []),
      'label',
      'score',
      ...labels,
      'num_tokens',
      'truncated',
    ]),
    line: (input, { label, score, scores, num_tokens, truncated }) => {
      const shown = new Map(ranked(scores).slice(0, top_k))
      const cells = labels.map((name) => shown.get(name) ?? '')
      const texts = typeof input === 'string' ? [input] : [input.text, input.text_pair]
      return csvLine([...texts, label, score, ...cells, num_tokens, truncated])
    },
  }
}

/** Fields as a line of CSV, quoted where they must be. */
export function csvLine(fields: readonly (string | number | boolean)[]): string {
  return fields.map((field) => csvField(String(field))).join(',') + '\n'
}

function csvField(field: string): string {
  return /[",\r\n]|^\s|\s$/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
}
