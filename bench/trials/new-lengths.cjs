'use strict'
// One text at a time, of random length: does the first of a length take longer than the others of it?
const { ElectraClassifier } = require('../..')

const TEXTS = 2000
const SHORTEST = 3
const LENGTHS = 254

async function main() {
  const classifier = await ElectraClassifier.load()
  // `food` is one token; [CLS] and [SEP] are the other two.
  const textOf = (tokens) =>
    Array(tokens - 2)
      .fill('food')
      .join(' ')
  await classifier.classify(textOf(SHORTEST + LENGTHS))

  const latencies = new Map()
  let state = 1
  for (let index = 0; index < TEXTS; index++) {
    state = (state * 48271) % 2147483647
    const tokens = SHORTEST + (state % LENGTHS)
    const text = textOf(tokens)
    const started = performance.now()
    const { num_tokens } = await classifier.classify(text)
    const latency = performance.now() - started
    if (num_tokens !== tokens) throw new Error(`a text of ${tokens} tokens was scored as ${num_tokens}`)
    latencies.set(tokens, [...(latencies.get(tokens) ?? []), latency])
  }
  const ratios = [...latencies.values()].map((times) => times[0] / median(times)).sort((a, b) => a - b)
  console.log(
    JSON.stringify({
      new_length_ratio_p99: ratios[Math.ceil(0.99 * ratios.length) - 1],
      new_length_ratio_longest: ratios.at(-1),
      lengths: ratios.length,
    }),
  )
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}

void main()
