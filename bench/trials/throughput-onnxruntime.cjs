'use strict'
// The peer at its usual: padded batches of 32 in file order, or sorted by length first; all graph
// optimisations on, the same number of threads, the same tokenizer (ours, the faster one).
const ort = require('onnxruntime-node')
const { ElectraClassifier } = require('../..')
const texts = require('./texts.cjs')

const BATCH = 32
const LABELS = ['negative', 'neutral', 'positive']

async function main() {
  const session = await ort.InferenceSession.create(process.env.BENCH_ONNX, {
    graphOptimizationLevel: 'all',
    intraOpNumThreads: Number(process.env.BENCH_THREADS),
    interOpNumThreads: 1,
  })
  // Only its tokenizer is used; its own inference thread sleeps.
  const classifier = await ElectraClassifier.load(undefined, { threads: 1 })
  const stream = texts()

  async function run(count) {
    const encoded = stream
      .slice(0, count)
      .map((text, index) => ({ ids: classifier.tokenize(text).ids, index }))
    if (process.env.BENCH_ORDER === 'sorted') encoded.sort((a, b) => a.ids.length - b.ids.length)
    const labels = new Array(encoded.length)
    for (let start = 0; start < encoded.length; start += BATCH) {
      const rows = encoded.slice(start, start + BATCH)
      const length = Math.max(...rows.map(({ ids }) => ids.length))
      const input_ids = new BigInt64Array(rows.length * length)
      const attention_mask = new BigInt64Array(rows.length * length)
      rows.forEach(({ ids }, row) => {
        ids.forEach((id, place) => {
          input_ids[row * length + place] = BigInt(id)
          attention_mask[row * length + place] = 1n
        })
      })
      const dims = [rows.length, length]
      const { logits } = await session.run({
        input_ids: new ort.Tensor('int64', input_ids, dims),
        attention_mask: new ort.Tensor('int64', attention_mask, dims),
      })
      rows.forEach(({ index }, row) => {
        const scores = logits.data.slice(row * LABELS.length, (row + 1) * LABELS.length)
        labels[index] = LABELS[scores.indexOf(Math.max(...scores))]
      })
    }
    return labels
  }

  await run(500)
  const started = performance.now()
  const labels = await run(stream.length)
  const seconds = (performance.now() - started) / 1000
  console.log(
    JSON.stringify({
      texts_per_second: stream.length / seconds,
      labels: labels.map((label) => label[0]).join(''),
    }),
  )
}

void main()
