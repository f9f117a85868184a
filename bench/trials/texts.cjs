'use strict'
// The texts that every trial scores: one column of a CSV, in file order.
const { readFileSync } = require('node:fs')
const { parse } = require('csv-parse/sync')

/** `count` texts of the file, from its beginning again where it has fewer. */
module.exports = function texts(count) {
  const rows = parse(readFileSync(process.env.BENCH_TEXTS), { columns: true })
  const column = rows.map((row) => row.sentence)
  return Array.from({ length: count ?? column.length }, (_, index) => column[index % column.length])
}
