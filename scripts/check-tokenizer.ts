// The JavaScript half of scripts/check_tokenizer.py, which starts it: compares ids with those that it wrote.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer } from '../lib/tokenizer'

const [folder = '', ...names] = process.argv.slice(2)
const SHOWN = 5

function readJson(name: string): unknown {
  return JSON.parse(readFileSync(join(folder, name), 'utf8'))
}

/** The rows that token_texts.py wrote, one after the other. */
function* rowsOf(name: string): Generator<Uint16Array> {
  const bytes = readFileSync(join(folder, name))
  const numbers = new Uint16Array(new Uint8Array(bytes).buffer)
  for (let at = 0; at < numbers.length;) {
    const end = at + 1 + (numbers[at] ?? 0)
    yield numbers.subarray(at + 1, end)
    at = end
  }
}

const texts = readJson('texts.json') as string[]
const pairs = readJson('pairs.json') as [first: number, second: number, max_length: number | null][]
let differences = 0

function compare(what: string, input: unknown, ours: Int32Array, theirs: Uint16Array | undefined): void {
  if (ours.length === theirs?.length && ours.every((id, place) => id === theirs[place])) return
  differences += 1
  if (differences > SHOWN) return
  console.log(
    `  ${what}: ${JSON.stringify(input)}\n    ours   ${ours.join(' ')}\n    Python ${theirs?.join(' ')}`,
  )
}

for (const name of names) {
  const tokenizer = Tokenizer.fromFiles({
    tokenizer_json: readFileSync(join(folder, `${name}.json`), 'utf8'),
  })
  const text_rows = rowsOf(`${name}.texts.rows`)
  for (const text of texts) {
    const row = text_rows.next()
    compare(`${name}, ids`, text, tokenizer.encode(text, Infinity).ids, row.done ? undefined : row.value)
  }
  const pair_rows = rowsOf(`${name}.pairs.rows`)
  for (const [first, second, max_length] of pairs) {
    const pair = { text: texts[first] ?? '', text_pair: texts[second] ?? '' }
    const { ids, token_type_ids } = tokenizer.encode(pair, max_length ?? Infinity)
    for (const [what, ours] of [
      ['ids', ids],
      ['token types', token_type_ids],
    ] as const) {
      const row = pair_rows.next()
      const theirs = row.done ? undefined : row.value
      compare(`${name}, ${what} of a pair in ${max_length}`, pair, ours ?? new Int32Array(), theirs)
    }
  }
  if (!text_rows.next().done || !pair_rows.next().done) throw new Error(`${name}: rows are left over`)
}

const compared = `${names.length} × (${texts.length} texts, ${pairs.length} pairs)`
console.log(
  `Node ${process.version} (Unicode ${process.versions.unicode}): ${compared}, ${differences} differences`,
)
process.exitCode = differences > 0 ? 1 : 0
