import { MAX_GROUPS } from '../evaluation/evaluator'
import { findLabel, wrongProbabilities } from '../evaluation/evaluate'
import { InputError } from './endings'
import { checkLength, fieldsFromFile, stringOf } from './input'

/** Which columns hold what. */
export interface Columns {
  text: string
  label: string
  group?: string
  predictions?: string
  compare?: string
}

/** One row of the file, checked. */
export interface EvaluationRow {
  /** Its number among the rows of the file, from 1; rows that are left out count. */
  row: number
  text: string
  /** The id of its class. */
  label: number
  group?: string
  /** Probabilities from the file, in the order of the labels. */
  predictions?: number[]
  compare?: number[]
  /** Where the file stands after it, in bytes. */
  bytes: number
}

/** Rows whose label the model does not have. */
export interface UnknownLabels {
  count: number
  first: { line: number; label: string }[]
}

const UNKNOWN_SHOWN = 10
const NO_GROUP = '(none)'

/**
 * The rows of a file that can be evaluated.
 *
 * @param unknown collects those whose label the model does not have, which are left out
 */
export async function* evaluationRows(
  path: string,
  columns: Columns,
  labels: readonly string[],
  unknown: UnknownLabels,
): AsyncGenerator<EvaluationRow> {
  const { text, label, group, predictions, compare } = columns
  const optional = [group, predictions, compare].filter((column) => column !== undefined)
  let row = 0
  for await (const { values, line, bytes } of await fieldsFromFile(path, [text, label, ...optional])) {
    row += 1
    const where = `${path}, line ${line}`
    const [text_value, label_value, ...rest] = values
    const true_class = classOf(label_value, labels)
    if (true_class === undefined) {
      unknown.count += 1
      if (unknown.first.length < UNKNOWN_SHOWN)
        unknown.first.push({ line, label: JSON.stringify(label_value) })
      continue
    }
    const content = stringOf(text_value, text, where)
    checkLength(content, where)
    yield {
      row,
      text: content,
      label: true_class,
      ...(group !== undefined && { group: groupOf(rest.shift(), group, where) }),
      ...(predictions !== undefined && {
        predictions: probabilitiesOf(rest.shift(), predictions, labels, where),
      }),
      ...(compare !== undefined && { compare: probabilitiesOf(rest.shift(), compare, labels, where) }),
      bytes,
    }
  }
}

/** What a file holds, once all of it was found to be right. */
export interface Checked {
  /** Rows that can be evaluated. */
  rows: number
  /** Rows that are left out. */
  ignored: number
  /** Where the file ends, in bytes. */
  bytes: number
}

/**
 * Reads the whole file before any work begins, so that a bad row at its end costs no hours of scoring and leaves
 * nothing half-written.
 *
 * @param see gets every row
 */
export async function checkRows(
  path: string,
  columns: Columns,
  labels: readonly string[],
  ignore_unknown: boolean,
  see: (row: EvaluationRow) => void | Promise<void>,
): Promise<Checked> {
  const unknown: UnknownLabels = { count: 0, first: [] }
  const groups = new Set<string>()
  let rows = 0
  let bytes = 0
  for await (const row of evaluationRows(path, columns, labels, unknown)) {
    rows += 1
    bytes = row.bytes
    if (row.group !== undefined) groups.add(row.group)
    if (groups.size > MAX_GROUPS) {
      throw new InputError(
        `The column "${columns.group ?? ''}" of ${path} has more than ${MAX_GROUPS} values; --group takes a column of fewer.`,
      )
    }
    await see(row)
  }
  if (unknown.count > 0 && !ignore_unknown) throw unknownLabels(path, columns.label, labels, unknown)
  if (rows === 0) {
    throw new InputError(
      unknown.count > 0
        ? `${path} has no rows to evaluate: the model has none of its labels.`
        : `${path} has no rows to evaluate.`,
    )
  }
  return { rows, ignored: unknown.count, bytes }
}

function unknownLabels(
  path: string,
  column: string,
  labels: readonly string[],
  { count, first }: UnknownLabels,
): InputError {
  const listed = first.map(({ line, label }) => `line ${line} (${label})`).join(', ')
  const rows = count === 1 ? 'One row' : `${count} rows`
  const known = labels.map((label, id) => `${label} (${id})`).join(', ')
  return new InputError(
    `${rows} of ${path} ${count === 1 ? 'has' : 'have'} a "${column}" that the model does not have: ` +
      `${listed}${count > first.length ? ' and more' : ''}. Its labels are ${known}; ` +
      `--ignore-unknown-labels leaves such rows out.`,
  )
}

function classOf(value: unknown, labels: readonly string[]): number | undefined {
  // A number of JSON Lines may be a name as well: that of a label '1' to '5', say.
  return typeof value === 'string' || typeof value === 'number' ? findLabel(String(value), labels) : undefined
}

function groupOf(value: unknown, column: string, where: string): string {
  if (value === null || value === '') return NO_GROUP
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return String(value)
  throw new InputError(`${where}: "${column}" must be a string, a number, true, false or null.`)
}

function probabilitiesOf(value: unknown, column: string, labels: readonly string[], where: string): number[] {
  const wrong = (what: string): InputError => new InputError(`${where}: "${column}" must be ${what}.`)
  let list = value
  try {
    // CSV holds the array as text; JSON Lines may hold either.
    if (typeof value === 'string') list = JSON.parse(value)
  } catch {
    list = undefined
  }
  if (!Array.isArray(list)) {
    throw wrong(`a JSON array of ${labels.length} probabilities (${labels.join(', ')})`)
  }
  const values: unknown[] = list
  const wanted = wrongProbabilities(values, labels)
  if (wanted === undefined) return values.map(Number)
  const remedy = values.length === labels.length ? '' : '; --model names the model whose labels these are'
  throw wrong(`a JSON array of ${wanted}${remedy}`)
}
