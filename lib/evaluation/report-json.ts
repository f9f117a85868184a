import type { Evaluation } from './evaluator'
import type { Averages } from './metrics'
import type { Report } from './tally'

/** A figure that is not defined is `null`. */
interface Figures {
  precision: number | null
  recall: number | null
  'f1-score': number | null
  support: number
}

/**
 * An evaluation with the keys of scikit-learn's `classification_report(output_dict=True)` (one for each label,
 * `accuracy`, `macro avg`, `weighted avg`), and beside them `roc_auc`, `confusion_matrix`, `log_loss`,
 * `brier_score`, `calibration`, `labels`, `groups` (the same keys for each), `f1_by_length` and `mistakes`.
 *
 * @returns plain data for `JSON.stringify`; what is not defined is `null`
 * @example
 * ```ts
 * const evaluation = await evaluate((texts) => classifier.classifyStream(texts), rows, { labels })
 * await writeFile('report.json', JSON.stringify(reportJson(evaluation), null, 2))
 * ```
 */
export function reportJson(evaluation: Evaluation): Record<string, unknown> {
  const { labels, whole, groups, f1_by_length, mistakes } = evaluation
  return {
    ...figuresOf(whole),
    labels,
    groups: Object.fromEntries(groups.map((group) => [group.name, figuresOf(group)])),
    f1_by_length,
    mistakes,
  }
}

function figuresOf(report: Report): Record<string, unknown> {
  const { rows, classes, accuracy, macro, weighted } = report
  const { roc_auc, confusion_matrix, log_loss, brier, calibration } = report
  return {
    // fromEntries defines its keys, so that a label may be called `__proto__`.
    ...Object.fromEntries(classes.map(({ label, support, ...means }) => [label, figures(means, support)])),
    accuracy,
    'macro avg': figures(macro, rows),
    'weighted avg': figures(weighted, rows),
    roc_auc,
    confusion_matrix,
    log_loss,
    brier_score: brier,
    calibration,
  }
}

function figures({ precision, recall, f1 }: Averages, support: number): Figures {
  return { precision, recall, 'f1-score': f1, support }
}
