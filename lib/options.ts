import type { Row } from './batch'
import { isToken } from './hub/client'
import { isRevision, type HubSettings } from './hub/locate'
import type {
  CallOptions,
  ClassifyOptions,
  CloseOptions,
  LoadOptions,
  SourceOptions,
  TextInput,
} from './types'

/** `LoadOptions` with every default decided, but for `threads`, whose default the machine decides. */
export interface LoadSettings extends HubSettings {
  /** One; or several cards, each with a replica. */
  devices: readonly string[]
  warmup: 'graphs' | 'eager'
  /** Tokens, rows and longest row of each, one behind the other. */
  graph_buckets: Int32Array | undefined
  dtype: 'auto' | 'fp32' | 'bf16' | 'fp16' | 'int8'
  threads: number | undefined
  libtorch: string | undefined
  max_batch_tokens: number | undefined
  max_queue_tokens: number
  watchdog_ms: number
}

/** `CallOptions` with every default decided. */
export interface CallSettings {
  signal: AbortSignal | undefined
  timeout_ms: number | undefined
  priority: 'high' | 'normal'
  on_full: 'error' | 'wait'
}

/** `ClassifyOptions` with every default decided. */
export interface ClassifySettings extends CallSettings {
  max_length: number
  long_text: 'truncate' | 'error' | 'window'
  max_text_chars: number
}

const DTYPES = ['auto', 'fp32', 'bf16', 'fp16', 'int8'] as const
const PRIORITIES = ['high', 'normal'] as const
const ON_FULL = ['error', 'wait'] as const
const LONG_TEXT = ['truncate', 'error', 'window'] as const
const DEFAULT_MAX_TEXT_CHARS = 1_000_000
const MAX_THREADS = 1024
const DEFAULT_MAX_QUEUE_TOKENS = 1 << 20
const MAX_TOKENS = 2 ** 31 - 1
const DEFAULT_WATCHDOG_MS = 60_000

/** The longest that a timer waits, 24 days. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** `[CLS]`, one token, `[SEP]`. */
const MIN_MAX_LENGTH = 3

const CALL_OPTIONS = ['signal', 'timeout_ms', 'priority', 'on_full'] as const
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
  const given = record(options, [
    ...['device', 'devices', 'dtype', 'threads', 'libtorch', 'warmup', 'graph_buckets'],
    ...['max_batch_tokens', 'max_queue_tokens', 'watchdog_ms'],
    ...SOURCE_OPTIONS,
  ])
  return {
    devices: devicesOf(given),
    warmup: oneOf(given.warmup ?? 'graphs', 'warmup', ['graphs', 'eager'] as const),
    graph_buckets:
      given.graph_buckets === undefined ? undefined : graphBuckets(given.graph_buckets, 'graph_buckets'),
    dtype: oneOf(given.dtype ?? 'auto', 'dtype', DTYPES),
    threads: given.threads === undefined ? undefined : integer(given.threads, 'threads', 1, MAX_THREADS),
    libtorch: given.libtorch === undefined ? undefined : nonEmptyString(given.libtorch, 'libtorch'),
    max_batch_tokens:
      given.max_batch_tokens === undefined
        ? undefined
        : integer(given.max_batch_tokens, 'max_batch_tokens', 1, MAX_TOKENS),
    max_queue_tokens: integer(
      given.max_queue_tokens ?? DEFAULT_MAX_QUEUE_TOKENS,
      'max_queue_tokens',
      1,
      MAX_TOKENS,
    ),
    watchdog_ms: integer(given.watchdog_ms ?? DEFAULT_WATCHDOG_MS, 'watchdog_ms', 1, MAX_TIMEOUT_MS),
    ...sourceSettings(given),
  }
}

function devicesOf({ device, devices }: Record<string, unknown>): readonly string[] {
  if (devices === undefined) {
    const one = device ?? 'auto'
    if (typeof one !== 'string') throw new TypeError(`device must be a string, not ${describe(one)}.`)
    if (!/^(?:auto|cpu|cuda(?::\d{1,3})?)$/.test(one)) {
      throw new RangeError(`device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not ${describe(one)}.`)
    }
    return [one]
  }
  if (device !== undefined) throw new TypeError('device and devices cannot be given together.')
  if (!Array.isArray(devices) || devices.length === 0) {
    throw new TypeError(`devices must be an array of at least one 'cuda:N', not ${describe(devices)}.`)
  }
  return devices.map((each: unknown, index) => {
    if (typeof each !== 'string' || !/^cuda:\d{1,3}$/.test(each)) {
      throw new RangeError(`devices[${index}] must be 'cuda:N', not ${describe(each)}.`)
    }
    if (devices.indexOf(each) !== index) throw new RangeError(`devices names ${each} twice.`)
    return each
  })
}

