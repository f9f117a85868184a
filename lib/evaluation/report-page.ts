import type { Evaluation } from './evaluator'
import type { PageData, PageReport } from './page-data'
import type { Report } from './tally'

/** An evaluation as the page shows it. */
export function pageData(evaluation: Evaluation, title: string, facts: PageData['facts']): PageData {
  const { labels, whole, groups, roc, precision_recall, histograms, f1_by_length, mistakes } = evaluation
  const { expected_calibration_error, bins } = whole.calibration
  return {
    title,
    facts,
    labels: [...labels],
    reports: [whole, ...groups].map(pageReport),
    confusion_matrix: whole.confusion_matrix,
    roc,
    precision_recall,
    reliability: bins,
    expected_calibration_error,
    histograms,
    f1_by_group: groups.map(({ name, macro, rows }) => ({ name, f1: macro.f1, rows })),
    f1_by_length,
    mistakes,
  }
}

function pageReport({ macro, weighted, ...report }: Report): PageReport {
  const { name, rows, classes, accuracy, roc_auc, log_loss, brier } = report
  return {
    ...{ name, rows, classes, accuracy, roc_auc, log_loss, brier },
    macro_f1: macro.f1,
    weighted_f1: weighted.f1,
  }
}
