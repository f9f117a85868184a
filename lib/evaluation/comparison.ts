import { best, Evaluator, shown, type Evaluation, type ScoredRow } from './evaluator'
import { mcnemar } from './metrics'
import { Top } from './top'

/** A second set of scores for the same rows, beside the first. */
export interface Comparison {
  /** Of the second scores. */
  evaluation: Evaluation
  /** Rows that only the first has right. */
  only_first_right: number
  only_second_right: number
  /** Of McNemar's test, exact and two-sided: how likely so large a difference is between equals. */
  p_value: number
  /** Rows whose predicted labels differ. */
  different: number
  /** The 50 of those whose scores for the true label are furthest apart. */
  differences: Difference[]
}

/** A row for which the two predict different labels. */
export interface Difference {
  row: number
  text: string
  true_label: string
  first: { predicted_label: string; score: number }
  second: { predicted_label: string; score: number }
}

const DIFFERENCES = 50

/** Takes rows with both scores one by one. */
export class Comparer {
  readonly #labels: readonly string[]
  readonly #second: Evaluator
  readonly #differences = new Top<Difference>(DIFFERENCES)
  #only_first_right = 0
  #only_second_right = 0
  #different = 0

  constructor(labels: readonly string[]) {
    this.#labels = labels
    this.#second = new Evaluator(labels)
  }

  /** @param row with the second scores */
  add(row: ScoredRow, first_scores: readonly number[]): void {
    const { true_class, scores } = row
    const first = best(first_scores)
    const second = this.#second.add(row)
    if (first === second) return
    this.#different += 1
    if (first === true_class) this.#only_first_right += 1
    if (second === true_class) this.#only_second_right += 1
    const distance = Math.abs((first_scores[true_class] ?? 0) - (scores[true_class] ?? 0))
    this.#differences.offer(distance, () => ({
      row: row.row,
      text: shown(row.text),
      true_label: this.#labels[true_class] ?? '',
      first: { predicted_label: this.#labels[first] ?? '', score: first_scores[first] ?? 0 },
      second: { predicted_label: this.#labels[second] ?? '', score: scores[second] ?? 0 },
    }))
  }

  comparison(): Comparison {
    return {
      evaluation: this.#second.evaluation(),
      only_first_right: this.#only_first_right,
      only_second_right: this.#only_second_right,
      p_value: mcnemar(this.#only_first_right, this.#only_second_right),
      different: this.#different,
      differences: this.#differences.items(),
    }
  }
}
