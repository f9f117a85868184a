/**
 * What `report.html` shows, as plain data: computed by the evaluation, drawn by the page. Rates and scores are 0 to 1;
 * `null` stands for a figure that is not defined (the precision of a class that was never predicted, say).
 */
export interface PageData {
  /** Heading of the page, such as the model and the file that were evaluated. */
  title: string
  /** Facts in a line each: file, rows, model, dtype, date, texts a second. */
  facts: { name: string; value: string }[]
  /** Class names, in the order of every array below. */
  labels: string[]
  /** The whole first, then each group. */
  reports: PageReport[]
  /** Rows: true class; columns: predicted class; of the whole. */
  confusion_matrix: number[][]
  /** One per class, one-vs-rest; at most about 200 points each. */
  roc: Curve[]
  precision_recall: Curve[]
  /** Equal-width bins over the confidence of the predicted class; empty bins are left out. */
  reliability: { from: number; to: number; count: number; confidence: number; accuracy: number }[]
  expected_calibration_error: number | null
  /** Per class, the scores given to that class: counts in 20 equal bins from 0 to 1, by whether it was the true one. */
  histograms: { label: string; when_true: number[]; when_other: number[] }[]
  /** Macro F1 for each group; empty without groups. */
  f1_by_group: { name: string; f1: number | null; rows: number }[]
  /** Macro F1 by text length in tokens (by characters where no tokens are known). */
  f1_by_length: { unit: 'tokens' | 'characters'; bins: { name: string; f1: number | null; rows: number }[] }
  /** The most confident wrong predictions, at most 50, the most confident first. */
  mistakes: { row: number; text: string; true_label: string; predicted_label: string; score: number }[]
}

/** Precision, recall, F1 and support, for each class and averaged. */
export interface PageReport {
  name: string
  rows: number
  classes: {
    label: string
    precision: number | null
    recall: number | null
    f1: number | null
    support: number
  }[]
  accuracy: number | null
  macro_f1: number | null
  weighted_f1: number | null
  roc_auc: number | null
  log_loss: number | null
  brier: number | null
}

/** A curve with one label; `area` is its area, `null` where it is not defined. */
export interface Curve {
  label: string
  points: { x: number; y: number }[]
  area: number | null
}
