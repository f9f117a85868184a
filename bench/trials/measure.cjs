'use strict'
// What the throughput trials share, so that every engine is measured in the same way.

/** Rows × tokens. */
exports.SHAPES = [
  [1, 16],
  [1, 128],
  [8, 32],
  [32, 32],
]

/** Token ids of a batch, rows end to end. */
exports.idsOf = (rows, length) => Array.from({ length: rows * length }, (_, i) => 1000 + ((i * 7919) % 20000))

/** Median milliseconds of a forward for each shape; `prepare(rows, length)` returns the forward. */
exports.dense = async function dense(prepare) {
  const budget = Number(process.env.BENCH_SHAPE_SECONDS) * 1000
  const medians = {}
  for (const [rows, length] of exports.SHAPES) {
    const forward = prepare(rows, length)
    const first = performance.now()
    await forward()
    if (performance.now() - first < 500) await forward()
    const times = []
    const until = performance.now() + budget
    while (times.length < 3 || performance.now() < until) {
      const started = performance.now()
      await forward()
      times.push(performance.now() - started)
    }
    times.sort((a, b) => a - b)
    medians[`${rows}×${length}`] = times[times.length >> 1]
  }
  return medians
}

/** Seconds, and the labels' numbers in the order of the texts, of `classify(texts)` after a short warm-up. */
exports.stream = async function stream(texts, classify) {
  await classify(texts.slice(0, 64))
  const started = performance.now()
  const labels = await classify(texts)
  return { seconds: (performance.now() - started) / 1000, texts: texts.length, labels: labels.join('') }
}

/** Index of the largest number. */
exports.argmax = (scores) => scores.indexOf(Math.max(...scores))
