'use strict'
// Tokenization of ordinary sentences, ours beside @huggingface/tokenizers, taking turns.
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { Tokenizer: Library } = require('@huggingface/tokenizers')
const { Tokenizer } = require('../../dist/tokenizer')
const { SHIPPED_MODEL } = require('../../dist/checkpoint')

const ROUNDS = 7

function main() {
  const texts = require('./texts.cjs').stream()
  const tokenizer_json = readFileSync(join(SHIPPED_MODEL, 'tokenizer.json'), 'utf8')
  const ours = Tokenizer.fromFiles({ tokenizer_json })
  const library = new Library(JSON.parse(tokenizer_json), {})

  /** Microseconds a text of one round over all texts. */
  function round(encode) {
    const start = performance.now()
    let tokens = 0
    for (const text of texts) tokens += encode(text).ids.length
    if (tokens === 0) throw new Error('no tokens')
    return ((performance.now() - start) * 1000) / texts.length
  }

  const times = { ours: [], library: [] }
  for (let index = 0; index < ROUNDS; index++) {
    times.ours.push(round((text) => ours.encode(text, 512)))
    times.library.push(round((text) => library.encode(text)))
  }
  const median = (values) => [...values].sort((a, b) => a - b)[ROUNDS >> 1]
  const [tokenizer_us, library_us] = [median(times.ours), median(times.library)]
  console.log(JSON.stringify({ tokenizer_us, library_us, tokenizer_ratio: library_us / tokenizer_us }))
}

main()
