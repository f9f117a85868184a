import assert from 'node:assert/strict'
import { scoreFunctionOf, softmax, toClassification, weightedMean } from '../../lib/classification'

describe('classification: logits to labels and scores', () => {
  it('is softmax, to the last digits, against values of scipy.special.softmax', () => {
    // scipy.special.softmax([1, 2, 3])
    const golden = [0.09003057317038046, 0.24472847105479767, 0.6652409557748219]
    softmax([1, 2, 3]).forEach((value, index) => {
      assert.ok(Math.abs(value - (golden[index] ?? NaN)) < 1e-15)
    })
  })

  it('does not overflow on large logits, of either sign', () => {
    assert.deepEqual(softmax([1000, 1000]), [0.5, 0.5])
    assert.deepEqual(softmax([-1000, -2000]), [1, 0])
  })

  it('names the highest score, and the first of equal ones', () => {
    const result = toClassification(['no', 'yes', 'maybe'], [-1, 2, 2], 7, true, 'softmax')
    assert.equal(result.label, 'yes')
    assert.equal(result.score, result.scores.yes)
    assert.deepEqual(Object.keys(result.scores), ['no', 'yes', 'maybe'])
    assert.ok(Math.abs(result.scores.no + result.scores.yes + result.scores.maybe - 1) < 1e-12)
    assert.deepEqual(result.logits, [-1, 2, 2])
    assert.equal(result.num_tokens, 7)
    assert.equal(result.truncated, true)
  })

  it('takes any string as a label', () => {
    const { scores } = toClassification(['__proto__', 'constructor'], [0, 0], 2, false, 'softmax')
    assert.deepEqual(Object.entries(scores), [
      ['__proto__', 0.5],
      ['constructor', 0.5],
    ])
  })

  it('is a sigmoid for each label of a multi-label model, of any size', () => {
    // scipy.special.expit
    const golden = [0.2689414213699951, 0.8807970779778823, 0.5, 1, 0]
    const result = toClassification(['a', 'b', 'c', 'd', 'e'], [-1, 2, 0, 1000, -1000], 2, false, 'sigmoid')
    Object.values(result.scores).forEach((value, index) => {
      assert.ok(Math.abs(value - (golden[index] ?? NaN)) < 1e-15)
    })
    assert.deepEqual([result.label, result.score], ['d', 1])
  })

  it('is the very number for a regression, and the only label', () => {
    const result = toClassification(['stars'], [-3.25], 2, false, 'none')
    assert.deepEqual(
      [result.label, result.score, result.scores, result.logits],
      ['stars', -3.25, { stars: -3.25 }, [-3.25]],
    )
  })

  it('follows the problem type, and takes a single logit that has none for a yes or no', () => {
    const cases: [string | undefined, number, string][] = [
      [undefined, 3, 'softmax'],
      [undefined, 1, 'sigmoid'],
      ['single_label_classification', 2, 'softmax'],
      ['single_label_classification', 1, 'sigmoid'],
      ['multi_label_classification', 3, 'sigmoid'],
      ['regression', 1, 'none'],
      ['regression', 2, 'none'],
    ]
    for (const [problem_type, num_labels, expected] of cases) {
      assert.equal(scoreFunctionOf(problem_type, num_labels), expected, `${problem_type} ${num_labels}`)
    }
  })

  it('averages rows by weight', () => {
    assert.deepEqual(weightedMean([Float32Array.of(1, 0), Float32Array.of(4, 3)], [2, 1]), [2, 1])
  })
})
