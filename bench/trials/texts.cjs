'use strict'
// The texts that every trial scores: one column of a CSV.
const { readFileSync } = require('node:fs')
const { parse } = require('csv-parse/sync')

function column() {
  return parse(readFileSync(process.env.BENCH_TEXTS), { columns: true }).map((row) => row.sentence)
}

/** `count` texts of the file in its order, from its beginning again where it has fewer. */
exports.texts = function texts(count) {
  const all = column()
  return Array.from({ length: count }, (_, index) => all[index % all.length])
}

/** The texts of a stream in file order: all of them, or `BENCH_SAMPLE` of them, evenly spaced. */
exports.stream = function stream() {
  const all = column()
  const count = Math.min(Number(process.env.BENCH_SAMPLE) || all.length, all.length)
  return Array.from({ length: count }, (_, index) => all[Math.floor((index * all.length) / count)])
}
