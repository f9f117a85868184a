import { Evaluator, type Evaluation } from './evaluator'

/** A text whose class is known. */
export interface LabelledText {
  text: string
  /** Name of its class, or its id: the index into the labels, as a number or as digits. */
  label: string | number
  /** Rows of one name are also reported by themselves; at most 1,000 names. */
  group?: string
  /** The number that mistakes are listed by; where it is missing, rows are counted from 1. */
  row?: number
}

/** What a classifier says about a text; a `Classification` is one. */
export interface Scored {
  /** Probability of each label, 0 to 1; they add up to 1. */
  scores: Readonly<Record<string, number>>
  /** Tokens of the text, for the F1 by length; characters are counted where it is missing. */
  num_tokens?: number
}

/** How classifiers are evaluated. */
export interface EvaluateOptions<Row extends LabelledText, Result extends Scored> {
  /** Names of the classes, in the order of their ids: `classifier.labels`. */
  labels: readonly string[]
  /** Called with every row and its result, in order, and waited for: for progress, or to store the scores. */
  on_result?: (row: Row, result: Result) => void | Promise<void>
}

/** How far the sum of a row's probabilities may be from 1: they may have been rounded to two or three digits. */
const SUM_TOLERANCE = 0.01

/**
 * Scores labelled texts and computes how good the scores are: precision, recall and F1 of each class, accuracy,
 * averages, ROC AUC, log loss, Brier score, calibration, curves and mistakes, of all rows and of each group.
 * Memory holds the scores of all rows and the texts of those under way, so that a million rows are no problem.
 *
 * @param classify takes the texts as they come and gives a result for each, in order:
 *   `(texts) => classifier.classifyStream(texts)`
 * @param rows labelled texts; read only as fast as `classify` takes them
 * @returns plain data; rates are 0 to 1, and what is not defined (the ROC AUC of a group that lacks a class,
 *   say) is `null`
 * @throws TypeError for arguments of another type
 * @throws RangeError for fewer than two labels or one that is there twice, a label that is not among the labels, scores that are no probabilities, and a number of
 *   results other than that of the texts
 * @throws whatever `classify`, `rows` and `on_result` throw
 * @example
 * ```ts
 * import { ElectraClassifier } from 'electra-classifier'
 * import { evaluate } from 'electra-classifier/evaluate'
 *
 * await using classifier = await ElectraClassifier.load()
 * const rows = [
 *   { text: 'I love this restaurant!', label: 'positive' },
 *   { text: 'The soup was cold.', label: 'negative' },
 * ]
 * const { whole } = await evaluate((texts) => classifier.classifyStream(texts), rows, {
 *   labels: classifier.labels,
 * })
 * console.log(whole.accuracy, whole.macro.f1)
 * ```
 */
export async function evaluate<Row extends LabelledText, Result extends Scored>(
  classify: (texts: AsyncIterable<string>) => AsyncIterable<Result>,
  rows: AsyncIterable<Row> | Iterable<Row>,
  { labels, on_result }: EvaluateOptions<Row, Result>,
): Promise<Evaluation> {
  checkArguments(classify, rows, labels)
  const evaluator = new Evaluator(labels)
  // Results come in the order of the texts, so the rows that are under way wait in a queue beside them.
  const waiting: { row: Row; true_class: number }[] = []
  const reading = { taken: 0, exhausted: false }
  const texts = async function* (): AsyncGenerator<string> {
    for await (const row of rows) {
      waiting.push({ row, true_class: labelIndex(row.label, labels, `row ${++reading.taken}`) })
      yield row.text
    }
    reading.exhausted = true
  }
  let scored = 0
  for await (const result of classify(texts())) {
    const next = waiting.shift()
    if (!next) throw new RangeError('classify gave more results than it had taken texts.')
    scored += 1
    const { row, true_class } = next
    const scores = scoresOf(result, labels, `row ${scored}`)
    const { text, group, row: number = scored } = row
    evaluator.add({ row: number, text, true_class, group, scores, num_tokens: result.num_tokens })
    await on_result?.(row, result)
  }
  if (waiting.length > 0 || !reading.exhausted) {
    throw new RangeError(`classify ended after ${scored} results, before every text had one.`)
  }
  return evaluator.evaluation()
}

/** Finds a class by its name, else by its id; `undefined` where it is neither. */
export function findLabel(label: string | number, labels: readonly string[]): number | undefined {
  if (typeof label === 'string') {
    const place = labels.indexOf(label)
    if (place >= 0) return place
    if (!/^\d{1,9}$/.test(label)) return undefined
  }
  const id = Number(label)
  return Number.isInteger(id) && id >= 0 && id < labels.length ? id : undefined
}

/**
 * Says what is wrong with a row of probabilities.
 *
 * @returns the end of a sentence that begins with "must be", or `undefined` where they are right
 */
export function wrongProbabilities(
  scores: readonly unknown[],
  labels: readonly string[],
): string | undefined {
  const wanted = `${labels.length} probabilities (${labels.join(', ')})`
  if (scores.length !== labels.length) return `${wanted}, not ${scores.length}`
  let sum = 0
  for (const score of scores) {
    if (typeof score !== 'number' || !Number.isFinite(score)) return `${wanted}, not ${JSON.stringify(score)}`
    if (score < 0 || score > 1 + SUM_TOLERANCE) return `${wanted} from 0 to 1, not ${score}`
    sum += score
  }
  return Math.abs(sum - 1) <= SUM_TOLERANCE
    ? undefined
    : `${wanted} that add up to 1, not to ${Number(sum.toFixed(6))}`
}

function checkArguments(classify: unknown, rows: unknown, labels: unknown): void {
  if (typeof classify !== 'function') {
    throw new TypeError('classify must be a function, such as (texts) => classifier.classifyStream(texts).')
  }
  if (
    typeof rows !== 'object' ||
    rows === null ||
    !(Symbol.iterator in rows || Symbol.asyncIterator in rows)
  ) {
    throw new TypeError('rows must be an iterable or async iterable of { text, label }.')
  }
  if (!Array.isArray(labels) || !labels.every((label) => typeof label === 'string')) {
    throw new TypeError('labels must be an array of strings, such as classifier.labels.')
  }
  if (labels.length < 2) throw new RangeError(`labels must name at least two classes, not ${labels.length}.`)
  const twice = labels.find((label, index) => labels.indexOf(label) !== index)
  if (twice !== undefined) throw new RangeError(`labels has ${JSON.stringify(twice)} twice.`)
}

function labelIndex(label: string | number, labels: readonly string[], where: string): number {
  const index = findLabel(label, labels)
  if (index !== undefined) return index
  throw new RangeError(`${where}: ${JSON.stringify(label)} is no label; the labels are ${labels.join(', ')}.`)
}

function scoresOf({ scores }: Scored, labels: readonly string[], where: string): number[] {
  const values = labels.map((label) => scores[label] ?? NaN)
  const wrong = wrongProbabilities(values, labels)
  if (wrong !== undefined) throw new RangeError(`${where}: scores must be ${wrong}.`)
  return values
}
