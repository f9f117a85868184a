'use strict'
// transformers.js: its text-classification pipeline as its documentation shows it, by 32 in file order, from local
// files. Only the number of threads is set, to the same as everybody's.
const { basename, dirname } = require('node:path')
const { stream } = require('./measure.cjs')
const texts = require('./texts.cjs')

const BATCH = 32

async function main() {
  const { env, pipeline } = await import('@huggingface/transformers')
  env.allowRemoteModels = false
  env.localModelPath = dirname(process.env.BENCH_MODEL_JS)
  const classifier = await pipeline('text-classification', basename(process.env.BENCH_MODEL_JS), {
    session_options: { intraOpNumThreads: Number(process.env.BENCH_THREADS), interOpNumThreads: 1 },
  })
  const { label2id } = classifier.model.config
  const file = await stream(texts.stream(), async (part) => {
    const labels = []
    for (let start = 0; start < part.length; start += BATCH) {
      for (const { label } of await classifier(part.slice(start, start + BATCH))) labels.push(label2id[label])
    }
    return labels
  })
  console.log(JSON.stringify({ dense: {}, file }))
}

void main()
