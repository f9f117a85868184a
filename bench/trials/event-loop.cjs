'use strict'
// Event-loop delay while texts are scored. Its values include the resolution, 1 ms.
const { monitorEventLoopDelay } = require('node:perf_hooks')
const { ElectraClassifier } = require('../..')
const texts = require('./texts.cjs')

async function measured(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  // The first interval starts a turn late.
  await new Promise((resolve) => setTimeout(resolve, 100))
  delay.enable()
  const started = performance.now()
  await work()
  const seconds = (performance.now() - started) / 1000
  delay.disable()
  return {
    p50_ms: delay.percentile(50) / 1e6,
    p99_ms: delay.percentile(99) / 1e6,
    max_ms: delay.max / 1e6,
    seconds,
  }
}

async function main() {
  const classifier = await ElectraClassifier.load()
  const many = texts(5000)
  const words = texts(20_000).join(' ').slice(0, 900_000)
  const letters = 'a'.repeat(900_000)
  console.log(
    JSON.stringify({
      '5,000 texts in one call': await measured(() => classifier.classify(many)),
      '900,000 characters, truncated': await measured(() => classifier.classify(words)),
      '900,000 characters, in windows': await measured(() =>
        classifier.classify(words, { long_text: 'window' }),
      ),
      'one word of 900,000 letters': await measured(() =>
        classifier.classify(letters, { long_text: 'window' }),
      ),
    }),
  )
}

void main()
