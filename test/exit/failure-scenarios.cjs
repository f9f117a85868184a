/* What callers see of an engine that fails: `node failure-scenarios.cjs PACKAGE LIBTORCH MODELS SCENARIO`, on a copy of the
   package whose core is the fake one. A model's script stands in its config. */
const { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { setTimeout: delay } = require('node:timers/promises')

const [package_folder, libtorch, folder, scenario] = process.argv.slice(2)
const { ElectraClassifier } = require(join(package_folder, 'dist'))
const gate = join(folder, 'gate')

async function until(condition) {
  while (!condition()) await delay(1)
}

let made = 0
/** @param script of native/test/fake_core.cpp */
function load(script, options = {}) {
  const model = join(folder, `model-${++made}`)
  cpSync(join(package_folder, 'models', 'sentiment-minilm-l6'), model, { recursive: true })
  const config = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'))
  writeFileSync(join(model, 'config.json'), JSON.stringify({ ...config, fake: ` ${script} ` }))
  return ElectraClassifier.load(model, { libtorch, ...options })
}

const code = (promise) =>
  promise.then(
    () => 'scored',
    ({ name, code }) => `${name} ${code}`,
  )

/** The two batches in flight, one that waits, one that comes later; and a classifier beside it. */
async function failing(script, options) {
  const other = await load('')
  const classifier = await load(script, { max_batch_tokens: 4, ...options })
  console.log(classifier.healthy)
  const calls = ['one', 'two', 'three'].map((text) => code(classifier.classify(text)))
  console.log((await Promise.all(calls)).join(', '), classifier.healthy)
  console.log(await code(classifier.classify('later')), await code(classifier.forward([[1, 2]])))
  console.log(await code(other.classify('fine')), other.healthy)
  return classifier
}

async function hanging(options = { watchdog_ms: 50 }) {
  const classifier = await load(`forward=deaf:${gate} on=101`, options)
  const call = code(classifier.classify('a text begins with the id 101'))
  await until(() => existsSync(`${gate}.entered`))
  return { classifier, call }
}

const scenarios = {
  throws: () => failing('forward=throw'),
  fails_for_good: () => failing('forward=9 on=101'),
  nan: () => failing('forward=nan'),
  async hangs() {
    const classifier = await failing(`forward=deaf:${gate} on=101`, { watchdog_ms: 50 })
    writeFileSync(gate, '') // the thread goes on, and ends
    await classifier.close()
  },
  async one_bad_text() {
    for (const what of ['throw', 'nan']) {
      const classifier = await load(`forward=${what} on=2919`)
      console.log(await code(classifier.classify('bad')), classifier.healthy)
      console.log(await code(classifier.classify('good')), classifier.healthy)
    }
  },
  async hung_then_natural() {
    const { classifier, call } = await hanging()
    console.log(await call, classifier.healthy)
  },
  async hung_then_closed() {
    const { classifier, call } = await hanging()
    console.log(await call)
    await classifier.close()
    console.log('closed')
  },
  async hung_while_closing() {
    const { classifier, call } = await hanging()
    await classifier.close({ drain: true })
    console.log(await call)
  },
  async hung_then_exit() {
    await (await hanging()).call
    process.exit(7)
  },
  async hung_then_throw() {
    await (await hanging()).call
    setImmediate(() => {
      throw new Error('uncaught on purpose')
    })
  },
  async hung_then_sigterm() {
    const { classifier, call } = await hanging()
    await call
    await terminated(() => classifier.close())
  },
  async hanging_then_sigterm_exits() {
    await hanging({})
    await terminated(() => process.exit(0))
  },
  async hanging_then_sigterm() {
    await hanging({})
    process.kill(process.pid, 'SIGTERM')
    await delay(60_000)
  },
}

async function terminated(handle) {
  const alive = setInterval(() => {}, 1000)
  process.once('SIGTERM', async () => {
    await handle()
    clearInterval(alive)
    console.log('handled')
  })
  process.kill(process.pid, 'SIGTERM')
}

mkdirSync(folder)
void scenarios[scenario]()
