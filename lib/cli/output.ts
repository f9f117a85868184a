import type { Classification } from '../types'
import { fit, onOneLine, widthOf } from './text-width'

export const FORMATS = ['table', 'json', 'csv'] as const
export type Format = (typeof FORMATS)[number]

/** How results are written: a head, where there is one, and a line for each. */
export interface Writer {
  head: string
  line: (text: string, result: Classification) => string
}

/** Narrowest column that a text is cut to. */
const MIN_TEXT_WIDTH = 16

/**
 * @param top_k labels shown; undefined for what the format shows by itself: all, but the best one in a table
 * @param columns width of the terminal; undefined where the output is no terminal, so that nothing is cut
 */
export function writerOf(
  format: Format,
  labels: readonly string[],
  top_k: number | undefined,
  columns: () => number | undefined,
): Writer {
  if (format === 'json') return jsonWriter(top_k)
  return format === 'csv' ? csvWriter(labels, top_k) : tableWriter(labels, top_k ?? 1, columns)
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
  const taken = top_k * (label_width + '  0.0000  '.length)
  return {
    head: '',
    line: (text, { scores }) => {
      const shown = onOneLine(text)
      const width = columns()
      const fitted = width === undefined ? shown : fit(shown, Math.max(width - taken, MIN_TEXT_WIDTH))
      return `${ranked(scores).slice(0, top_k).map(cell).join('')}${fitted}`.trimEnd() + '\n'
    },
  }
}

function jsonWriter(top_k: number | undefined): Writer {
  return {
    head: '',
    line: (text, { label, score, scores, logits, num_tokens, truncated }) => {
      const shown = top_k === undefined ? scores : Object.fromEntries(ranked(scores).slice(0, top_k))
      return JSON.stringify({ text, label, score, scores: shown, logits, num_tokens, truncated }) + '\n'
    },
  }
}

function csvWriter(labels: readonly string[], top_k: number | undefined): Writer {
  return {
    head: csvLine(['text', 'label', 'score', ...labels, 'num_tokens', 'truncated']),
    line: (text, { label, score, scores, num_tokens, truncated }) => {
      const shown = new Map(ranked(scores).slice(0, top_k))
      const cells = labels.map((name) => shown.get(name) ?? '')
      return csvLine([text, label, score, ...cells, num_tokens, truncated])
    },
  }
}

function csvLine(fields: readonly (string | number | boolean)[]): string {
  return fields.map((field) => csvField(String(field))).join(',') + '\n'
}

function csvField(field: string): string {
  return /[",\r\n]|^\s|\s$/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
}
