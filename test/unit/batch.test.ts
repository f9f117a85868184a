import assert from 'node:assert/strict'
import { pack, rowsAround } from '../../lib/batch'

describe('batch: rows packed end to end', () => {
  it('puts rows one after the other with their offsets', () => {
    const { input_ids, cu_seqlens } = pack([Int32Array.of(1, 2), Int32Array.of(3), Int32Array.of(4, 5, 6)])
    assert.deepEqual([...input_ids], [1, 2, 3, 4, 5, 6])
    assert.deepEqual([...cu_seqlens], [0, 2, 3, 6])
  })

  it('gathers the rows nearest in length to the oldest, within the budget', () => {
    const lengths = [2, 5, 9, 10, 10, 12, 30, 31]
    assert.deepEqual(rowsAround(lengths, 3, 41, false), [2, 6])
    assert.deepEqual(rowsAround(lengths, 3, 46, false), [1, 6])
    assert.deepEqual(rowsAround(lengths, 7, 61, false), [6, 8])
  })

  it('sends a row that is longer than the budget, alone', () => {
    assert.deepEqual(rowsAround([10, 50, 51], 1, 20, false), [1, 2])
  })

  it('joins only equal lengths where lengths may not mix', () => {
    assert.deepEqual(rowsAround([9, 10, 10, 10, 11], 2, 1000, true), [1, 4])
  })
})
