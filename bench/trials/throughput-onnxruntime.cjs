'use strict'
// onnxruntime-node: all graph optimisations on, the same number of threads, padded batches of 32 in file order and
// sorted by length first, the same tokenizer (ours, the faster one).
const ort = require('onnxruntime-node')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { Tokenizer } = require('../../dist/tokenizer')
const { argmax, dense, idsOf, stream } = require('./measure.cjs')
const texts = require('./texts.cjs')

const BATCH = 32
const MAX_LENGTH = 512

async function main() {
  const session = await ort.InferenceSession.create(process.env.BENCH_ONNX, {
    graphOptimizationLevel: 'all',
    intraOpNumThreads: Number(process.env.BENCH_THREADS),
    interOpNumThreads: 1,
  })
  const forward = async (input_ids, attention_mask, dims) => {
    const { logits } = await session.run({
      input_ids: new ort.Tensor('int64', input_ids, dims),
      attention_mask: new ort.Tensor('int64', attention_mask, dims),
    })
    return logits
  }
  const milliseconds = await dense((rows, length) => {
    const ids = BigInt64Array.from(idsOf(rows, length), BigInt)
    const mask = new BigInt64Array(ids.length).fill(1n)
    return () => forward(ids, mask, [rows, length])
  })

  const tokenizer = Tokenizer.fromFiles({
    tokenizer_json: readFileSync(join(process.env.BENCH_MODEL, 'tokenizer.json'), 'utf8'),
  })
  const padding = {}
  const classify = (order) => async (part) => {
    const encoded = part.map((text, index) => ({ ids: tokenizer.encode(text, MAX_LENGTH).ids, index }))
    if (order === 'sorted') encoded.sort((a, b) => a.ids.length - b.ids.length)
    const labels = new Array(encoded.length)
    let real = 0
    let padded = 0
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
        real += ids.length
      })
      padded += rows.length * length
      const logits = await forward(input_ids, attention_mask, [rows.length, length])
      const width = logits.dims[1]
      rows.forEach(({ index }, row) => {
        labels[index] = argmax(Array.from(logits.data.subarray(row * width, (row + 1) * width)))
      })
    }
    padding[order] = padded / real
    return labels
  }
  const stream_texts = texts.stream()
  const file = await stream(stream_texts, classify('file'))
  const sorted = await stream(stream_texts, classify('sorted'))
  console.log(JSON.stringify({ dense: milliseconds, file, sorted, padding }))
}

void main()
