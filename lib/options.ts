import { isToken } from './hub/client'
import { isRevision, type HubSettings } from './hub/locate'
import type { ClassifyOptions, LoadOptions, SourceOptions } from './types'

/** `LoadOptions` with every default decided, but for `threads`, whose default the machine decides. */
export interface LoadSettings extends HubSettings {
  device: string
  dtype: 'auto' | 'fp32' | 'bf16' | 'fp16' | 'int8'
  threads: number | undefined
  libtorch: string | undefined
}

/** `ClassifyOptions` with every default decided. */
export interface ClassifySettings {
  signal: AbortSignal | undefined
  max_length: number
  long_text: 'truncate' | 'error' | 'window'
  max_text_chars: number
}

const DTYPES = ['auto', 'fp32', 'bf16', 'fp16', 'int8'] as const
const LONG_TEXT = ['truncate', 'error', 'window'] as const
const DEFAULT_MAX_TEXT_CHARS = 1_000_000
const MAX_THREADS = 1024

/** `[CLS]`, one token, `[SEP]`. */
const MIN_MAX_LENGTH = 3

const SOURCE_OPTIONS = [
  'revision',
  'cache_dir',
  'local_files_only',
  'token',
  'on_progress',
  'trust',
  'signal',
] as const

/** Checks the arguments of `load`. */
export function checkLoadOptions(source: unknown, options: LoadOptions): LoadSettings {
  checkSource(source)
  const given = record(options, ['device', 'dtype', 'threads', 'libtorch', ...SOURCE_OPTIONS])
  const device = given.device ?? 'auto'
  if (typeof device !== 'string') throw new TypeError(`device must be a string, not ${describe(device)}.`)
  if (!/^(?:auto|cpu|cuda(?::\d{1,3})?)$/.test(device)) {
    throw new RangeError(`device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not ${describe(device)}.`)
  }
  return {
    device,
    dtype: oneOf(given.dtype ?? 'auto', 'dtype', DTYPES),
    threads: given.threads === undefined ? undefined : integer(given.threads, 'threads', 1, MAX_THREADS),
    libtorch: given.libtorch === undefined ? undefined : nonEmptyString(given.libtorch, 'libtorch'),
    ...sourceSettings(given),
  }
}

/** Checks the arguments of `exportArchive` that say what is exported. */
export function checkSourceOptions(source: unknown, options: SourceOptions): HubSettings {
  checkSource(source)
  return sourceSettings(record(options, SOURCE_OPTIONS))
}

function checkSource(source: unknown): asserts source is string | undefined {
  if (source !== undefined && typeof source !== 'string') {
    throw new TypeError(
      `source must be the path of a folder or archive, a hub id, or undefined for the model that ships, not ${describe(source)}.`,
    )
  }
  if (source === '') throw new TypeError('source must not be empty; leave it out for the model that ships.')
}

function sourceSettings(given: Record<string, unknown>): HubSettings {
  const { revision = 'main', local_files_only = false, token, on_progress, trust, cache_dir } = given
  if (typeof revision !== 'string')
    throw new TypeError(`revision must be a string, not ${describe(revision)}.`)
  if (!isRevision(revision)) {
    throw new RangeError(`revision must be a branch, tag or commit, not ${describe(revision)}.`)
  }
  if (typeof local_files_only !== 'boolean') {
    throw new TypeError(`local_files_only must be true or false, not ${describe(local_files_only)}.`)
  }
  // Never shown: it is a secret.
  if (token !== undefined && token !== false && (typeof token !== 'string' || !isToken(token))) {
    throw new TypeError('token must be a string of visible ASCII characters, or false for none.')
  }
  if (on_progress !== undefined && typeof on_progress !== 'function') {
    throw new TypeError(`on_progress must be a function, not ${describe(on_progress)}.`)
  }
  return {
    revision,
    cache_dir: cache_dir === undefined ? undefined : nonEmptyString(cache_dir, 'cache_dir'),
    local_files_only,
    token,
    on_progress: on_progress as HubSettings['on_progress'],
    trust: trust === undefined ? undefined : oneOf(trust, 'trust', ['archive'] as const),
    signal: abortSignal(given.signal),
  }
}