function graphBuckets(given: unknown, name: string): Int32Array {
  if (!Array.isArray(given)) throw new TypeError(`${name} must be an array, not ${describe(given)}.`)
  return Int32Array.from(
    given.flatMap((bucket: unknown, index) => {
      const where = `${name}[${index}]`
      if (typeof bucket !== 'object' || bucket === null) {
        throw new TypeError(`${where} must be an object, not ${describe(bucket)}.`)
      }
      const sizes = bucket as Record<string, unknown>
      return ['tokens', 'rows', 'longest'].map((key) => integer(sizes[key], `${where}.${key}`, 1, MAX_TOKENS))
    }),
  )
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

/** Checks the options of `forward`. */
export function checkCallOptions(options: CallOptions): CallSettings {
  return callSettings(record(options, CALL_OPTIONS))
}

function callSettings(given: Record<string, unknown>): CallSettings {
  const { signal, timeout_ms, priority, on_full } = given
  return {
    signal: abortSignal(signal),
    timeout_ms: timeout_ms === undefined ? undefined : integer(timeout_ms, 'timeout_ms', 1, MAX_TIMEOUT_MS),
    priority: oneOf(priority ?? 'normal', 'priority', PRIORITIES),
    on_full: oneOf(on_full ?? 'error', 'on_full', ON_FULL),
  }
}

/** Checks the options of `close`. */
export function checkCloseOptions(options: CloseOptions): { drain: boolean } {
  const { drain = false } = record(options, ['drain'])
  if (typeof drain !== 'boolean') throw new TypeError(`drain must be true or false, not ${describe(drain)}.`)
  return { drain }
}

/** Checks the options of `classify` and `classifyStream`. */
export function checkClassifyOptions(options: ClassifyOptions, model_max_length: number): ClassifySettings {
  const given = record(options, [...CALL_OPTIONS, 'max_length', 'long_text', 'max_text_chars'])
  return {
    ...callSettings(given),
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

/**
 * Checks one text, or pair of texts, and copies a pair.
 *
 * @param name what the message calls it
 * @param no_pairs why the model takes no pairs; undefined where it does
 */
export function checkInput(
  input: unknown,
  name: string,
  settings: ClassifySettings,
  no_pairs: string | undefined,
): TextInput {
  if (typeof input !== 'object' || input === null || !('text_pair' in input)) {
    return checkText(input, name, settings)
  }
  const pair = {
    text: checkText('text' in input ? input.text : undefined, `${name}.text`, settings),
    text_pair: checkText(input.text_pair, `${name}.text_pair`, settings),
  }
  if (no_pairs !== undefined) {
    throw new TypeError(`${name} is a pair, and this model takes none: ${no_pairs}.`)
  }
  if (settings.long_text === 'window') {
    throw new TypeError(
      `${name} is a pair, which has no windows; pass long_text: 'truncate' or 'error', or one text at a time.`,
    )
  }
  return pair
}

function checkText(text: unknown, name: string, { max_text_chars }: ClassifySettings): string {
  if (typeof text !== 'string') throw new TypeError(`${name} must be a string, not ${describe(text)}.`)
  if (text.length > max_text_chars) {
    throw new RangeError(
      `${name} has ${text.length} characters, more than max_text_chars (${max_text_chars}); shorten it or raise the option.`,
    )
  }
  return text
}

/** Checks the texts of a stream, but not what is in it. */
export function checkIterable(texts: unknown): void {
  const iterable =
    typeof texts === 'object' && texts !== null && (Symbol.asyncIterator in texts || Symbol.iterator in texts)
  if (!iterable) throw new TypeError('texts must be an iterable or async iterable of strings.')
}

/** What the rows of `forward` must keep to. */
interface RowLimits {
  max_length: number
  vocab_size: number
  /** Token types that the model tells apart: 1 where it takes none. */
  token_types: number
}

/** Checks and copies rows of ids. */
export function checkRows(rows: unknown, limits: RowLimits): Row[] {
  if (!Array.isArray(rows))
    throw new TypeError(`rows must be an array of rows of ids, not ${describe(rows)}.`)
  return rows.map((row: unknown, index) => {
    const name = `rows[${index}]`
    if (typeof row !== 'object' || row === null || !('ids' in row))
      return { ids: checkIds(row, name, limits) }
    const ids = checkIds(row.ids, `${name}.ids`, limits)
    if (!('token_type_ids' in row) || row.token_type_ids === undefined) return { ids }
    return { ids, token_type_ids: checkTypes(row.token_type_ids, `${name}.token_type_ids`, ids, limits) }
  })
}

function checkIds(ids: unknown, name: string, { max_length, vocab_size }: RowLimits): Int32Array {
  checkArray(ids, name)
  if (ids.length < 1 || ids.length > max_length) {
    throw new RangeError(`${name} has ${ids.length} ids; the model takes 1 to ${max_length}.`)
  }
  return integers(ids, name, vocab_size)
}

function checkTypes(types: unknown, name: string, ids: Int32Array, { token_types }: RowLimits): Int32Array {
  if (token_types === 1) throw new TypeError(`${name} must be left out: the model takes no token types.`)
  checkArray(types, name)
  if (types.length !== ids.length) {
    throw new RangeError(`${name} has ${types.length} entries, and the row has ${ids.length} ids.`)
  }
  return integers(types, name, token_types)
}

function checkArray(value: unknown, name: string): asserts value is ArrayLike<unknown> {
  if (value instanceof Int32Array || Array.isArray(value)) return
  throw new TypeError(`${name} must be an array of ids or an Int32Array, not ${describe(value)}.`)
}

function integers(values: ArrayLike<unknown>, name: string, end: number): Int32Array {
  return Int32Array.from(values, (value, place) => integer(value, `${name}[${place}]`, 0, end - 1))
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
