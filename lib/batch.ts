/** One row of token ids. */
export interface Row {
  ids: Int32Array
  /** As long as `ids`; all 0 where it is missing. */
  token_type_ids?: Int32Array
}

/** Rows packed end to end: the shape that the native contract takes. */
export interface PackedBatch {
  /** Tokens of all rows, end to end. */
  input_ids: Int32Array
  /** rows + 1 offsets into `input_ids`: first 0, last its length. */
  cu_seqlens: Int32Array
  /** Token types, as `input_ids`; missing where no row has any. */
  token_type_ids?: Int32Array
}

/** Packs rows of token ids in their order, without padding. */
export function pack(rows: readonly Row[]): PackedBatch {
  const cu_seqlens = new Int32Array(rows.length + 1)
  let total = 0
  rows.forEach((row, index) => {
    total += row.ids.length
    cu_seqlens[index + 1] = total
  })
  const input_ids = new Int32Array(total)
  rows.forEach((row, index) => {
    input_ids.set(row.ids, cu_seqlens[index])
  })
  if (!rows.some((row) => row.token_type_ids)) return { input_ids, cu_seqlens }
  const token_type_ids = new Int32Array(total)
  rows.forEach((row, index) => {
    if (row.token_type_ids) token_type_ids.set(row.token_type_ids, cu_seqlens[index])
  })
  return { input_ids, cu_seqlens, token_type_ids }
}

/** How many times longer a row may be and still be of like length; below so many tokens the difference is nothing. */
const LIKE = 4
const SHORT = 16

/** The longest row that a row of that length may share a batch with, where it need not wait for a longer one. */
export function longestLike(length: number): number {
  return LIKE * Math.max(length, SHORT)
}

/**
 * Which rows go together with one that must go: those nearest to it in length, as many as the budget holds. Rows of
 * like length share attention's dispatches, and with an engine that pads they share its padding.
 *
 * @param lengths row lengths in tokens, ascending
 * @param chosen index of the row that must go
 * @param max_tokens budget; the chosen one goes even where it is longer by itself
 * @param only `equal`: only rows of exactly its length may join; `like`: none that is much longer
 * @returns the range `[from, to)` of rows that go
 */
export function rowsAround(
  lengths: readonly number[],
  chosen: number,
  max_tokens: number,
  only: { equal: boolean; like: boolean },
): [from: number, to: number] {
  const length = lengths[chosen] ?? 0
  const longest = only.like ? longestLike(length) : Infinity
  let from = chosen
  let to = chosen + 1
  let tokens = length
  for (;;) {
    const shorter = lengths[from - 1] ?? -Infinity
    const longer = lengths[to] ?? Infinity
    const left = length - shorter <= longer - length
    const nearest = left ? shorter : longer
    if (!Number.isFinite(nearest) || nearest > longest) return [from, to]
    if ((only.equal && nearest !== length) || tokens + nearest > max_tokens) return [from, to]
    tokens += nearest
    if (left) from--
    else to++
  }
}
