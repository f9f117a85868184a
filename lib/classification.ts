import type { Classification, ScoreFunction } from './types'

/**
 * Softmax, shifted by the largest logit so that no exponential overflows.
 *
 * `softmax(x)_i = exp(x_i - max x) / sum_j exp(x_j - max x)`; Goodfellow, Bengio and Courville, Deep Learning
 * (2016), section 4.1.
 */
export function softmax(logits: readonly number[]): number[] {
  const highest = Math.max(...logits)
  const exponentials = logits.map((logit) => Math.exp(logit - highest))
  const sum = exponentials.reduce((total, value) => total + value, 0)
  return exponentials.map((value) => value / sum)
}

/** Whether a label can be told from a row's logits: none is NaN, and the greatest is finite (a masked label may not be). */
export function areNumbers(logits: ArrayLike<number>): boolean {
  return Number.isFinite(Math.max(...Array.from(logits)))
}

/** `1 / (1 + exp(-x))` of each logit by itself. */
export function sigmoid(logits: readonly number[]): number[] {
  // exp(-x) of a large negative x overflows to infinity, whose reciprocal is the 0 that is meant.
  return logits.map((logit) => 1 / (1 + Math.exp(-logit)))
}

/**
 * What turns a model's logits into scores, by the rules of transformers' text-classification pipeline: a single logit
 * that nobody calls a regression is a yes or no, of which softmax would always say 1.
 *
 * @param problem_type as in `config.json`; undefined where it says nothing
 */
export function scoreFunctionOf(problem_type: string | undefined, num_labels: number): ScoreFunction {
  if (problem_type === 'regression') return 'none'
  return problem_type === 'multi_label_classification' || num_labels === 1 ? 'sigmoid' : 'softmax'
}

const SCORES: Record<ScoreFunction, (logits: readonly number[]) => number[]> = {
  softmax,
  sigmoid,
  none: (logits) => [...logits],
}

/** Weighted mean of rows of logits, element by element; the weights need not add up to 1. */
export function weightedMean(rows: readonly ArrayLike<number>[], weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const mean = Array.from({ length: rows[0]?.length ?? 0 }, () => 0)
  rows.forEach((row, index) => {
    const share = (weights[index] ?? 0) / total
    for (let label = 0; label < mean.length; label++) {
      mean[label] = (mean[label] ?? 0) + share * (row[label] ?? 0)
    }
  })
  return mean
}

/**
 * One row of logits as a result.
 *
 * @param labels names in the order of the logits, at least one
 * @param logits as many numbers
 * @param score_function what makes scores of them
 */
export function toClassification<Label extends string>(
  labels: readonly Label[],
  logits: number[],
  num_tokens: number,
  truncated: boolean,
  score_function: ScoreFunction,
): Classification<Label> {
  const values = SCORES[score_function](logits)
  let best = 0
  values.forEach((value, index) => {
    if (value > (values[best] ?? NaN)) best = index
  })
  const label = labels[best]
  const score = values[best]
  if (label === undefined || score === undefined) {
    throw new RangeError(`${labels.length} labels do not fit ${logits.length} logits.`)
  }
  // fromEntries defines its keys, so that a label may be called `__proto__`.
  const scores = Object.fromEntries(
    labels.map((name, index) => [name, values[index]]),
  ) as Classification<Label>['scores']
  return { label, score, scores, logits, num_tokens, truncated }
}
