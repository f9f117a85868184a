'use strict'
// What it costs a program to have the library, before it loads a model.
const started = performance.now()
require('../..')
console.log(JSON.stringify({ require_ms: performance.now() - started }))
