import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { averagePrecision, precisionRecallCurve, rank, rocAuc, rocCurve } from '../../lib/evaluation/curves'
import { Evaluator } from '../../lib/evaluation/evaluator'
import { mcnemar, type Averages } from '../../lib/evaluation/metrics'
import { figure, reportText } from '../../lib/evaluation/report-text'
import { Tally } from '../../lib/evaluation/tally'
import { Top } from '../../lib/evaluation/top'

interface Golden {
  name: string
  truth: number[]
  scores: number[][]
  classes: (number | null)[][]
  accuracy: number
  macro: number[]
  weighted: number[]
  confusion_matrix: number[][]
  roc_auc: number | null
  log_loss: number
  brier: number
  calibration: { bins: Record<string, number>[]; expected_calibration_error: number }
  text: string | null
  curves:
    | {
        roc: number[][]
        precision_recall: number[][]
        auc: number | null
        average_precision: number | null
      }[]
    | null
}

const GOLDENS = JSON.parse(
  readFileSync(join(__dirname, '..', 'fixtures', 'metrics', 'goldens.json'), 'utf8'),
) as { cases: Golden[]; mcnemar: [number, number, number][] }

function close(actual: number | null | undefined, expected: number | null, what: string): void {
  if (expected === null) assert.equal(actual, null, what)
  // Not `difference > tolerance`: NaN must fail.
  else assert.ok(Math.abs((actual ?? NaN) - expected) <= 1e-12, `${what}: ${actual}, not ${expected}`)
}

function listOf({ precision, recall, f1 }: Averages): (number | null)[] {
  return [precision, recall, f1]
}

describe('metrics are those of scikit-learn', () => {
  for (const golden of GOLDENS.cases) {
    const labels = golden.scores[0]?.map((_, index) => `class ${index}`) ?? []
    const scored = (): Evaluator => {
      const evaluator = new Evaluator(labels)
      golden.truth.forEach((true_class, row) => {
        const scores = golden.scores[row] ?? []
        evaluator.add({ row, text: `${row}`, true_class, group: 'g', scores, num_tokens: undefined })
      })
      return evaluator
    }

    it(golden.name, () => {
      const { whole, groups } = scored().evaluation()
      // The group holds every row, so that its figures must be those of the whole.
      assert.deepEqual(groups, [{ ...whole, name: 'g' }])
      whole.classes.forEach(({ label, precision, recall, f1, support }, index) => {
        const expected = golden.classes[index] ?? []
        ;[precision, recall, f1, support].forEach((value, place) => {
          close(value, expected[place] ?? null, `${label}, figure ${place}`)
        })
      })
      for (const name of ['macro', 'weighted'] as const) {
        listOf(whole[name]).forEach((value, place) => {
          close(value, golden[name][place] ?? null, `${name} ${place}`)
        })
      }
      assert.deepEqual(whole.confusion_matrix, golden.confusion_matrix)
      close(whole.accuracy, golden.accuracy, 'accuracy')
      close(whole.roc_auc, golden.roc_auc, 'ROC AUC')
      close(whole.log_loss, golden.log_loss, 'log loss')
      close(whole.brier, golden.brier, 'Brier score')
      const { bins, expected_calibration_error } = whole.calibration
      close(expected_calibration_error, golden.calibration.expected_calibration_error, 'calibration error')
      assert.equal(bins.length, golden.calibration.bins.length)
      bins.forEach((bin, index) => {
        for (const [key, value] of Object.entries(bin) as [string, number][]) {
          close(value, golden.calibration.bins[index]?.[key] ?? null, `bin ${index}, ${key}`)
        }
      })
      if (golden.text !== null) {
        // Ours has a title above, and goes on below; scikit-learn pads its lines.
        const lines = reportText(whole).split('\n').slice(2)
        const expected = golden.text.trimEnd().split('\n')
        assert.deepEqual(
          lines.slice(0, expected.length),
          expected.map((line) => line.trimEnd()),
        )
      }
      assert.doesNotMatch(reportText(whole), /NaN|undefined|null/)
    })

    if (golden.curves) {
      it(`${golden.name}: curves`, () => {
        golden.curves?.forEach(({ roc, precision_recall, auc, average_precision }, label) => {
          const of = (positive: boolean): number[] =>
            golden.scores
              .filter((_, row) => (golden.truth[row] === label) === positive)
              .map((row) => row[label] ?? NaN)
          const ranked = rank(of(true), of(false))
          close(rocAuc(ranked), auc, 'area under the ROC curve')
          close(averagePrecision(ranked), average_precision, 'average precision')
          const drawn = [
            [rocCurve('a', ranked, Infinity), roc, auc],
            [precisionRecallCurve('a', ranked, Infinity), precision_recall, average_precision],
          ] as const
          for (const [{ points, area }, expected, expected_area] of drawn) {
            close(area, expected_area, 'area')
            assert.equal(points.length, expected.length)
            points.forEach(({ x, y }, index) => {
              close(x, expected[index]?.[0] ?? null, `x of point ${index}`)
              close(y, expected[index]?.[1] ?? null, `y of point ${index}`)
            })
          }
        })
      })
    }
  }

  it('gives McNemar’s exact p-value', () => {
    for (const [only_first, only_second, p_value] of GOLDENS.mcnemar) {
      const actual = mcnemar(only_first, only_second)
      assert.ok(Math.abs(actual - p_value) <= 1e-9 * p_value, `${only_first}, ${only_second}: ${actual}`)
    }
  })
})

