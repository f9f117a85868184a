import type { Curve } from './page-data'

/** The scores that one class was given, each list ascending: those of its own rows, and those of all others. */
export interface RankedScores {
  positives: Float64Array
  negatives: Float64Array
}

/** Points kept of a curve; a plot cannot show more. */
export const CURVE_POINTS = 200

/** How many rows of each kind score at least as high as some threshold. */
interface Cut {
  true_positives: number
  false_positives: number
}

/** Sorts scores by whether their row is of the class. */
export function rank(positives: readonly number[], negatives: readonly number[]): RankedScores {
  return { positives: Float64Array.from(positives).sort(), negatives: Float64Array.from(negatives).sort() }
}

/**
 * Area under the ROC curve: the probability that a row of the class scores above one of the others, a tie
 * counting half (Fawcett, An introduction to ROC analysis, 2006).
 *
 * @returns `null` where one of the two kinds has no rows
 */
export function rocAuc(ranked: RankedScores): number | null {
  const pairs = ranked.positives.length * ranked.negatives.length
  if (pairs === 0) return null
  let area = 0
  let last: Cut = { true_positives: 0, false_positives: 0 }
  for (const cut of cuts(ranked)) {
    const height = (cut.true_positives + last.true_positives) / 2
    area += (cut.false_positives - last.false_positives) * height
    last = cut
  }
  return area / pairs
}

/**
 * Average precision: the mean of the precision at each threshold, weighted by the recall that it adds.
 *
 * @returns `null` where the class has no rows
 */
export function averagePrecision(ranked: RankedScores): number | null {
  const { length } = ranked.positives
  if (length === 0) return null
  let area = 0
  let last = 0
  for (const { true_positives, false_positives } of cuts(ranked)) {
    area += ((true_positives - last) * true_positives) / (true_positives + false_positives)
    last = true_positives
  }
  return area / length
}

/** False positive rate (x) against true positive rate (y), from (0, 0) to (1, 1); no points where not defined. */
export function rocCurve(label: string, ranked: RankedScores, max_points = CURVE_POINTS): Curve {
  const area = rocAuc(ranked)
  if (area === null) return { label, points: [], area }
  const { positives, negatives } = ranked
  const points = thin(ranked, max_points).map(({ true_positives, false_positives }) => ({
    x: false_positives / negatives.length,
    y: true_positives / positives.length,
  }))
  return { label, points: [{ x: 0, y: 0 }, ...points], area }
}

/** Recall (x) against precision (y), from (0, 1), which stands for no prediction, to recall 1. */
export function precisionRecallCurve(label: string, ranked: RankedScores, max_points = CURVE_POINTS): Curve {
  const area = averagePrecision(ranked)
  if (area === null) return { label, points: [], area }
  const points = thin(ranked, max_points).map(({ true_positives, false_positives }) => ({
    x: true_positives / ranked.positives.length,
    y: true_positives / (true_positives + false_positives),
  }))
  return { label, points: [{ x: 0, y: 1 }, ...points], area }
}

/** One cut for each score that occurs, from the highest down; rows of equal scores come together. */
function* cuts({ positives, negatives }: RankedScores): Generator<Cut> {
  let positive = positives.length
  let negative = negatives.length
  while (positive > 0 || negative > 0) {
    const threshold = Math.max(positives[positive - 1] ?? -Infinity, negatives[negative - 1] ?? -Infinity)
    while (positives[positive - 1] === threshold) positive -= 1
    while (negatives[negative - 1] === threshold) negative -= 1
    yield {
      true_positives: positives.length - positive,
      false_positives: negatives.length - negative,
    }
  }
}

/** Cuts at about equal distances along the ROC curve, the last one among them. */
function thin(ranked: RankedScores, max_points: number): Cut[] {
  const kept: Cut[] = []
  // The start of the curve, its first cut and its last are always there, outside of the steps.
  const step = 2 / Math.max(max_points - 3, 1)
  let next = 0
  for (const cut of cuts(ranked)) {
    const { positives, negatives } = ranked
    const done = cut.true_positives === positives.length && cut.false_positives === negatives.length
    const way =
      cut.true_positives / Math.max(positives.length, 1) + cut.false_positives / Math.max(negatives.length, 1)
    if (way < next && !done) continue
    kept.push(cut)
    next = way + step
  }
  return kept
}
