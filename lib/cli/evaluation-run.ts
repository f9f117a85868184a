import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ElectraClassifier } from '../classifier'
import { Comparer, type Comparison } from '../evaluation/comparison'
import { evaluate } from '../evaluation/evaluate'
import type { Evaluation } from '../evaluation/evaluator'
import { REPORTS } from './evaluation-output'
import { evaluationRows, type Checked, type Columns, type EvaluationRow } from './evaluation-rows'
import { MAX_TEXT_CHARS } from './input'
import {
  PREDICTIONS,
  PredictionsWriter,
  savedResults,
  type Kept,
  type Layout,
  type Result,
} from './predictions-file'
import { Progress } from './progress'

/** What scores the rows: a model, or a column of the file. */
export interface Scorer {
  /** As reports call it. */
  name: string
  labels: readonly string[]
  /** Missing where scores come from the file. */
  classifier?: ElectraClassifier
}

/** How fast a model was in this run. */
export interface Throughput {
  texts: number
  seconds: number
}

/** What one pass over the rows gives. */
export interface Outcome {
  evaluation: Evaluation
  comparison: Comparison | undefined
  /** Missing where no model ran. */
  throughput: Throughput | undefined
  /** Texts longer than the model takes. */
  truncated: number
}

/** What is evaluated, and where its scores are stored. */
export interface Job {
  path: string
  columns: Columns
  scorer: Scorer
  layout: Layout
  /** Folder for the results; undefined where they are only printed. */
  output: string | undefined
}

/**
 * Scores the rows and stores each as soon as it is scored.
 *
 * @param checked what the file was found to hold
 * @param kept rows of an earlier run, which are not scored again
 */
export async function score(
  { path, columns, scorer, layout, output }: Job,
  checked: Checked,
  kept: Kept | undefined,
  signal: AbortSignal,
): Promise<Outcome> {
  const { labels, classifier } = scorer
  const predictions: number[][] = []
  const rows = async function* (): AsyncGenerator<EvaluationRow> {
    for await (const row of evaluationRows(path, columns, labels, { count: 0, first: [] })) {
      signal.throwIfAborted()
      if (row.predictions) predictions.push(row.predictions)
      yield row
    }
  }
  let throughput: Throughput | undefined
  const classify = async function* (texts: AsyncIterable<string>): AsyncGenerator<Result> {
    const iterator = texts[Symbol.asyncIterator]()
    if (!classifier) {
      while (!(await iterator.next()).done) yield { scores: named(labels, predictions.shift() ?? []) }
      return
    }
    if (kept && output !== undefined) {
      for await (const result of savedResults(join(output, PREDICTIONS), layout, kept)) {
        await iterator.next()
        yield result
      }
    }
    const rest = { [Symbol.asyncIterator]: () => iterator }
    const start = performance.now()
    let scored = 0
    for await (const result of classifier.classifyStream(rest, { signal, max_text_chars: MAX_TEXT_CHARS })) {
      scored += 1
      yield result
    }
    if (scored > 0) throughput = { texts: scored, seconds: (performance.now() - start) / 1000 }
  }

  const writer = output === undefined ? undefined : await begin(output, layout, kept)
  const progress = process.stderr.isTTY ? new Progress(checked.bytes, kept?.input_bytes) : undefined
  const comparer = columns.compare === undefined ? undefined : new Comparer(labels)
  let done = 0
  let truncated = 0
  try {
    const evaluation = await evaluate(classify, rows(), {
      labels,
      on_result: async (row, result) => {
        if (result.truncated) truncated += 1
        if (comparer && row.compare) {
          const { label: true_class, group, compare: scores } = row
          const first = labels.map((label) => result.scores[label] ?? NaN)
          comparer.add({ ...row, true_class, group, scores, num_tokens: result.num_tokens }, first)
        }
        done += 1
        if (done <= (kept?.rows ?? 0)) return
        await writer?.write(row, result)
        progress?.advance(row.bytes)
      },
    })
    return { evaluation, comparison: comparer?.comparison(), throughput, truncated }
  } finally {
    progress?.stop()
    await writer?.close()
    if (signal.aborted && writer) {
      process.stderr.write(
        `electra-classifier: stopped after ${Math.max(done, kept?.rows ?? 0)} of ${checked.rows} rows; the same command with --resume goes on.\n`,
      )
    }
  }
}

/** Opens predictions.csv, and takes away reports that would no longer belong to it. */
async function begin(output: string, layout: Layout, kept: Kept | undefined): Promise<PredictionsWriter> {
  await mkdir(output, { recursive: true })
  for (const name of REPORTS) await rm(join(output, name), { force: true })
  return PredictionsWriter.open(join(output, PREDICTIONS), layout, kept)
}

function named(labels: readonly string[], scores: readonly number[]): Record<string, number> {
  return Object.fromEntries(labels.map((label, index) => [label, scores[index] ?? NaN]))
}