describe('metrics without rows', () => {
  it('are null, and dashes in print', () => {
    const { whole, groups, roc, precision_recall, f1_by_length, mistakes } = new Evaluator([
      'a',
      'b',
    ]).evaluation()
    const figures = [whole.accuracy, whole.roc_auc, whole.log_loss, whole.brier, ...listOf(whole.macro)]
    assert.deepEqual(
      [...figures, ...listOf(whole.weighted), whole.calibration.expected_calibration_error],
      Array(11).fill(null),
    )
    assert.deepEqual([whole.calibration.bins, groups, f1_by_length.bins, mistakes], [[], [], [], []])
    for (const curve of [...roc, ...precision_recall])
      assert.deepEqual([curve.points, curve.area], [[], null])
    const text = reportText(whole)
    assert.match(text, /^ +accuracy +– +0$/m)
    assert.match(text, /^ROC AUC: –$/m)
    assert.doesNotMatch(text, /NaN|undefined|null/)
    assert.equal(figure(0), '0.000000')
  })
})

describe('what is kept of a million rows', () => {
  it('is at most 200 points of a curve, its ends among them', () => {
    const spread = (from: number): number[] =>
      Array.from({ length: 50_000 }, (_, i) => (i * 0.618 + from) % 1)
    const ranked = rank(spread(0.1), spread(0.2))
    for (const draw of [rocCurve, precisionRecallCurve]) {
      const { points } = draw('a', ranked)
      assert.ok(points.length <= 200 && points.length > 150, `${points.length} points`)
      assert.equal(points[0]?.x, 0)
      assert.equal(points.at(-1)?.x, 1)
    }
  })

  it('is the highest of what was offered, the earlier of equals first', () => {
    const top = new Top<string>(3)
    const offered: [number, string][] = [
      [1, 'a'],
      [3, 'b'],
      [2, 'c'],
      [3, 'd'],
      [2, 'e'],
      [0, 'f'],
    ]
    let made = 0
    for (const [key, item] of offered) {
      top.offer(key, () => {
        made += 1
        return item
      })
    }
    assert.deepEqual(top.items(), ['b', 'd', 'c'])
    assert.equal(made, 4)
  })

  it('is not shared between tallies', () => {
    const [one, other] = [new Tally(2), new Tally(2)]
    one.add(0, 1, [0.2, 0.8])
    assert.deepEqual(one.confusion_matrix, [
      [0, 1],
      [0, 0],
    ])
    assert.deepEqual(other.confusion_matrix, [
      [0, 0],
      [0, 0],
    ])
  })
})
