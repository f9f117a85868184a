/** What stands where in a row of two texts: `'first'` or `'second'` text, or the id of a special token. */
export type PairTemplate = readonly { part: number | 'first' | 'second'; token_type: number }[]

/** Two texts as one row of ids. */
export interface PairEncoding {
  ids: Int32Array
  token_type_ids: Int32Array
  /** Whether the end of either text was left out. */
  truncated: boolean
}

/** Tokens of a row that no text may take. */
export function specialTokens(template: PairTemplate): number {
  return template.filter(({ part }) => typeof part === 'number').length
}

/**
 * How many tokens of each text stay where both have to fit into `room`: transformers' `longest_first`. The shorter
 * text stays whole if it takes no more than half; else each gets half, and the longer one (of equal ones the
 * second) the odd token.
 */
export function longestFirst(
  first: number,
  second: number,
  room: number,
): [kept_first: number, kept_second: number] {
  if (first + second <= room) return [first, second]
  const kept = Math.min(first, second, Math.floor(room / 2))
  return first > second ? [room - kept, kept] : [kept, room - kept]
}

/**
 * Joins two texts' ids to one row.
 *
 * @param first ids without special tokens; where it has more than `max_length`, any number of those will do, but that
 *   {@link longestFirst} must be able to tell the longer one
 */
export function joinPair(
  template: PairTemplate,
  first: Int32Array,
  second: Int32Array,
  max_length: number,
): PairEncoding {
  const specials = specialTokens(template)
  const [kept_first, kept_second] = longestFirst(first.length, second.length, max_length - specials)
  const ids = new Int32Array(kept_first + kept_second + specials)
  const token_type_ids = new Int32Array(ids.length)
  let at = 0
  for (const { part, token_type } of template) {
    const start = at
    if (typeof part === 'number') {
      ids[at++] = part
    } else {
      const text = part === 'first' ? first.subarray(0, kept_first) : second.subarray(0, kept_second)
      ids.set(text, at)
      at += text.length
    }
    token_type_ids.fill(token_type, start, at)
  }
  return { ids, token_type_ids, truncated: kept_first + kept_second < first.length + second.length }
}

/**
 * Why a model takes no pairs, with the remedy; undefined where it does.
 *
 * @param token_types how many its engine tells apart
 */
export function whyNoPairs(
  engine: 'electra' | 'script',
  template: PairTemplate | undefined,
  token_types: number,
): string | undefined {
  if (engine === 'script') {
    return 'the forward(input_ids, attention_mask) of its archive takes no token_type_ids; load the checkpoint that the archive was made from, or what electra-classifier export makes of it'
  }
  if (!template) {
    return 'its tokenizer files do not say, in a way that is supported, how two texts make one row; take those of the model that it was tuned from'
  }
  if (template.some(({ token_type }) => token_type >= token_types)) {
    return `its config has type_vocab_size ${token_types}, and the second text has another token type; load a model that was tuned on pairs`
  }
  return undefined
}
