import { fstatSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { extname } from 'node:path'
import { parse, type CsvError } from 'csv-parse'
import { InputError } from './endings'

/** One text of an input, or a pair of them. */
export interface Row {
  text: string
  /** There where a second column was asked for. */
  text_pair?: string
  /** Where the input stands after this row, in bytes; about that where it is not valid UTF-8. */
  bytes: number
}

/** An input that is open and not yet read. */
export interface Input {
  rows: AsyncIterable<Row>
  /** Its length in bytes, where that is known before the end. */
  total?: number
}

/** The columns that were asked for, of one row of CSV or JSON Lines. */
export interface Fields {
  /** In the order of the columns asked for; CSV holds strings, JSON Lines any value. */
  values: unknown[]
  /** Number of its line, or of the last of its lines. */
  line: number
  /** Where the input stands after this row, as in {@link Row}. */
  bytes: number
}

/** Longest text taken, in UTF-16 code units. */
export const MAX_TEXT_CHARS = 1_000_000

/** Longest line or CSV record: bounds the memory that a file without line ends, or with a lone quote, takes. */
const MAX_RECORD_CHARS = 16_000_000

/** Texts from the arguments. */
export function fromArguments(texts: readonly string[]): Input {
  const rows = async function* (): AsyncGenerator<Row> {
    for (const [index, text] of texts.entries()) {
      checkLength(text, `text ${index + 1}`)
      yield await Promise.resolve({ text, bytes: 0 })
    }
  }
  return { rows: rows() }
}

/** Texts from a file, whose extension says what is in it; pairs of them where a second column is named. */
export async function fromFile(path: string, column?: string, pair_column?: string): Promise<Input> {
  const { stream, size } = await openFile(path)
  return { rows: readRows(stream, path, kindOf(path), column, pair_column), ...(size > 0 && { total: size }) }
}

/** Columns of a CSV or JSON Lines file; one of another extension is JSON Lines where it begins with a brace. */
export async function fieldsFromFile(
  path: string,
  columns: readonly string[],
): Promise<AsyncGenerator<Fields>> {
  const { stream } = await openFile(path)
  return readFields(stream, path, kindOf(path), columns)
}

/** @returns its bytes, and its size; 0 for what is no regular file */
async function openFile(path: string): Promise<{ stream: AsyncIterable<Uint8Array>; size: number }> {
  let handle
  try {
    handle = await open(path)
    const stats = await handle.stat()
    if (stats.isDirectory()) throw new InputError(`${path} is a folder, not a file.`)
    return { stream: handle.createReadStream(), size: stats.isFile() ? stats.size : 0 }
  } catch (error) {
    await handle?.close()
    if (error instanceof InputError) throw error
    throw new InputError(`${path} cannot be read: ${reasonOf(error)}.`)
  }
}

/** Texts from the standard input. */
export function fromStdin(column?: string, pair_column?: string): Input {
  const stats = fstatSync(0)
  return {
    rows: readRows(process.stdin, 'stdin', undefined, column, pair_column),
    ...(stats.isFile() && stats.size > 0 && { total: stats.size }),
  }
}

type Kind = 'csv' | 'jsonl' | undefined

function kindOf(path: string): Kind {
  const extension = extname(path).toLowerCase()
  if (extension === '.csv') return 'csv'
  return extension === '.jsonl' || extension === '.ndjson' ? 'jsonl' : undefined
}

/**
 * The rows of a byte stream. Without a kind they are plain lines, unless a column is named: then JSON Lines
 * where the first character is a brace, else CSV.
 *
 * @param name what error messages call the input
 * @param pair_column makes the rows pairs: its text is the second one, and the first that of `column` or of `text`
 */
export async function* readRows(
  bytes: AsyncIterable<Uint8Array>,
  name: string,
  kind: Kind,
  column: string | undefined,
  pair_column?: string,
): AsyncGenerator<Row> {
  if (pair_column !== undefined) {
    const columns = [column ?? 'text', pair_column]
    for await (const { values, line, bytes: place } of readFields(bytes, name, kind, columns)) {
      const where = `${name}, line ${line}`
      const [text = '', text_pair = ''] = values.map((value, index) => {
        const found = stringOf(value, columns[index] ?? '', where)
        checkLength(found, where)
        return found
      })
      yield { text, text_pair, bytes: place }
    }
    return
  }
  const chunks = decode(bytes, name)
  if (kind === 'csv') yield* csvRows(chunks, name, column)
  else if (kind === 'jsonl') yield* jsonRows(chunks, name, column)
  else if (column === undefined) yield* lineRows(chunks, name)
  else {
    const { head, rest } = await peek(chunks)
    yield* head.startsWith('{') ? jsonRows(rest, name, column) : csvRows(rest, name, column)
  }
}

/** Columns of the rows of a byte stream that holds CSV or JSON Lines; without a kind the first character decides. */
export async function* readFields(
  bytes: AsyncIterable<Uint8Array>,
  name: string,
  kind: Kind,
  columns: readonly string[],
): AsyncGenerator<Fields> {
  const { head, rest } = await peek(decode(bytes, name))
  if (kind === 'jsonl' || (kind === undefined && head === '{')) {
    for await (const { value, line, bytes: place } of jsonValues(rest, name)) {
      const where = `${name}, line ${line}`
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        throw new InputError(`${where} must be a JSON object.`)
      }
      yield { values: columns.map((column) => valueOf(value, column, where)), line, bytes: place }
    }
  } else {
    yield* csvFields(rest, name, (header) => columns.map((column) => columnOf(header, column, name)))
  }
}

