'use strict'
// Ours: dense shapes through the native contract, then text in, label out.
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { ElectraClassifier } = require('../..')
const { openBinding } = require('../../dist/binding')
const { dense, idsOf, stream } = require('./measure.cjs')
const texts = require('./texts.cjs')

async function main() {
  const folder = process.env.BENCH_MODEL
  const dtype = process.env.BENCH_DTYPE
  const threads = Number(process.env.BENCH_THREADS)
  const { addon } = await openBinding()
  const model = await addon.Model.load({
    kind: 'checkpoint',
    path: join(folder, 'model.safetensors'),
    config: readFileSync(join(folder, 'config.json'), 'utf8'),
    device: 'cpu',
    dtype,
    threads,
  })
  const milliseconds = await dense((rows, length) => {
    const ids = Int32Array.from(idsOf(rows, length))
    const cu_seqlens = Int32Array.from({ length: rows + 1 }, (_, row) => row * length)
    return () => model.forward(ids, cu_seqlens)
  })
  await model.close()

  const classifier = await ElectraClassifier.load(folder, { device: 'cpu', dtype, threads })
  const file = await stream(texts.stream(), async (part) =>
    (await classifier.classify(part)).map(({ label }) => classifier.labels.indexOf(label)),
  )
  const { info } = classifier
  console.log(JSON.stringify({ dense: milliseconds, file, dtype: info.dtype, notes: info.notes }))
}

main().catch((error) => {
  // A dtype that this version does not know is no failure of the trial.
  const unknown = (error instanceof RangeError || error instanceof TypeError) && /dtype/.test(error.message)
  if (!unknown) throw error
  console.log(JSON.stringify({ not_offered: error.message }))
})
