import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { longestFirst, whyNoPairs } from '../../lib/pairs'
import { Tokenizer } from '../../lib/tokenizer'
import type { TextPair } from '../../lib/types'
import { readRows, readTokenizer } from '../fixtures/token-rows'

const GOLDENS = join(__dirname, '..', 'fixtures', 'tokens')
const pairs = JSON.parse(readFileSync(join(GOLDENS, 'pairs.json'), 'utf8')) as (TextPair & {
  max_length: number | null
})[]
const shipped = readTokenizer('model')

function run(tokenizer: Tokenizer, pair: TextPair, max_length: number) {
  const generator = tokenizer.encodeInSteps(pair, max_length)
  for (let steps = 1; ; steps++) {
    const step = generator.next()
    if (step.done) return { steps, encoding: step.value }
  }
}

describe('pairs: ids, token types and truncation equal to transformers', () => {
  for (const file of ['model', 'odd'] as const) {
    it(`on ${pairs.length} pairs and limits: ${file} vocabulary`, () => {
      const tokenizer = readTokenizer(file)
      const rows = readRows(join(GOLDENS, `pairs.${file}.rows`))
      assert.equal(rows.length, 2 * pairs.length)
      pairs.forEach((pair, index) => {
        const what = JSON.stringify(pair).slice(0, 300)
        const max_length = pair.max_length ?? Infinity
        const encoding = tokenizer.encode(pair, max_length)
        assert.deepEqual(Array.from(encoding.ids), rows[2 * index], what)
        assert.deepEqual(Array.from(encoding.token_type_ids ?? []), rows[2 * index + 1], what)
        const whole = tokenizer.encode(pair, Infinity)
        assert.equal(encoding.truncated, whole.ids.length > max_length, what)
        assert.equal(whole.truncated, false)
        assert.deepEqual(run(tokenizer, pair, max_length).encoding, encoding, what)
      })
    })
  }
})

describe('pairs: longest_first', () => {
  it('keeps the shorter text whole as far as half goes, and gives the odd token to the longer', () => {
    const cases: [first: number, second: number, room: number, kept: [number, number]][] = [
      [3, 4, 7, [3, 4]],
      [3, 9, 7, [3, 4]],
      [9, 3, 7, [4, 3]],
      [9, 8, 7, [4, 3]],
      [8, 9, 7, [3, 4]],
      [9, 9, 7, [3, 4]],
      [9, 9, 8, [4, 4]],
      [0, 9, 7, [0, 7]],
      [9, 0, 7, [7, 0]],
      [1, 1, 0, [0, 0]],
      [1, 1, 1, [0, 1]],
      [2, 1, 1, [1, 0]],
    ]
    for (const [first, second, room, kept] of cases) {
      assert.deepEqual(longestFirst(first, second, room), kept, `${first}, ${second} in ${room}`)
    }
  })
})

describe('pairs: who takes them', () => {
  it('is whoever tells as many token types apart as the template has', () => {
    assert.equal(whyNoPairs('electra', shipped.pair, 2), undefined)
    assert.match(whyNoPairs('electra', shipped.pair, 1) ?? '', /^its config has type_vocab_size 1, /)
    const untyped = shipped.pair?.map(({ part }) => ({ part, token_type: 0 }))
    assert.equal(whyNoPairs('electra', untyped, 1), undefined)
    assert.match(whyNoPairs('electra', undefined, 2) ?? '', /^its tokenizer files do not say/)
    assert.match(whyNoPairs('script', shipped.pair, 1) ?? '', /takes no token_type_ids/)
  })
})

describe('pairs: no more is read than is needed', () => {
  const [short, medium, long] = [20, 100_000, 200_000].map((count) => 'good food '.repeat(count / 2))

  it('stops where both are longer than an even room', () => {
    const { steps, encoding } = run(shipped, { text: long ?? '', text_pair: long ?? '' }, 511)
    assert.ok(steps <= 3, `${steps} steps`)
    assert.equal(encoding.ids.length, 511)
    assert.equal(encoding.truncated, true)
  })

  it('reads on to the end of one where the longer one gets the odd token', () => {
    for (const [text, text_pair, first] of [
      [medium, long, 254],
      [long, medium, 255],
      [long, short, 489],
    ] as const) {
      const { steps, encoding } = run(shipped, { text: text ?? '', text_pair: text_pair ?? '' }, 512)
      assert.equal(encoding.ids.length, 512)
      assert.equal(encoding.ids.indexOf(102), first + 1)
      assert.ok(steps <= ((medium?.length ?? 0) + (long?.length ?? 0)) / 4096 + 4, `${steps} steps`)
    }
  })

  it('knows the longer one where a word that is too long ends at the limit', () => {
    // Each word is one [UNK], found too long before its end; reading goes on from the middle of it.
    const text = `${'x'.repeat(200)} `.repeat(8)
    const encoding = shipped.encode({ text, text_pair: 'good '.repeat(8) }, 8)
    assert.deepEqual(Array.from(encoding.ids), [101, 100, 100, 102, 2204, 2204, 2204, 102])
  })
})

describe('pairs: tokenize', () => {
  it('gives the whole pair, with the type of each token', () => {
    assert.deepEqual(shipped.tokenize({ text: 'Nice!', text_pair: 'Good food.' }), {
      ids: [101, 3835, 999, 102, 2204, 2833, 1012, 102],
      tokens: ['[CLS]', 'nice', '!', '[SEP]', 'good', 'food', '.', '[SEP]'],
      token_type_ids: [0, 0, 0, 0, 1, 1, 1, 1],
    })
    assert.deepEqual(shipped.tokenize({ text: '', text_pair: '' }), {
      ids: [101, 102, 102],
      tokens: ['[CLS]', '[SEP]', '[SEP]'],
      token_type_ids: [0, 0, 1],
    })
  })

  it('gives a text by itself no types', () => {
    assert.deepEqual(Object.keys(shipped.tokenize('Nice!')), ['ids', 'tokens'])
    assert.equal(shipped.encode('Nice!', 512).token_type_ids, undefined)
  })
})