/** Bytes that are not UTF-8 become U+FFFD, and a byte order mark is left out. */
async function* decode(bytes: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let first = true
  try {
    for await (const chunk of bytes) {
      const mark = (chunk[0] ?? 0) * 256 + (chunk[1] ?? 0)
      if (first && (mark === 0xfffe || mark === 0xfeff)) {
        throw new InputError(`${name} is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8`)
      }
      first = false
      yield decoder.decode(chunk, { stream: true })
    }
  } catch (error) {
    if (error instanceof InputError) throw error
    throw new InputError(`${name} cannot be read: ${reasonOf(error)}.`)
  }
  yield decoder.decode()
}

/** The first character that is not blank, with what was read to find it still ahead. */
async function peek(chunks: AsyncGenerator<string>): Promise<{ head: string; rest: AsyncGenerator<string> }> {
  let read = ''
  while (!read.trim()) {
    const step = await chunks.next()
    if (step.done) break
    read += step.value
  }
  const rest = async function* (): AsyncGenerator<string> {
    try {
      yield read
      yield* chunks
    } finally {
      // A reader that stops at once has not come to them.
      await chunks.return(undefined)
    }
  }
  return { head: read.trimStart().slice(0, 1), rest: rest() }
}

interface Line extends Row {
  number: number
}

/** Lines that end in LF or CRLF; the last one may lack its end. */
async function* readLines(chunks: AsyncIterable<string>, name: string): AsyncGenerator<Line> {
  let pending = ''
  let number = 0
  let bytes = 0
  const next = (raw: string): Line => {
    number += 1
    bytes += Buffer.byteLength(raw) + 1
    return { text: raw.endsWith('\r') ? raw.slice(0, -1) : raw, bytes, number }
  }
  for await (const chunk of chunks) {
    let from = 0
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', from)) {
      const raw = pending + chunk.slice(from, end)
      pending = ''
      from = end + 1
      yield next(raw)
    }
    pending += chunk.slice(from)
    if (pending.length > MAX_RECORD_CHARS) throw tooLong(name, number + 1)
  }
  if (pending) yield next(pending)
}

async function* lineRows(chunks: AsyncIterable<string>, name: string): AsyncGenerator<Row> {
  for await (const line of readLines(chunks, name)) {
    checkLength(line.text, `${name}, line ${line.number}`)
    yield line
  }
}

async function* jsonRows(chunks: AsyncIterable<string>, name: string, column = 'text'): AsyncGenerator<Row> {
  for await (const { value, line, bytes } of jsonValues(chunks, name)) {
    const where = `${name}, line ${line}`
    const text = textOf(value, column, where)
    checkLength(text, where)
    yield { text, bytes }
  }
}

/** The value on each line that is not blank. */
async function* jsonValues(
  chunks: AsyncIterable<string>,
  name: string,
): AsyncGenerator<{ value: unknown; line: number; bytes: number }> {
  for await (const { text: json, bytes, number } of readLines(chunks, name)) {
    if (!json.trim()) continue
    let value: unknown
    try {
      value = JSON.parse(json)
    } catch (error) {
      throw new InputError(`${name}, line ${number} is not JSON: ${reasonOf(error)}.`)
    }
    yield { value, line: number, bytes }
  }
}

function textOf(value: unknown, column: string, where: string): string {
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InputError(`${where} must be a JSON object or string.`)
  }
  return stringOf(valueOf(value, column, where), column, where)
}

function valueOf(object: object, column: string, where: string): unknown {
  const entry = Object.entries(object).find(([key]) => key === column) as [string, unknown] | undefined
  if (!entry) throw new InputError(`${where} has no "${column}"; ${choices('key', Object.keys(object))}.`)
  return entry[1]
}

