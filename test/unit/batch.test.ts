import assert from 'node:assert/strict'
import { pack, rowsAround } from '../../lib/batch'

describe('batch: rows packed end to end', () => {
  it('puts rows one after the other with their offsets', () => {
    const rows = [[1, 2], [3], [4, 5, 6]].map((ids) => ({ ids: Int32Array.from(ids) }))
    assert.deepEqual(pack(rows), {
      input_ids: Int32Array.of(1, 2, 3, 4, 5, 6),
      cu_seqlens: Int32Array.of(0, 2, 3, 6),
    })
  })

  it('packs token types where a row has some, and zeros for the others', () => {
    const { token_type_ids } = pack([
      { ids: Int32Array.of(1, 2) },
      { ids: Int32Array.of(3, 4, 5), token_type_ids: Int32Array.of(0, 1, 1) },
      { ids: Int32Array.of(6) },
    ])
    assert.deepEqual(token_type_ids, Int32Array.of(0, 0, 0, 1, 1, 0))
  })

  const any = { equal: false, like: false }

  it('gathers the rows nearest in length to the chosen one, within the budget', () => {
    const lengths = [2, 5, 9, 10, 10, 12, 30, 31]
    assert.deepEqual(rowsAround(lengths, 3, 41, any), [2, 6])
    assert.deepEqual(rowsAround(lengths, 3, 46, any), [1, 6])
    assert.deepEqual(rowsAround(lengths, 7, 61, any), [6, 8])
  })

  it('sends a row that is longer than the budget, alone', () => {
    assert.deepEqual(rowsAround([10, 50, 51], 1, 20, any), [1, 2])
  })

  it('joins only equal lengths where lengths may not mix', () => {
    assert.deepEqual(rowsAround([9, 10, 10, 10, 11], 2, 1000, { equal: true, like: false }), [1, 4])
  })

  it('joins no much longer row where lengths are to be alike, but any shorter one', () => {
    const only = { equal: false, like: true }
    assert.deepEqual(rowsAround([3, 20, 64, 80, 81, 400], 1, 1000, only), [0, 4])
    assert.deepEqual(rowsAround([3, 20, 64, 80, 81, 400], 0, 1000, only), [0, 3])
    assert.deepEqual(rowsAround([3, 20, 64, 80, 81, 400], 5, 1000, only), [0, 6])
  })
})
