'use strict'
// Event-loop delay while texts are scored. Its values include the resolution, 1 ms.
const { monitorEventLoopDelay } = require('node:perf_hooks')
const { ElectraClassifier } = require('../..')
const { texts } = require('./texts.cjs')

async function measured(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  // The first interval starts a turn late.
  await new Promise((resolve) => setTimeout(resolve, 100))
  delay.enable()
  await work()
  delay.disable()
  return { p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 }
}

async function main() {
  const classifier = await ElectraClassifier.load()
  const many = texts(5000)
  const words = texts(20_000).join(' ').slice(0, 900_000)
  const letters = 'a'.repeat(900_000)
  const delays = {
    many: await measured(() => classifier.classify(many)),
    truncated: await measured(() => classifier.classify(words)),
    windows: await measured(() => classifier.classify(words, { long_text: 'window' })),
    letters: await measured(() => classifier.classify(letters, { long_text: 'window' })),
  }
  const metrics = Object.entries(delays).flatMap(([name, { p99, max }]) => [
    [`delay_${name}_p99_ms`, p99],
    [`delay_${name}_max_ms`, max],
  ])
  console.log(JSON.stringify(Object.fromEntries(metrics)))
}

void main()
