'use strict'
// Text in, label out, tokenization included.
const { ElectraClassifier } = require('../..')
const texts = require('./texts.cjs')

async function main() {
  const dtype = process.env.BENCH_DTYPE
  const classifier = await ElectraClassifier.load(undefined, {
    dtype,
    threads: Number(process.env.BENCH_THREADS),
  })
  const stream = texts()
  await classifier.classify(stream.slice(0, 500))
  const started = performance.now()
  const results = await classifier.classify(stream)
  const seconds = (performance.now() - started) / 1000
  const labels = results.map(({ label }) => label[0]).join('')
  console.log(
    JSON.stringify({ texts_per_second: stream.length / seconds, dtype: classifier.info.dtype, labels }),
  )
}

void main()
