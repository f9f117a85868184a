// Tokenization of ordinary sentences, ours beside @huggingface/tokenizers: `npx tsx bench/tokenizer.ts [CSV]`.
// The CSV has a column `sentence`; by default it is the one the goldens are made from.
import { Tokenizer as Library } from '@huggingface/tokenizers'
import { parse } from 'csv-parse/sync'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer } from '../lib/tokenizer'

const ROUNDS = 7
const root = join(__dirname, '..')
const csv = process.argv[2] ?? join(root, '..', 'shared', 'data', 'val_with_electra_preds.csv')
const texts = parse<{ sentence: string }>(readFileSync(csv), { columns: true }).map((row) => row.sentence)
const tokenizer_json = readFileSync(join(root, 'models', 'sentiment-minilm-l6', 'tokenizer.json'), 'utf8')

const ours = Tokenizer.fromFiles({ tokenizer_json })
const library = new Library(JSON.parse(tokenizer_json) as object, {})

/** Microseconds a text of one round over all texts. */
function round(encode: (text: string) => { ids: ArrayLike<number> }): number {
  const start = performance.now()
  let tokens = 0
  for (const text of texts) tokens += encode(text).ids.length
  if (tokens === 0) throw new Error('no tokens')
  return ((performance.now() - start) * 1000) / texts.length
}

const times = { ours: [] as number[], library: [] as number[] }
for (let index = 0; index < ROUNDS; index++) {
  times.ours.push(round((text) => ours.encode(text, 512)))
  times.library.push(round((text) => library.encode(text)))
}
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[ROUNDS >> 1] ?? NaN
const [mine, theirs] = [median(times.ours), median(times.library)]
console.log(`${texts.length} texts, median of ${ROUNDS} rounds, Node ${process.version}`)
console.log(
  `electra-classifier       ${mine.toFixed(2)} µs a text (first round ${(times.ours[0] ?? NaN).toFixed(2)})`,
)
console.log(
  `@huggingface/tokenizers  ${theirs.toFixed(2)} µs a text (first round ${(times.library[0] ?? NaN).toFixed(2)})`,
)
console.log(`ratio                    ${(theirs / mine).toFixed(1)}`)
