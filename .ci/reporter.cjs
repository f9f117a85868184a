// mocha's spec output, and its counts in a file: `passed failed`, then `ended` once mocha has finished. They are
// written after each test, so that a crash of the process leaves those until then.
const { writeFileSync } = require('node:fs')
const { Runner, reporters } = require('mocha')

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    const { counts } = options.reporterOption
    const write = (end = '') => {
      writeFileSync(counts, `${this.stats.passes} ${this.stats.failures}${end}\n`)
    }
    const { EVENT_TEST_PASS, EVENT_TEST_FAIL, EVENT_RUN_END } = Runner.constants
    runner.on(EVENT_TEST_PASS, () => write())
    runner.on(EVENT_TEST_FAIL, () => write())
    runner.once(EVENT_RUN_END, () => write(' ended'))
  }
}
