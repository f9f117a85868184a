'use strict'
// Resident memory after 50,000 texts against after 5,000, in one process.
const { ElectraClassifier } = require('../..')
const texts = require('./texts.cjs')

async function main() {
  const classifier = await ElectraClassifier.load()
  const stream = texts(50_000)
  let scored = 0
  let after_5000
  for await (const result of classifier.classifyStream(stream)) {
    if (result.num_tokens < 2) throw new Error('a result without tokens')
    scored++
    if (scored === 5_000) after_5000 = rss()
  }
  console.log(JSON.stringify({ after_5000, after_50000: rss() }))
}

function rss() {
  globalThis.gc()
  return process.memoryUsage.rss()
}

void main()
