import { precisionRecallCurve, rank, rocAuc, rocCurve, type RankedScores } from './curves'
import { classFigures, macroAverage } from './metrics'
import type { PageData } from './page-data'
import { Tally, type Report } from './tally'
import { Top } from './top'

/** Everything that was found about a classifier's scores, as plain data. */
export interface Evaluation {
  /** Class names, in the order of every array below. */
  labels: readonly string[]
  /** Of all rows. */
  whole: Report
  /** Of the rows of each group, in the order in which the groups first came. */
  groups: Report[]
  /** One per class, one-vs-rest, at most about 200 points each; `area` is the ROC AUC. */
  roc: PageData['roc']
  /** One per class; `area` is the average precision. */
  precision_recall: PageData['precision_recall']
  /** Per class, the scores given to it: counts in 20 equal bins from 0 to 1, by whether it was the true one. */
  histograms: PageData['histograms']
  /** Macro F1 by text length. */
  f1_by_length: PageData['f1_by_length']
  /** The 50 most confident wrong predictions; a long text is cut. */
  mistakes: PageData['mistakes']
}

/** A row that is scored: what is known of it, and what the classifier said. */
export interface ScoredRow {
  /** The number that it is listed by. */
  row: number
  text: string
  /** Index of the true class. */
  true_class: number
  group: string | undefined
  /** One for each class, in the order of the labels. */
  scores: readonly number[]
  /** Undefined where no tokens are known. */
  num_tokens: number | undefined
}

const MISTAKES = 50
const HISTOGRAM_BINS = 20
const SHOWN_CHARS = 1000

/** More would be another column than one of groups, and a report that nobody reads. */
export const MAX_GROUPS = 1000

/** Takes scored rows one by one and keeps of them what the figures need: scores, but no texts. */
export class Evaluator {
  readonly #labels: readonly string[]
  readonly #whole: Tally
  readonly #groups = new Map<string, { index: number; tally: Tally }>()
  readonly #by_tokens: Lengths
  readonly #by_characters: Lengths
  readonly #histograms: PageData['histograms']
  readonly #mistakes = new Top<PageData['mistakes'][number]>(MISTAKES)
  // One list for each class: ROC curves need every score.
  readonly #scores: number[][]
  readonly #true_classes: number[] = []
  readonly #group_of: number[] = []
  #knows_tokens = true

  constructor(labels: readonly string[]) {
    this.#labels = labels
    this.#whole = new Tally(labels.length)
    this.#by_tokens = new Lengths(labels)
    this.#by_characters = new Lengths(labels)
    this.#scores = labels.map(() => [])
    const empty = (): number[] => Array.from({ length: HISTOGRAM_BINS }, () => 0)
    this.#histograms = labels.map((label) => ({ label, when_true: empty(), when_other: empty() }))
  }

