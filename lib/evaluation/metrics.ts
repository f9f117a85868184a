/** Precision, recall and F1 of one class; `null` where a figure is not defined. */
export interface ClassFigures {
  label: string
  /** Of the rows predicted as this class, the share that is of it; `null` where none was predicted. */
  precision: number | null
  /** Of the rows of this class, the share predicted as it; `null` where there are none. */
  recall: number | null
  /** `2·TP / (2·TP + FP + FN)`; `null` where the class is neither there nor predicted. */
  f1: number | null
  /** Rows of this class. */
  support: number
}

/** Precision, recall and F1 averaged over classes. */
export interface Averages {
  precision: number | null
  recall: number | null
  f1: number | null
}

/** One bin of a reliability diagram: predictions whose confidence is above `from` and at most `to`. */
export interface CalibrationBin {
  from: number
  to: number
  count: number
  /** Mean score of the predicted class. */
  confidence: number
  /** Share of right predictions. */
  accuracy: number
}

/** Rows: true class; columns: predicted class. */
export type ConfusionMatrix = readonly (readonly number[])[]

/** As many as Guo et al., On Calibration of Modern Neural Networks (2017), use. */
export const CALIBRATION_BINS = 15

/** A probability of 0 would cost infinitely much; as in scikit-learn it costs as much as this. */
const LEAST_PROBABILITY = Number.EPSILON

/** Figures of each class, in the order of `labels`. */
export function classFigures(matrix: ConfusionMatrix, labels: readonly string[]): ClassFigures[] {
  return labels.map((label, index) => {
    const hits = cell(matrix, index, index)
    const support = sum(matrix[index] ?? [])
    const claimed = claimedOf(matrix, index)
    return {
      label,
      precision: ratio(hits, claimed),
      recall: ratio(hits, support),
      f1: ratio(2 * hits, claimed + support),
      support,
    }
  })
}

/** Share of right predictions; `null` without rows. */
export function accuracy(matrix: ConfusionMatrix): number | null {
  const right = matrix.reduce((total, _, index) => total + cell(matrix, index, index), 0)
  return ratio(right, sum(matrix.map(sum)))
}

/**
 * Mean over the classes that are there or were predicted. As in scikit-learn's report, a figure that is not
 * defined for such a class counts as 0.
 */
export function macroAverage(matrix: ConfusionMatrix, classes: readonly ClassFigures[]): Averages {
  const weights = classes.map(({ support }, index) => (support + claimedOf(matrix, index) > 0 ? 1 : 0))
  return averages(classes, weights)
}

/** Mean weighted by support; a figure that is not defined counts as 0. */
export function weightedAverage(classes: readonly ClassFigures[]): Averages {
  return averages(
    classes,
    classes.map(({ support }) => support),
  )
}

/** What one row adds to the log loss, given the score of its true class. */
export function logLossOf(true_score: number): number {
  return -Math.log(Math.min(Math.max(true_score, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY))
}

/**
 * What one row adds to the Brier score: the squared distance of its scores from the truth, summed over the
 * classes, and half of that where there are two (Brier, Verification of forecasts expressed in terms of
 * probability, 1950; the half is what is usual for two classes, and what scikit-learn takes).
 */
export function brierOf(scores: readonly number[], true_class: number): number {
  const distance = scores.reduce((total, score, index) => {
    const difference = score - (index === true_class ? 1 : 0)
    return total + difference * difference
  }, 0)
  return scores.length === 2 ? distance / 2 : distance
}

/** The bin of a confidence, 0 up to {@link CALIBRATION_BINS} - 1. */
export function calibrationBinOf(confidence: number): number {
  return Math.min(Math.max(Math.ceil(confidence * CALIBRATION_BINS) - 1, 0), CALIBRATION_BINS - 1)
}

/** Mean distance of confidence from accuracy, weighted by the rows of each bin; `null` without rows. */
export function expectedCalibrationError(bins: readonly CalibrationBin[]): number | null {
  const rows = sum(bins.map(({ count }) => count))
  const distance = sum(bins.map((bin) => bin.count * Math.abs(bin.confidence - bin.accuracy)))
  return ratio(distance, rows)
}

/**
 * McNemar's test, exact and two-sided: the probability that two classifiers of equal accuracy differ at least
 * as much on the rows that only one of them gets right (McNemar, 1947; the exact form is a sign test).
 *
 * @returns 1 where there is no such row
 */
export function mcnemar(only_first: number, only_second: number): number {
  const rows = only_first + only_second
  const fewer = Math.min(only_first, only_second)
  // Logarithms, because the binomial coefficients of a large file are beyond any number.
  let log_term = -rows * Math.LN2
  let tail = Math.exp(log_term)
  for (let k = 1; k <= fewer; k++) {
    log_term += Math.log((rows - k + 1) / k)
    tail += Math.exp(log_term)
  }
  return Math.min(2 * tail, 1)
}

/** @returns `null` where it is not defined */
export function ratio(part: number, whole: number): number | null {
  return whole > 0 ? part / whole : null
}

function averages(classes: readonly ClassFigures[], weights: readonly number[]): Averages {
  const total = sum(weights)
  const mean = (figure: 'precision' | 'recall' | 'f1'): number | null =>
    ratio(sum(classes.map((each, index) => (each[figure] ?? 0) * (weights[index] ?? 0))), total)
  return { precision: mean('precision'), recall: mean('recall'), f1: mean('f1') }
}

function claimedOf(matrix: ConfusionMatrix, index: number): number {
  return sum(matrix.map((row) => row[index] ?? 0))
}

function cell(matrix: ConfusionMatrix, row: number, column: number): number {
  return matrix[row]?.[column] ?? 0
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
