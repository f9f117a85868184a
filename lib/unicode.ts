import * as tables from './unicode-tables'

/** What the reference tokenizer does with a code point, as bits of {@link flags}. */
export const REMOVED = 1
export const WHITESPACE = 2
export const CJK = 4
export const PUNCTUATION = 8
export const NONSPACING = 16
export const NONSTARTER = 32
export const DECOMPOSES = 64
export const LOWERS = 128

/**
 * The bits of every code point. One flat megabyte, for it is asked once a character; from tables, for the
 * running engine's own classes change with its Unicode version and ids must not.
 */
export const flags = new Uint8Array(0x110000)

/** Canonical decompositions, Hangul included through {@link decompose}. */
const decomposed = readMappings(tables.DECOMPOSED, DECOMPOSES)
const lowered = readMappings(tables.LOWERED, LOWERS)
const combining_rank = readMappings(tables.COMBINING_RANK, 0)

const HANGUL = 0xac00
const HANGUL_END = 0xd7a4

readRuns(tables.REMOVED, REMOVED)
readRuns(tables.WHITESPACE, WHITESPACE)
readRuns(tables.CJK, CJK)
readRuns(tables.PUNCTUATION, PUNCTUATION)
readRuns(tables.NONSPACING, NONSPACING)
readRuns(tables.NONSTARTER, NONSTARTER)
for (let code_point = HANGUL; code_point < HANGUL_END; code_point++) {
  flags[code_point] = (flags[code_point] ?? 0) | DECOMPOSES
}

/** The full canonical decomposition of a code point that `DECOMPOSES`. */
export function decompose(code_point: number): readonly number[] {
  if (code_point < HANGUL || code_point >= HANGUL_END) return decomposed.get(code_point) ?? [code_point]
  const index = code_point - HANGUL
  const jamo = [0x1100 + Math.floor(index / 588), 0x1161 + Math.floor((index % 588) / 28)]
  if (index % 28 > 0) jamo.push(0x11a7 + (index % 28))
  return jamo
}

/** The lower case of a code point that `LOWERS`, whatever stands around it. */
export function lower(code_point: number): readonly number[] {
  return lowered.get(code_point) ?? [code_point]
}

/** Orders marks that are `NONSTARTER` and not `NONSPACING` as their combining classes do. */
export function combiningRank(code_point: number): number {
  return combining_rank.get(code_point)?.[0] ?? 0
}

function readRuns(text: string, bit: number): void {
  let at = 0
  numbers(text).forEach((number, index) => {
    const end = at + number
    if (index % 2 === 0) at = end
    for (; at < end; at++) flags[at] = (flags[at] ?? 0) | bit
  })
}

function readMappings(text: string, bit: number): Map<number, readonly number[]> {
  const mappings = new Map<number, readonly number[]>()
  let source = 0
  for (const entry of text.trim().split(/\s+/)) {
    const [gap = '', targets = ''] = entry.split(':')
    source += parseInt(gap, 36)
    mappings.set(
      source,
      targets.split(',').map((target) => parseInt(target, 36)),
    )
    flags[source] = (flags[source] ?? 0) | bit
  }
  return mappings
}

function numbers(text: string): number[] {
  return text
    .trim()
    .split(/\s+/)
    .map((number) => parseInt(number, 36))
}