  /** @returns index of the predicted class */
  add({ row, text, true_class, group, scores, num_tokens }: ScoredRow): number {
    const predicted = best(scores)
    this.#whole.add(true_class, predicted, scores)
    this.#true_classes.push(true_class)
    for (const [index, score] of scores.entries()) {
      this.#scores[index]?.push(score)
      const histogram = this.#histograms[index]
      const counts = index === true_class ? histogram?.when_true : histogram?.when_other
      const bin = Math.min(Math.floor(score * HISTOGRAM_BINS), HISTOGRAM_BINS - 1)
      if (counts) counts[bin] = (counts[bin] ?? 0) + 1
    }
    if (group !== undefined) this.#addToGroup(group, true_class, predicted, scores)
    this.#by_characters.add(text.length, true_class, predicted)
    if (num_tokens === undefined) this.#knows_tokens = false
    else this.#by_tokens.add(num_tokens, true_class, predicted)
    if (predicted !== true_class) {
      const score = scores[predicted] ?? 0
      this.#mistakes.offer(score, () => ({
        row,
        text: shown(text),
        true_label: this.#labels[true_class] ?? '',
        predicted_label: this.#labels[predicted] ?? '',
        score,
      }))
    }
    return predicted
  }

  evaluation(): Evaluation {
    const labels = this.#labels
    const everything = Array.from(this.#true_classes.keys())
    const ranked = this.#rank(everything)
    const groups = this.#rowsByGroup()
    return {
      labels,
      whole: this.#whole.report('all', labels, meanAuc(ranked)),
      groups: [...this.#groups].map(([name, { index, tally }]) =>
        tally.report(name, labels, meanAuc(this.#rank(groups[index] ?? []))),
      ),
      roc: labels.map((label, index) => rocCurve(label, ranked[index] ?? rank([], []))),
      precision_recall: labels.map((label, index) =>
        precisionRecallCurve(label, ranked[index] ?? rank([], [])),
      ),
      histograms: this.#histograms,
      f1_by_length: this.#knows_tokens
        ? { unit: 'tokens', bins: this.#by_tokens.bins() }
        : { unit: 'characters', bins: this.#by_characters.bins() },
      mistakes: this.#mistakes.items(),
    }
  }

  #addToGroup(name: string, true_class: number, predicted: number, scores: readonly number[]): void {
    let group = this.#groups.get(name)
    if (!group) {
      if (this.#groups.size === MAX_GROUPS) {
        throw new RangeError(
          `There are more than ${MAX_GROUPS} groups; group by something with fewer values.`,
        )
      }
      group = { index: this.#groups.size, tally: new Tally(this.#labels.length) }
      this.#groups.set(name, group)
    }
    group.tally.add(true_class, predicted, scores)
    this.#group_of[this.#true_classes.length - 1] = group.index
  }

  #rowsByGroup(): number[][] {
    const rows: number[][] = Array.from({ length: this.#groups.size }, () => [])
    // Rows without a group are holes, which forEach passes over.
    this.#group_of.forEach((group, row) => rows[group]?.push(row))
    return rows
  }

  /** For each class, its scores in the given rows. */
  #rank(rows: readonly number[]): RankedScores[] {
    return this.#scores.map((scores, index) => {
      const positives: number[] = []
      const negatives: number[] = []
      for (const row of rows) {
        const kind = this.#true_classes[row] === index ? positives : negatives
        kind.push(scores[row] ?? 0)
      }
      return rank(positives, negatives)
    })
  }
}

/** Confusion by text length, in bins whose limits double from 8 on. */
class Lengths {
  readonly #labels: readonly string[]
  readonly #tallies: number[][][] = []

  constructor(labels: readonly string[]) {
    this.#labels = labels
  }

  add(length: number, true_class: number, predicted: number): void {
    const bin = Math.max(Math.ceil(Math.log2(Math.max(length, 1))) - 3, 0)
    while (this.#tallies.length <= bin) this.#tallies.push(this.#labels.map(() => this.#labels.map(() => 0)))
    const row = this.#tallies[bin]?.[true_class]
    if (row) row[predicted] = (row[predicted] ?? 0) + 1
  }

  bins(): PageData['f1_by_length']['bins'] {
    return this.#tallies.flatMap((matrix, bin) => {
      const rows = matrix.flat().reduce((total, count) => total + count, 0)
      if (rows === 0) return []
      const name = bin === 0 ? '≤ 8' : `${4 * 2 ** bin + 1}–${8 * 2 ** bin}`
      return [{ name, f1: macroAverage(matrix, classFigures(matrix, this.#labels)).f1, rows }]
    })
  }
}

/** Where a class has no rows, or all of them, its curve is not defined, and so the mean is not. */
function meanAuc(ranked: readonly RankedScores[]): number | null {
  let total = 0
  for (const scores of ranked) {
    const area = rocAuc(scores)
    if (area === null) return null
    total += area
  }
  return total / ranked.length
}

/** Index of the highest score; of equal ones the first, as in a classification. */
export function best(scores: readonly number[]): number {
  let found = 0
  scores.forEach((score, index) => {
    if (score > (scores[found] ?? NaN)) found = index
  })
  return found
}

/** As much of a text as a table shows. */
export function shown(text: string): string {
  if (text.length <= SHOWN_CHARS) return text
  // Not between the halves of a surrogate pair.
  const end = /[\uD800-\uDBFF]/.test(text.charAt(SHOWN_CHARS - 1)) ? SHOWN_CHARS - 1 : SHOWN_CHARS
  return `${text.slice(0, end)}…`
}
