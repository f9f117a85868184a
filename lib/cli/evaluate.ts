import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { openBinding } from '../binding'
import { openCheckpoint, SHIPPED_MODEL, type ReadArchive } from '../checkpoint'
import type { ElectraClassifier } from '../classifier'
import type { ModelConfig } from '../types'
import { InputError } from './endings'
import { json, table, writeReports } from './evaluation-output'
import { checkRows, type Checked, type Columns } from './evaluation-rows'
import { score, type Job, type Scorer } from './evaluation-run'
import { fieldsFromFile, MAX_TEXT_CHARS } from './input'
import { loadModel, type ModelArguments } from './load-model'
import { PREDICTIONS, Resumption, type Kept, type Result } from './predictions-file'

export interface EvaluateArguments extends Columns, ModelArguments {
  output?: string
  format: 'table' | 'json'
  resume?: boolean
  ignoreUnknownLabels?: boolean
}

/** As many rows of an earlier run are scored again, to see that they are of the same model. */
const SAMPLE_ROWS = 16
/** In bf16 a score depends a little on the batch. */
const SAME_SCORE = 0.02

/** Scores the rows of a file, and prints and writes how good the scores are. */
export async function evaluateFile(
  path: string,
  given: EvaluateArguments,
  signal: AbortSignal,
): Promise<void> {
  const { output, format, group, compare } = given
  await checkArguments(path, given)
  const scorer = await openScorer(given, signal)
  const { labels, classifier } = scorer
  const layout = {
    labels,
    group: group !== undefined,
    model: classifier !== undefined,
    compare: compare !== undefined,
  }
  const job: Job = { path, columns: given, scorer, layout, output }
  const { checked, kept } = await check(job, given, signal)
  const outcome = await score(job, checked, kept, signal)
  if (output !== undefined) await writeReports(output, job, checked, outcome)
  process.stdout.write(format === 'json' ? json(job, checked, outcome) : table(job, outcome))
  if (checked.ignored > 0)
    note(`${rowsWere(checked.ignored)} left out, for the model does not have their label.`)
  if (classifier && outcome.truncated > 0) {
    const most = classifier.config.max_position_embeddings
    note(
      `${rowsWere(outcome.truncated)} longer than the model's ${most} tokens; only the beginning was scored.`,
    )
  }
  await classifier?.close()
}

function rowsWere(count: number): string {
  return count === 1 ? 'One row was' : `${count} rows were`
}

function note(text: string): void {
  process.stderr.write(`electra-classifier: ${text}\n`)
}

/** Refuses what can be refused before a model is loaded. */
async function checkArguments(path: string, given: EvaluateArguments): Promise<void> {
  const { text, label, group, predictions, compare, output, resume } = given
  if (predictions !== undefined) {
    const of_a_model = (['device', 'dtype', 'threads'] as const).find((name) => given[name] !== undefined)
    if (of_a_model) throw new InputError(`--${of_a_model} is for a model; with --predictions none runs.`)
  }
  if (resume && output === undefined) throw new InputError('--resume goes with --output.')
  const file = await stat(path).catch(() => undefined)
  // What is not there is told by whoever opens it.
  if (file && !file.isFile() && !file.isDirectory()) {
    throw new InputError(`${path} is read twice, so it must be a regular file; save it as one first.`)
  }
  const columns = [text, label, group, predictions, compare].filter((column) => column !== undefined)
  const fields = await fieldsFromFile(path, columns)
  await fields.next()
  await fields.return(undefined)
  if (output === undefined) return
  const folder = await stat(output).catch(() => undefined)
  if (folder && !folder.isDirectory()) throw new InputError(`${output} is a file; --output takes a folder.`)
  const target = await stat(join(output, PREDICTIONS)).catch(() => undefined)
  if (target && target.dev === file?.dev && target.ino === file.ino) {
    throw new InputError(`${path} would be written over; name another folder with --output.`)
  }
}

async function openScorer(
  { model, predictions, ...given }: EvaluateArguments,
  signal: AbortSignal,
): Promise<Scorer> {
  if (predictions !== undefined) {
    // Whose labels there are its config says; only for an archive is the binding needed.
    const readArchive: ReadArchive = async (path) => (await openBinding()).addon.readArchive(path)
    const { source, labels, config } = await openCheckpoint(model ?? SHIPPED_MODEL, readArchive)
    refuseOtherProblems(source, labels, config)
    return { name: predictions, labels }
  }
  const classifier = await loadModel(given, signal)
  const { labels, config, info } = classifier
  refuseOtherProblems(info.source, labels, config)
  return { name: basename(info.source), labels, classifier }
}

/** The figures are for texts that have one label each. */
function refuseOtherProblems(source: string, labels: readonly string[], { problem_type }: ModelConfig): void {
  if (typeof problem_type === 'string' && problem_type !== 'single_label_classification') {
    throw new InputError(
      `${source} is for ${problem_type}; evaluate takes models that give a text one label.`,
    )
  }
  if (labels.length < 2) {
    throw new InputError(`${source} has a single label; evaluate takes models that choose between several.`)
  }
}

/** Reads all of the file, and what an earlier run has left, before anything is scored or written. */
async function check(
  { path, columns, scorer, layout, output }: Job,
  { resume, ignoreUnknownLabels = false }: EvaluateArguments,
  signal: AbortSignal,
): Promise<{ checked: Checked; kept: Kept | undefined }> {
  const predictions = join(output ?? '', PREDICTIONS)
  const earlier = resume ? await Resumption.open(predictions, layout) : undefined
  const sample: { text: string; result: Result }[] = []
  const checked = await checkRows(path, columns, scorer.labels, ignoreUnknownLabels, async (row) => {
    signal.throwIfAborted()
    const result = await earlier?.next(row)
    if (result && sample.length < SAMPLE_ROWS) sample.push({ text: row.text, result })
  })
  if (scorer.classifier && !(await areItsScores(scorer.classifier, sample, signal))) {
    throw new InputError(
      `${predictions} holds the scores of another model; leave out --resume to begin anew.`,
    )
  }
  return { checked, kept: await earlier?.end() }
}

async function areItsScores(
  classifier: ElectraClassifier,
  sample: readonly { text: string; result: Result }[],
  signal: AbortSignal,
): Promise<boolean> {
  const texts = sample.map(({ text }) => text)
  const again = await classifier.classify(texts, { signal, max_text_chars: MAX_TEXT_CHARS })
  return again.every(({ scores }, index) =>
    classifier.labels.every(
      (label) =>
        Math.abs((scores[label] ?? NaN) - (sample[index]?.result.scores[label] ?? NaN)) <= SAME_SCORE,
    ),
  )
}
