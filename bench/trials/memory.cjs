'use strict'
// Resident memory after many texts against after a tenth of them, in one process.
const { ElectraClassifier } = require('../..')
const { texts } = require('./texts.cjs')

async function main() {
  const [first, last] = process.env.BENCH_COUNTS.split(',').map(Number)
  const classifier = await ElectraClassifier.load()
  const stream = texts(last)
  let scored = 0
  let early
  for await (const result of classifier.classifyStream(stream)) {
    if (result.num_tokens < 2) throw new Error('a result without tokens')
    scored++
    if (scored === first) early = rss()
  }
  const late = rss()
  console.log(JSON.stringify({ rss_ratio: late / early, early_mb: early / 1e6, late_mb: late / 1e6 }))
}

function rss() {
  globalThis.gc()
  return process.memoryUsage.rss()
}

void main()
