import {
  accuracy,
  brierOf,
  CALIBRATION_BINS,
  calibrationBinOf,
  classFigures,
  expectedCalibrationError,
  logLossOf,
  macroAverage,
  ratio,
  weightedAverage,
  type Averages,
  type CalibrationBin,
  type ClassFigures,
} from './metrics'

/** The figures of a set of rows. What is not defined for them is `null`. */
export interface Report {
  /** `'all'`, or the group's name. */
  name: string
  rows: number
  classes: ClassFigures[]
  /** Share of right predictions, 0 to 1. */
  accuracy: number | null
  /** Mean over the classes that are there or were predicted. */
  macro: Averages
  /** Mean weighted by support. */
  weighted: Averages
  /** Mean over the classes of the area under the one-vs-rest ROC curve; `null` where a class has no rows. */
  roc_auc: number | null
  /** Rows: true class; columns: predicted class. */
  confusion_matrix: number[][]
  /** Mean negative logarithm (natural) of the true class's score. */
  log_loss: number | null
  /** Mean squared distance of the scores from the truth, summed over classes; half of that where there are two. */
  brier: number | null
  calibration: {
    /** Mean distance of confidence from accuracy over the bins, weighted by their rows. */
    expected_calibration_error: number | null
    /** 15 bins of equal width over the score of the predicted class; empty ones are left out. */
    bins: CalibrationBin[]
  }
}

/** Sums over rows, from which every figure but the ROC AUC follows: memory does not grow with the rows. */
export class Tally {
  rows = 0
  readonly confusion_matrix: number[][]
  readonly #bins = Array.from({ length: CALIBRATION_BINS }, () => ({ count: 0, confidence: 0, right: 0 }))
  #log_loss = 0
  #brier = 0

  constructor(num_labels: number) {
    this.confusion_matrix = Array.from({ length: num_labels }, () =>
      Array.from({ length: num_labels }, () => 0),
    )
  }

  /** @param scores one for each class */
  add(true_class: number, predicted: number, scores: readonly number[]): void {
    this.rows += 1
    const row = this.confusion_matrix[true_class]
    if (row) row[predicted] = (row[predicted] ?? 0) + 1
    this.#log_loss += logLossOf(scores[true_class] ?? 0)
    this.#brier += brierOf(scores, true_class)
    const confidence = scores[predicted] ?? 0
    const bin = this.#bins[calibrationBinOf(confidence)]
    if (!bin) return
    bin.count += 1
    bin.confidence += confidence
    if (predicted === true_class) bin.right += 1
  }

  report(name: string, labels: readonly string[], roc_auc: number | null): Report {
    const { rows, confusion_matrix } = this
    const classes = classFigures(confusion_matrix, labels)
    const bins = this.#calibration()
    return {
      name,
      rows,
      classes,
      accuracy: accuracy(confusion_matrix),
      macro: macroAverage(confusion_matrix, classes),
      weighted: weightedAverage(classes),
      roc_auc,
      confusion_matrix,
      log_loss: ratio(this.#log_loss, rows),
      brier: ratio(this.#brier, rows),
      calibration: { expected_calibration_error: expectedCalibrationError(bins), bins },
    }
  }

  #calibration(): CalibrationBin[] {
    return this.#bins.flatMap(({ count, confidence, right }, index) => {
      if (count === 0) return []
      const from = index / CALIBRATION_BINS
      const to = (index + 1) / CALIBRATION_BINS
      return [{ from, to, count, confidence: confidence / count, accuracy: right / count }]
    })
  }
}
