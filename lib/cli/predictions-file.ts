import { once } from 'node:events'
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs'
import { stat, truncate } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { best } from '../evaluation/evaluator'
import { InputError, OutputError } from './endings'
import type { EvaluationRow } from './evaluation-rows'
import { readFields } from './input'
import { csvLine } from './output'

/** Its name in the folder of results. */
export const PREDICTIONS = 'predictions.csv'

/** What was found for a row. */
export interface Result {
  scores: Record<string, number>
  /** Known where a model scored it. */
  num_tokens?: number
  truncated?: boolean
}

/** Which columns a predictions.csv has: all its rows have the same. */
export interface Layout {
  labels: readonly string[]
  group: boolean
  /** Whether a model scores: then tokens are known. */
  model: boolean
  compare: boolean
}

/** The part of a predictions.csv that can be kept. */
export interface Kept {
  rows: number
  /** Bytes of it. */
  bytes: number
  /** Where the evaluated file stands after the rows kept, in bytes. */
  input_bytes: number
}

/** Writes predictions.csv a row at a time, whole lines only, so that it is valid whenever writing ends. */
export class PredictionsWriter {
  readonly #stream: WriteStream
  readonly #layout: Layout
  #failure: Error | undefined

  private constructor(stream: WriteStream, layout: Layout) {
    this.#stream = stream
    this.#layout = layout
    stream.on('error', (error) => (this.#failure = error))
  }

  /** @param kept rows of an earlier run that stay; all else in the file goes */
  static async open(path: string, layout: Layout, kept: Kept | undefined): Promise<PredictionsWriter> {
    if (kept) await truncate(path, kept.bytes)
    const stream = createWriteStream(path, { flags: kept ? 'a' : 'w' })
    const writer = new PredictionsWriter(stream, layout)
    if (!kept) await writer.#write(csvLine(headerOf(layout)))
    return writer
  }

  write(row: EvaluationRow, result: Result): Promise<void> {
    return this.#write(lineOf(row, result, this.#layout))
  }

  /** Waits until everything is in the file. */
  async close(): Promise<void> {
    if (!this.#failure) await new Promise<void>((done) => this.#stream.end(done))
    this.#check()
  }

  async #write(line: string): Promise<void> {
    this.#check()
    // Waiting rejects with the stream's failure, which is told as ours.
    if (!this.#stream.write(line)) await once(this.#stream, 'drain').catch(() => undefined)
    this.#check()
  }

  #check(): void {
    if (this.#failure) throw new OutputError(`The predictions cannot be written: ${this.#failure.message}.`)
  }
}

/**
 * Compares a predictions.csv that an earlier run left with the rows of the file, as they come.
 *
 * @throws InputError where it is of other rows, or was written with other options
 */
export class Resumption {
  readonly #path: string
  readonly #layout: Layout
  readonly #size: number
  readonly #saved: AsyncGenerator<Fields>
  readonly #kept: Kept
  #ended = false

  private constructor(path: string, layout: Layout, size: number) {
    this.#path = path
    this.#layout = layout
    this.#size = size
    this.#saved = savedFields(path, layout)
    this.#kept = { rows: 0, bytes: Buffer.byteLength(csvLine(headerOf(layout))), input_bytes: 0 }
  }

  static async open(path: string, layout: Layout): Promise<Resumption> {
    const stats = await stat(path).catch(() => undefined)
    if (!stats?.isFile()) {
      throw new InputError(`There is no ${path} to resume; leave out --resume to begin.`)
    }
    const header = Buffer.from(csvLine(headerOf(layout)))
    const head = await buffer(createReadStream(path, { end: header.length - 1 }))
    if (!head.equals(header)) throw otherOptions(path)
    return new Resumption(path, layout, stats.size)
  }

  /** @returns the result of an earlier run, while there is one for every row so far */
  async next(row: EvaluationRow): Promise<Result | undefined> {
    if (this.#ended) return undefined
    const step = await this.#saved.next()
    if (step.done) {
      this.#ended = true
      return undefined
    }
    const line = csvLine(step.value)
    const bytes = this.#kept.bytes + Buffer.byteLength(line)
    // Without its line end the last row may be cut within its last field.
    if (bytes > this.#size) {
      this.#ended = true
      return undefined
    }
    const result = resultOf(step.value, this.#layout)
    // A lone surrogate of the text cannot be written to a file as it is.
    if (!result || Buffer.from(lineOf(row, result, this.#layout)).toString() !== line) {
      throw otherOptions(`Row ${this.#kept.rows + 1} of ${this.#path} is of another file, or`)
    }
    this.#kept.rows += 1
    this.#kept.bytes = bytes
    this.#kept.input_bytes = row.bytes
    return result
  }

  /** @returns what can be kept, once every row of the file was seen */
  async end(): Promise<Kept> {
    const more = this.#ended ? undefined : await this.#saved.next()
    await this.#saved.return(undefined)
    if (more && more.done !== true) throw otherOptions(`${this.#path} has more rows than the file, or`)
    return this.#kept
  }
}

type Fields = string[]

/** The results that are kept, once more, for whoever computes figures from them. */
export async function* savedResults(path: string, layout: Layout, { rows }: Kept): AsyncGenerator<Result> {
  let read = 0
  for await (const fields of savedFields(path, layout)) {
    if (read === rows) return
    read += 1
    const result = resultOf(fields, layout)
    if (result) yield result
  }
}

/** Rows up to the first that was only half written. */
async function* savedFields(path: string, layout: Layout): AsyncGenerator<Fields> {
  const header = headerOf(layout)
  const rows = readFields(createReadStream(path), path, 'csv', header)
  for (;;) {
    let step
    try {
      step = await rows.next()
    } catch (error) {
      if (error instanceof InputError) return
      throw error
    }
    if (step.done) return
    yield step.value.values.map(String)
  }
}

function otherOptions(what: string): InputError {
  return new InputError(`${what} was written with other options; leave out --resume to begin anew.`)
}

function headerOf({ group, model, compare }: Layout): string[] {
  return [
    ...['row', 'text', 'label'],
    ...(group ? ['group'] : []),
    ...['predicted_label', 'score', 'probabilities'],
    ...(model ? ['num_tokens', 'truncated'] : []),
    ...(compare ? ['compared_label', 'compared_probabilities'] : []),
  ]
}

function lineOf(row: EvaluationRow, result: Result, { labels, group, model, compare }: Layout): string {
  const scores = labels.map((label) => result.scores[label] ?? NaN)
  const predicted = best(scores)
  const compared = row.compare ?? []
  return csvLine([
    ...[row.row, row.text, labels[row.label] ?? ''],
    ...(group ? [row.group ?? ''] : []),
    ...[labels[predicted] ?? '', scores[predicted] ?? NaN, JSON.stringify(scores)],
    ...(model ? [result.num_tokens ?? '', result.truncated ?? false] : []),
    ...(compare ? [labels[best(compared)] ?? '', JSON.stringify(compared)] : []),
  ])
}

function resultOf(fields: Fields, layout: Layout): Result | undefined {
  const header = headerOf(layout)
  const field = (name: string): string => fields[header.indexOf(name)] ?? ''
  let probabilities: unknown
  try {
    probabilities = JSON.parse(field('probabilities'))
  } catch {
    return undefined
  }
  if (!Array.isArray(probabilities) || probabilities.length !== layout.labels.length) return undefined
  const values: unknown[] = probabilities
  const scores = Object.fromEntries(layout.labels.map((label, index) => [label, Number(values[index])]))
  if (!layout.model) return { scores }
  return { scores, num_tokens: Number(field('num_tokens')), truncated: field('truncated') === 'true' }
}