/** Checks the options of `classify`, `classifyStream` and `forward`. */
export function checkClassifyOptions(options: ClassifyOptions, model_max_length: number): ClassifySettings {
  const given = record(options, ['signal', 'max_length', 'long_text', 'max_text_chars'])
  return {
    signal: abortSignal(given.signal),
    max_length: integer(given.max_length ?? model_max_length, 'max_length', MIN_MAX_LENGTH, model_max_length),
    long_text: oneOf(given.long_text ?? 'truncate', 'long_text', LONG_TEXT),
    max_text_chars: integer(
      given.max_text_chars ?? DEFAULT_MAX_TEXT_CHARS,
      'max_text_chars',
      1,
      Number.MAX_SAFE_INTEGER,
    ),
  }
}

/** Checks one text; `name` is what the message calls it. */
export function checkText(
  text: unknown,
  name: string,
  { max_text_chars }: ClassifySettings,
): asserts text is string {
  if (typeof text !== 'string') throw new TypeError(`${name} must be a string, not ${describe(text)}.`)
  if (text.length > max_text_chars) {
    throw new RangeError(
      `${name} has ${text.length} characters, more than max_text_chars (${max_text_chars}); shorten it or raise the option.`,
    )
  }
}

/** Checks and copies rows of ids. */
export function checkRows(rows: unknown, max_length: number, vocab_size: number): Int32Array[] {
  if (!Array.isArray(rows))
    throw new TypeError(`rows must be an array of rows of ids, not ${describe(rows)}.`)
  return rows.map((row: unknown, index) => {
    if (!(row instanceof Int32Array) && !Array.isArray(row)) {
      throw new TypeError(`rows[${index}] must be an array of ids or an Int32Array, not ${describe(row)}.`)
    }
    if (row.length < 1 || row.length > max_length) {
      throw new RangeError(`rows[${index}] has ${row.length} ids; the model takes 1 to ${max_length}.`)
    }
    return Int32Array.from(row, (id: unknown, place) =>
      integer(id, `rows[${index}][${place}]`, 0, vocab_size - 1),
    )
  })
}

function record(options: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new TypeError(`options must be an object, not ${describe(options)}.`)
  }
  const unknown_key = Object.keys(options).find((key) => !known.includes(key))
  if (unknown_key !== undefined) {
    throw new TypeError(`There is no option '${unknown_key}'; the options are ${known.join(', ')}.`)
  }
  return { ...options }
}

function integer(value: unknown, name: string, lowest: number, highest: number): number {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, not ${describe(value)}.`)
  if (!Number.isInteger(value) || value < lowest || value > highest) {
    throw new RangeError(`${name} must be an integer from ${lowest} to ${highest}, not ${value}.`)
  }
  return value
}

function abortSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value
  throw new TypeError(`signal must be an AbortSignal, not ${describe(value)}.`)
}

function oneOf<T extends string>(value: unknown, name: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === value)
  if (choice !== undefined) return choice
  const Wrong = typeof value === 'string' ? RangeError : TypeError
  const listed = choices.map((candidate) => `'${candidate}'`).join(', ')
  throw new Wrong(`${name} must be one of ${listed}, not ${describe(value)}.`)
}

function nonEmptyString(value: unknown, name: string): string {
  if (typeof value !== 'string' || value === '') {
    throw new TypeError(`${name} must be a non-empty string, not ${describe(value)}.`)
  }
  return value
}

/** A value as an error message shows it: short, and telling `'2'` from `2`. */
function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return value.length > 40 ? `'${value.slice(0, 40)}…'` : `'${value}'`
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value)
  if (Array.isArray(value)) return 'an array'
  if (value instanceof Promise) return 'a Promise (is an await missing?)'
  if (typeof value !== 'object') return `a ${typeof value}`
  const { constructor } = value
  return typeof constructor === 'function' ? `an object (${constructor.name})` : 'an object'
}