/** A value of JSON Lines that must be a string. */
export function stringOf(value: unknown, column: string, where: string): string {
  if (typeof value !== 'string') throw new InputError(`${where}: "${column}" must be a string.`)
  return value
}

interface CsvRecord {
  fields: string[]
  /** Number of the record's last line. */
  line: number
  bytes: number
}

async function* csvRows(chunks: AsyncIterable<string>, name: string, column?: string): AsyncGenerator<Row> {
  for await (const { values, line, bytes } of csvFields(chunks, name, (header) => [
    columnOf(header, column, name),
  ])) {
    const [text = ''] = values
    checkLength(text, `${name}, line ${line}`)
    yield { text, bytes }
  }
}

/** @param pick finds the places of the columns wanted in the header */
async function* csvFields(
  chunks: AsyncIterable<string>,
  name: string,
  pick: (header: readonly string[]) => number[],
): AsyncGenerator<Fields & { values: string[] }> {
  let header: string[] | undefined
  let places: number[] = []
  for await (const { fields, line, bytes } of csvRecords(chunks, name)) {
    if (!header) {
      header = fields
      places = pick(header)
      continue
    }
    const [first = ''] = fields
    // Files often end in blank lines; with a single column such a line is a row whose text is empty.
    if (fields.length === 1 && first === '' && header.length > 1) continue
    if (fields.length !== header.length) {
      throw new InputError(
        `${name}, line ${line} has ${fields.length} fields, but the header has ${header.length}; a field with a comma or a quote must be quoted.`,
      )
    }
    yield { values: places.map((place) => fields[place] ?? ''), line, bytes }
  }
  if (!header) throw new InputError(`${name} is empty; a CSV file begins with a header.`)
}

/**
 * Records as they are parsed. They are taken from a callback rather than from the parser as a stream, which
 * would drop those it holds when a later one is bad.
 */
async function* csvRecords(chunks: AsyncIterable<string>, name: string): AsyncGenerator<CsvRecord> {
  const ready: CsvRecord[] = []
  let failure: Error | undefined
  let last_line = 0
  const parser = parse({
    relax_column_count: true,
    max_record_size: MAX_RECORD_CHARS,
    on_record: (fields: string[], { lines, bytes }) => {
      ready.push({ fields, line: lines, bytes })
      last_line = lines
      return null
    },
  })
  parser.on('error', (error) => (failure = error))
  parser.resume()
  const taken = function* (): Generator<CsvRecord> {
    yield* ready.splice(0)
    if (failure) throw csvFailure(failure, name, last_line + 1)
  }
  for await (const chunk of chunks) {
    await new Promise<void>((done) => {
      parser.write(chunk, () => {
        done()
      })
    })
    yield* taken()
  }
  await new Promise<void>((done) => {
    parser.on('close', done)
    parser.end()
  })
  yield* taken()
}

const CSV_FAILURES: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: 'a quote opens there and is never closed',
  CSV_INVALID_CLOSING_QUOTE: 'something follows a closing quote; a quote inside a field is written twice',
  INVALID_OPENING_QUOTE: 'a quote stands inside a field that is not quoted',
}

/** @param start number of the first line of the record that could not be parsed */
function csvFailure(error: Error, name: string, start: number): InputError {
  const { code = '' } = error as Partial<CsvError>
  if (code === 'CSV_MAX_RECORD_SIZE') return tooLong(name, start)
  return new InputError(`${name}, line ${start} is not CSV: ${CSV_FAILURES[code] ?? error.message}.`)
}

function columnOf(header: readonly string[], column: string | undefined, name: string): number {
  if (column !== undefined) {
    const place = header.indexOf(column)
    if (place < 0) throw new InputError(`${name} has no column "${column}"; ${choices('column', header)}.`)
    return place
  }
  for (const usual of ['text', 'sentence']) {
    const place = header.indexOf(usual)
    if (place >= 0) return place
  }
  if (header.length === 1) return 0
  throw new InputError(`${name} has several columns; pick one with --column: ${header.join(', ')}.`)
}

function choices(what: string, names: readonly string[]): string {
  return names.length ? `its ${what}s are ${names.join(', ')}` : `it has no ${what}s`
}

/** Refuses a text that is longer than is taken. */
export function checkLength(text: string, where: string): void {
  if (text.length <= MAX_TEXT_CHARS) return
  throw new InputError(`${where} has ${text.length} characters; ${MAX_TEXT_CHARS} are allowed.`)
}

function tooLong(name: string, line: number): InputError {
  return new InputError(`${name}, line ${line} has more than ${MAX_RECORD_CHARS} characters.`)
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'EACCES') return 'permission denied'
  return error.message.replace(/\.$/, '')
}
