import { onOneLine, widthOf } from '../text-width'
import type { Averages } from './metrics'
import type { Report } from './tally'

const DIGITS = 6
/** What stands for a figure that is not defined. */
const DASH = '–'
const HEADS = ['precision', 'recall', 'f1-score', 'support']
const COLUMN = 9
const AVERAGE = 'weighted avg'

/**
 * A report as model cards print it: the layout of scikit-learn's `classification_report` with six decimals, ROC
 * AUC, confusion matrix and macro F1; then log loss, Brier score and expected calibration error. A figure that
 * is not defined is a dash.
 *
 * @param title what the head line calls the rows; the report's own name where it is left out
 * @returns lines, each with its end
 * @example
 * ```ts
 * const { whole, groups } = await evaluate((texts) => classifier.classifyStream(texts), rows, { labels })
 * for (const report of [whole, ...groups]) console.log(reportText(report))
 * ```
 */
export function reportText(report: Report, title: string = report.name): string {
  const { classes, rows, roc_auc, macro, weighted, log_loss, brier, calibration } = report
  const names = classes.map(({ label }) => onOneLine(label))
  const width = Math.max(AVERAGE.length, ...names.map(widthOf))
  const line = (name: string, cells: readonly string[]): string =>
    `${padStart(name, width)} ${cells.map((text) => ` ${text.padStart(COLUMN)}`).join('')}`.trimEnd()
  const averageLine = (name: string, { precision, recall, f1 }: Averages): string =>
    line(name, [figure(precision), figure(recall), figure(f1), String(rows)])
  return [
    `${onOneLine(title)} Classification Report`,
    '',
    line('', HEADS),
    '',
    ...classes.map(({ precision, recall, f1, support }, index) =>
      line(names[index] ?? '', [figure(precision), figure(recall), figure(f1), String(support)]),
    ),
    '',
    line('accuracy', ['', '', figure(report.accuracy), String(rows)]),
    averageLine('macro avg', macro),
    averageLine(AVERAGE, weighted),
    '',
    `ROC AUC: ${figure(roc_auc)}`,
    '',
    ...matrixLines(names, report.confusion_matrix),
    '',
    `Macro F1 Score: ${figure(macro.f1)}`,
    '',
    `Log Loss: ${figure(log_loss)}`,
    `Brier Score: ${figure(brier)}`,
    `Expected Calibration Error: ${figure(calibration.expected_calibration_error)}`,
    '',
  ].join('\n')
}

/** Six decimals, or a dash. */
export function figure(value: number | null): string {
  return value === null ? DASH : value.toFixed(DIGITS)
}

/** As pandas prints a cross table. */
function matrixLines(names: readonly string[], matrix: readonly (readonly number[])[]): string[] {
  const first = Math.max('Predicted'.length, ...names.map(widthOf))
  const widths = names.map((name, column) =>
    Math.max(widthOf(name), ...matrix.map((row) => String(row[column] ?? 0).length)),
  )
  const cells = (texts: readonly string[]): string =>
    texts.map((text, column) => `  ${padStart(text, widths[column] ?? 0)}`).join('')
  return [
    padEnd('Predicted', first) + cells(names),
    'Actual',
    ...matrix.map((row, index) => padEnd(names[index] ?? '', first) + cells(row.map(String))),
  ]
}

function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(width - widthOf(text), 0)) + text
}

function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(width - widthOf(text), 0))
}
