'use strict'
// `load` alone, libtorch's opening included, with the weights in the page cache.
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { ElectraClassifier } = require('../..')

async function main() {
  readFileSync(join(process.env.BENCH_MODEL, 'model.safetensors'))
  const started = performance.now()
  const classifier = await ElectraClassifier.load(process.env.BENCH_MODEL)
  const load_s = (performance.now() - started) / 1000
  console.log(JSON.stringify({ load_s, dtype: classifier.info.dtype }))
}

void main()
