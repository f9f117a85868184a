'use strict'
// A text in, a result out: by the classifier, by one forward for each text, and by onnxruntime-node, all with our
// tokenizer and the same number of threads. `BENCH_ENGINE` says which.
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { ElectraClassifier } = require('../..')
const { pack } = require('../../dist/batch')
const { openBinding } = require('../../dist/binding')
const { toClassification } = require('../../dist/classification')
const { openCheckpoint } = require('../../dist/checkpoint')

const MAX_LENGTH = 512
const threads = Number(process.env.BENCH_THREADS)
const folder = process.env.BENCH_MODEL

const engines = {
  async scheduler() {
    const max_queue_tokens = Number(process.env.BENCH_QUEUE_TOKENS) || undefined
    const classifier = await ElectraClassifier.load(folder, {
      device: 'cpu',
      threads,
      ...(max_queue_tokens && { max_queue_tokens }),
    })
    return { classifier, score: (text) => classifier.classify(text) }
  },

  async forward() {
    const model = await openModel()
    return { score: await oneByOne((ids) => model.forward(ids, Int32Array.of(0, ids.length))) }
  },

  /** Not a text at a time: what the engine can do when all its batches are full. */
  async packed() {
    const model = await openModel()
    const { tokenizer } = await openCheckpoint(folder)
    const rowOf = (text) => tokenizer.encode(text, MAX_LENGTH)
    return {
      lengthOf: (text) => rowOf(text).ids.length,
      forward: (batch) => {
        const { input_ids, cu_seqlens } = pack(batch.map(rowOf))
        return model.forward(input_ids, cu_seqlens)
      },
    }
  },

  async onnxruntime() {
    const ort = require('onnxruntime-node')
    const session = await ort.InferenceSession.create(process.env.BENCH_ONNX, {
      graphOptimizationLevel: 'all',
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
    })
    const forward = async (ids) => {
      const dims = [1, ids.length]
      const { logits } = await session.run({
        input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), dims),
        attention_mask: new ort.Tensor('int64', new BigInt64Array(ids.length).fill(1n), dims),
      })
      return logits.data
    }
    return { score: await oneByOne(forward) }
  },
}

async function openModel() {
  const { addon } = await openBinding()
  return addon.Model.load({
    kind: 'checkpoint',
    path: join(folder, 'model.safetensors'),
    config: readFileSync(join(folder, 'config.json'), 'utf8'),
    device: 'cpu',
    dtype: 'auto',
    threads,
  })
}

/** The naive way: a forward of its own for each text. */
async function oneByOne(forward) {
  const { tokenizer, labels, score_function } = await openCheckpoint(folder)
  return async (text) => {
    const { ids, truncated } = tokenizer.encode(text, MAX_LENGTH)
    const logits = Array.from(await forward(ids))
    return toClassification(labels, logits, ids.length, truncated, score_function)
  }
}

exports.engine = () => engines[process.env.BENCH_ENGINE]()
