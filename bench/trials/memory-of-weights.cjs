'use strict'
// Resident memory that a model adds to a process with libtorch open, against the bytes of the weights that serve.
const { ElectraClassifier } = require('../..')
const { openBinding } = require('../../dist/binding')
const texts = require('./texts.cjs')

async function main() {
  await openBinding()
  const before = rss()
  const classifier = await ElectraClassifier.load(process.env.BENCH_MODEL)
  const loaded = rss() - before
  await classifier.classify(texts.stream())
  const served = rss() - before
  const { memory, dtype } = classifier.info
  console.log(
    JSON.stringify({
      weights_rss_ratio: served / memory,
      loaded_rss_ratio: loaded / memory,
      served_rss_mb: served / 1e6,
      weights_mb: memory / 1e6,
      dtype,
    }),
  )
}

function rss() {
  globalThis.gc()
  return process.memoryUsage.rss()
}

void main()
