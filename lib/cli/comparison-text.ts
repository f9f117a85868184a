import type { Comparison } from '../evaluation/comparison'
import type { Evaluation } from '../evaluation/evaluator'
import { figure } from '../evaluation/report-text'
import type { Report } from '../evaluation/tally'
import { fit, onOneLine, widthOf } from '../text-width'

/** Narrowest column that a text is cut to. */
const MIN_TEXT_WIDTH = 16

/**
 * Two sets of scores side by side: figures of the whole and of each group, McNemar's test, and the texts where
 * the labels differ most.
 *
 * @param columns width of the terminal; undefined where the output is no terminal, so that nothing is cut
 */
export function comparisonText(
  first: { name: string; evaluation: Evaluation },
  second: { name: string; comparison: Comparison },
  columns: number | undefined,
): string {
  const { comparison } = second
  const { evaluation, only_first_right, only_second_right, p_value, different, differences } = comparison
  const pairs = [first.evaluation.whole, ...first.evaluation.groups].map((report, index) => ({
    report,
    other: [evaluation.whole, ...evaluation.groups][index] ?? report,
  }))
  const widths = differences.map(
    ({ true_label, first: one, second: two }) =>
      `  true ${onOneLine(true_label)}, A ${said(one)}, B ${said(two)}`,
  )
  const width = Math.max(0, ...widths.map(widthOf))
  return [
    `Comparison of A, ${onOneLine(first.name)}, with B, ${onOneLine(second.name)}`,
    ...pairs.flatMap(({ report, other }) => ['', ...sideBySide(report, other)]),
    '',
    `McNemar's Test: only A right ${only_first_right}, only B right ${only_second_right}, p = ${probability(p_value)}`,
    '',
    `Different labels: ${different} rows`,
    ...differences.map(({ row, text }, index) => {
      const head = `${padEnd(widths[index] ?? '', width)}  row ${row}  `
      const line = onOneLine(text)
      return `${head}${columns === undefined ? line : fit(line, Math.max(columns - widthOf(head), MIN_TEXT_WIDTH))}`
    }),
    ...(different > differences.length
      ? [`  … and ${different - differences.length} more, whose scores for the true label are closer`]
      : []),
    '',
  ].join('\n')
}

function sideBySide(one: Report, other: Report): string[] {
  const rows: [string, number | null, number | null][] = [
    ...one.classes.map(({ label, f1 }, index): [string, number | null, number | null] => [
      `F1 ${onOneLine(label)}`,
      f1,
      other.classes[index]?.f1 ?? null,
    ]),
    ['Accuracy', one.accuracy, other.accuracy],
    ['Macro F1 Score', one.macro.f1, other.macro.f1],
    ['ROC AUC', one.roc_auc, other.roc_auc],
    ['Log Loss', one.log_loss, other.log_loss],
    ['Brier Score', one.brier, other.brier],
    [
      'Expected Calibration Error',
      one.calibration.expected_calibration_error,
      other.calibration.expected_calibration_error,
    ],
  ]
  const title = `${onOneLine(one.name)} (${one.rows} rows)`
  const width = Math.max(widthOf(title), ...rows.map(([name]) => widthOf(name)))
  const line = (name: string, cells: readonly string[]): string =>
    padEnd(name, width) + cells.map((cell) => cell.padStart(11)).join('')
  return [
    line(title, ['A', 'B', 'A - B']),
    ...rows.map(([name, a, b]) => {
      const difference = a === null || b === null ? null : a - b
      return line(name, [figure(a), figure(b), figure(difference)])
    }),
  ]
}

function said({ predicted_label, score }: { predicted_label: string; score: number }): string {
  return `${onOneLine(predicted_label)} ${score.toFixed(4)}`
}

/** Six digits; a small one with an exponent. */
function probability(value: number): string {
  return value >= 0.001 ? value.toFixed(6) : value.toExponential(5)
}

function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(width - widthOf(text), 0))
}
