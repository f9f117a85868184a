import assert from 'node:assert/strict'
import { compare, page, type Measured } from '../../scripts/fidelity-page'

const conditions = {
  machine: 'a machine',
  reference: 'a Python',
}
const shipped = (dtype: string, expected: number[][], actual: number[][]): Measured => ({
  variant: 'shipped',
  group: 'shipped',
  path: { kind: 'checkpoint' },
  dtype,
  rows: expected.length,
  ...compare(expected, actual),
})

describe('the page of fidelity', () => {
  it('compares logits: largest and mean difference, and labels that differ with their margins', () => {
    const { largest, mean, disagreements } = compare(
      [
        [1, 0, 0.75],
        [0, 2, 0],
      ],
      [
        [0.5, 0, 0.625],
        [0, 2, 0],
      ],
    )
    assert.equal(largest, 0.5)
    assert.equal(mean, 0.625 / 6)
    assert.deepEqual(disagreements, [{ row: 0, label: 0, margin: 0.25, label_here: 2, margin_here: 0.125 }])
  })

  it('lets no missing or undefined logit pass', () => {
    for (const actual of [[[NaN, 1]], [[1]], []]) {
      assert.equal(compare([[0, 1]], actual).largest, NaN, JSON.stringify(actual))
    }
    const { missed } = page([shipped('fp32', [[0, 1]], [[NaN, 1]])], conditions, '')
    assert.deepEqual(missed, ['shipped, checkpoint, fp32'])
  })

  it('marks what misses a demand, a refusal included', () => {
    const rows = Array.from({ length: 200 }, (_, i) => [i % 2, 0.5])
    const flipped = (count: number): number[][] =>
      rows.map((row, i) => (i < count ? [...row].reverse() : row))
    const refused: Measured = {
      variant: 'other',
      group: 'small',
      path: { kind: 'archive' },
      dtype: 'fp32',
      rows: 200,
      refused: 'It cannot be written.',
    }
    const { document, missed } = page(
      [
        shipped('fp32', rows, rows),
        shipped('bf16', rows, flipped(1)),
        shipped('fp16', rows, flipped(2)),
        refused,
      ],
      conditions,
      '',
    )
    assert.deepEqual(missed, ['shipped, checkpoint, fp16', 'other, our archive, fp32: It cannot be written.'])
    assert.match(document, /\| bf16 \| 200 \| .* \| 99\.50 % \| yes \|/)
    assert.match(document, /\| fp16 \| 200 \| .* \| 99\.00 % \| \*\*no\*\* \|/)
    assert.match(document, /bf16 on the model that ships, labels equal \| ≥ 99\.5 % \| 99\.50 % \| yes/)
    assert.match(document, /\| checkpoint \| bf16 \| 0 \| 1 by 0\.5000 \| 0 by 0\.5000 \|/)
  })

  it('keeps what stands under the token ids', () => {
    const rows = [shipped('fp32', [[0, 1]], [[0, 1]])]
    const first = page(rows, conditions, '').document
    const filled = first.replace('begin -->\n', 'begin -->\n100,000 texts, all equal.\n')
    assert.notEqual(filled, first)
    assert.equal(page(rows, conditions, filled).document, filled)
  })
})
