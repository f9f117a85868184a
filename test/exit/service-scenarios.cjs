/* What a service does with the package until it ends: `node service-scenarios.cjs PACKAGE SCENARIO …`. */
const { execFileSync, fork } = require('node:child_process')
const cluster = require('node:cluster')
const { readFileSync, readdirSync } = require('node:fs')
const http = require('node:http')
const { join } = require('node:path')
const { setTimeout: delay } = require('node:timers/promises')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')

const [package_folder, scenario, ...rest] = isMainThread ? process.argv.slice(2) : workerData
const { ElectraClassifier } = require(join(package_folder, 'dist'))
const TINY = join(package_folder, 'test/fixtures/checkpoints/mean-swishglu')

/** Everything in one value, so that two runs can be compared. */
const TEXTS = Array.from({ length: 40 }, (_, i) => 'the cat sat '.repeat(1 + (i % 7)))
const print = (value) => JSON.stringify(value)

async function until(condition) {
  while (!condition()) await delay(1)
}

function lanes() {
  return readdirSync('/proc/self/task').filter((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim() === 'electra-lane'
    } catch {
      return false // ended meanwhile
    }
  }).length
}

/** Texts without end, or so many. */
function* texts(count = Infinity) {
  for (let i = 0; i < count; i++) yield 'A text that is neither good nor bad. '.repeat(1 + (i % 9))
}

/** Classifies until the first result is there: the next batches are under way then. */
async function underWay(classifier, count) {
  const stream = classifier.classifyStream(texts(count))
  await stream.next()
  return stream
}

async function finish(stream) {
  let count = 1
  for await (const { label } of stream) count += label.length > 0 ? 1 : 0
  console.log(count)
}

// ── How a process ends, and at what moment ────────────────────────────────────────────────────────────────

const moments = {
  /** @param go_on what a natural end still does */
  async batch(end) {
    const classifier = await ElectraClassifier.load()
    const stream = await underWay(classifier, 300)
    await end(classifier, () => finish(stream))
  },
  async load(end) {
    const loading = ElectraClassifier.load()
    loading.catch(() => {})
    await until(() => lanes() > 0)
    await end(undefined, async () => console.log((await loading).labels.length))
  },
  async close(end) {
    const classifier = await ElectraClassifier.load()
    const stream = await underWay(classifier, 300)
    const closing = classifier.close()
    await end(classifier, async () => {
      await closing
      console.log(await finish(stream).catch(({ code }) => code))
    })
  },
  async closed(end) {
    const classifier = await ElectraClassifier.load()
    await classifier.classify('good')
    await classifier.close()
    await end(classifier, async () => console.log(await classifier.classify('good').catch(({ code }) => code)))
  },
}

/** A process that has nothing else to do must not end before the signal has come. */
async function handled(goOn, handle, done) {
  const alive = setInterval(() => {}, 1000)
  process.once('SIGTERM', async () => {
    await handle()
    console.log(done)
    clearInterval(alive)
  })
  process.kill(process.pid, 'SIGTERM')
  await goOn().catch(({ code }) => console.log(code))
}

const endings = {
  natural: (_, goOn) => goOn(),
  exit: () => process.exit(7),
  throw: () =>
    setImmediate(() => {
      throw new Error('uncaught on purpose')
    }),
  sigterm: async () => {
    process.kill(process.pid, 'SIGTERM')
    await delay(60_000)
  },
  sigterm_closes: (classifier, goOn) => handled(goOn, () => classifier?.close(), 'closed'),
  sigterm_drains: (classifier, goOn) => handled(goOn, () => classifier?.close({ drain: true }), 'drained'),
  sigterm_exits: async () => {
    process.once('SIGTERM', () => process.exit(0))
    process.kill(process.pid, 'SIGTERM')
    await delay(60_000)
  },
}

function startWorker(role, options) {
  const worker = new Worker(module.filename, { workerData: [package_folder, role], ...options })
  const message = () => new Promise((resolve) => worker.once('message', resolve))
  const exit = new Promise((resolve, reject) => {
    worker.once('error', reject)
    worker.once('exit', resolve)
  })
  return { worker, message, exit }
}

const scenarios = {
  ends: (moment, ending) => moments[moment](endings[ending]),

  async before_exit() {
    const classifier = await ElectraClassifier.load()
    process.once('beforeExit', async () => {
      // It brings the event loop back to life.
      console.log((await classifier.classify('I love this restaurant!')).label)
      await classifier.close()
      console.log('closed')
    })
  },
  async forgotten() {
    for (let i = 0; i < 3; i++) await (await ElectraClassifier.load()).classify('good')
    console.log('done')
  },

  // ── Workers ─────────────────────────────────────────────────────────────────────────────────────────────

  async hundred_workers() {
    const codes = new Set()
    const four = Array.from({ length: 4 }, async (_, lane) => {
      for (let i = 0; i < 25; i++) {
        const { worker, message, exit } = startWorker((lane + i) % 2 ? 'w_idle' : 'w_busy')
        await message()
        codes.add(await worker.terminate())
        await exit
      }
    })
    await Promise.all(four)
    await until(() => lanes() === 0)
    console.log([...codes], (await (await ElectraClassifier.load(TINY)).classify('the cat')).num_tokens > 2)
  },
  async four_workers_and_main() {
    const classifier = await ElectraClassifier.load(TINY)
    const workers = Array.from({ length: 4 }, () => startWorker('w_results'))
    const messages = workers.map(({ message }) => message())
    const own = []
    for (let i = 0; i < 20; i++) own.push(print(await classifier.classify(TEXTS)))
    const theirs = (await Promise.all(messages)).flat()
    console.log(new Set([...own, ...theirs]).size, await Promise.all(workers.map(({ exit }) => exit)))
    await classifier.close()
  },
  async worker_while_main_loads() {
    const { worker, message, exit } = startWorker('w_until_told')
    await message()
    for (let i = 0; i < 20; i++) {
      const classifier = await ElectraClassifier.load(TINY)
      await classifier.classify(TEXTS)
      await classifier.close()
    }
    const answer = message()
    worker.postMessage('enough')
    console.log(await answer, await exit)
  },
  async first_in_a_worker() {
    const { message, exit } = startWorker('w_results')
    const [theirs] = await message()
    console.log(await exit)
    const classifier = await ElectraClassifier.load(TINY)
    console.log(print(await classifier.classify(TEXTS)) === theirs)
  },
  async w_busy() {
    await underWay(await ElectraClassifier.load(TINY)).then(async (stream) => {
      parentPort.postMessage('running')
      for await (const result of stream) void result
    })
  },
  async w_idle() {
    const classifier = await ElectraClassifier.load(TINY)
    await classifier.classify('the cat')
    parentPort.on('message', () => {}) // keeps it alive
    parentPort.postMessage('idle')
  },
  async w_results() {
    const classifier = await ElectraClassifier.load(TINY)
    const results = []
    for (let i = 0; i < 20; i++) results.push(print(await classifier.classify(TEXTS)))
    parentPort.postMessage(results)
  },
  async w_until_told() {
    const classifier = await ElectraClassifier.load(TINY)
    let enough = false
    parentPort.once('message', () => (enough = true))
    parentPort.postMessage('ready')
    const results = new Set()
    while (!enough) results.add(print(await classifier.classify(TEXTS)))
    parentPort.postMessage(results.size)
    await classifier.close()
  },

  // ── Processes ───────────────────────────────────────────────────────────────────────────────────────────

  async forks() {
    const classifier = await ElectraClassifier.load(TINY)
    const own = print(await classifier.classify(TEXTS))
    const children = [1, 2].map(() => fork(module.filename, [package_folder, 'p_child']))
    const answers = await Promise.all(
      children.map(
        (child) =>
          new Promise((resolve) => {
            let answer
            child.once('message', (message) => (answer = message))
            child.once('exit', (code, signal) => resolve([answer === own, code, signal]))
          }),
      ),
    )
    console.log(print(answers), print(await classifier.classify(TEXTS)) === own)
  },
  async p_child() {
    const classifier = await ElectraClassifier.load(TINY)
    process.send(print(await classifier.classify(TEXTS)), () => process.disconnect())
  },
  async clusters() {
    if (!cluster.isPrimary) {
      const classifier = await ElectraClassifier.load(TINY)
      const server = http.createServer(async (_, response) => {
        response.end(print(await classifier.classify(TEXTS)))
      })
      server.listen(0, '127.0.0.1', () => process.send(server.address().port))
      return
    }
    const classifier = await ElectraClassifier.load(TINY)
    const own = print(await classifier.classify(TEXTS))
    const workers = [cluster.fork(), cluster.fork()]
    const exits = workers.map((worker) => new Promise((resolve) => worker.once('exit', (...args) => resolve(args))))
    const ports = await Promise.all(
      workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))),
    )
    const answers = await Promise.all(
      [...ports, ...ports].map(async (port) => (await fetch(`http://127.0.0.1:${port}/`)).text()),
    )
    cluster.disconnect()
    console.log(answers.map((answer) => answer === own).join(' '), print(await Promise.all(exits)))
    await classifier.close()
  },

  // ── Garbage ─────────────────────────────────────────────────────────────────────────────────────────────

  async load_and_drop() {
    const resident = []
    for (let i = 1; i <= 200; i++) {
      const classifier = await ElectraClassifier.load(TINY)
      await classifier.classify('the cat')
      if (i % 10 > 0) continue
      globalThis.gc()
      // The one that was just used is still on the stack.
      await until(() => (globalThis.gc(), lanes() <= 1))
      resident.push(process.memoryUsage.rss() / 2 ** 20)
    }
    const [early, late] = [Math.max(...resident.slice(3, 8)), Math.min(...resident.slice(-5))]
    console.log(late - early < 8 ? 'flat' : resident.map(Math.round).join(' '))
  },
  /** Nobody calls gc() in a service: the weights must count as memory that garbage holds. */
  async drop_large_ones() {
    let highest = 0
    for (let i = 0; i < 16; i++) {
      const classifier = await ElectraClassifier.load()
      highest = Math.max(highest, lanes())
      await classifier.classify('good')
    }
    console.log(highest <= 8 ? 'collected' : `${highest} at once`)
  },

  // ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────

  async out_of_memory(what) {
    const classifier = await ElectraClassifier.load(undefined, { max_batch_tokens: 2 ** 24, threads: 2 })
    const rows = Array.from({ length: 400 }, () => new Int32Array(500).fill(2000))
    const megabytes = { batch: 200, threads: 400, weights: 16 }[what]
    const kilobytes = Number(/VmSize:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
    const limit = String(kilobytes * 1024 + megabytes * 2 ** 20)
    execFileSync('prlimit', ['--pid', String(process.pid), `--as=${limit}:unlimited`])
    const failure = await {
      batch: () => classifier.forward(rows),
      threads: () => ElectraClassifier.load(undefined, { threads: 256 }),
      weights: () => ElectraClassifier.load(undefined, { threads: 1 }),
    }[what]().then(
      () => 'none',
      ({ code, message }) => `${code}: ${message}`,
    )
    console.log(failure)
    console.log((await classifier.classify('I love this restaurant!')).label, classifier.healthy)
    await classifier.close()
  },

  // ── Others in the process ───────────────────────────────────────────────────────────────────────────────

  async two_copies(other_folder) {
    const other = require(join(other_folder, 'dist')).ElectraClassifier
    const [a, b] = await Promise.all([ElectraClassifier.load(TINY), other.load(TINY)])
    const [x, y] = await Promise.all([a.classify(TEXTS), b.classify(TEXTS)])
    console.log(a.constructor !== b.constructor, print(x) === print(y))
    await a.close()
    console.log(print(await b.classify(TEXTS)) === print(y))
  },
  async other_libtorch(other_folder, libtorch) {
    const classifier = await ElectraClassifier.load(TINY)
    const other = require(join(other_folder, 'dist')).ElectraClassifier
    console.log(await other.load(TINY, { libtorch }).catch(({ code, message }) => `${code}: ${message}`))
    console.log((await other.load(TINY)).labels.length, (await classifier.classify('the cat')).num_tokens > 2)
  },
  async onnxruntime(order, folder) {
    const onnx = async () => {
      const ort = require(folder)
      const session = await ort.InferenceSession.create(addModel(), { intraOpNumThreads: 2 })
      return async () => {
        const x = new ort.Tensor('float32', Float32Array.of(1, 2, 3), [3])
        return [...(await session.run({ x })).y.data].join(' ')
      }
    }
    const load = () => ElectraClassifier.load()
    const [run, classifier] =
      order === 'first'
        ? [await onnx(), await load()]
        : [await load(), await onnx()].reverse()
    for (let i = 0; i < 20; i++) {
      const [sum, { label }] = await Promise.all([run(), classifier.classify('I love this restaurant!')])
      if (i === 19) console.log(sum, label)
    }
    if (order === 'first') await classifier.close()
  },
}

/** An ONNX model of one node, y = x + x for three floats: a protobuf message of few fields. */
function addModel() {
  const field = (number, payload) =>
    typeof payload === 'number'
      ? Buffer.of(number << 3, payload)
      : Buffer.concat([Buffer.of((number << 3) | 2, payload.length), Buffer.from(payload)])
  const message = (...fields) => Buffer.concat(fields)
  const value = (name) => {
    const shape = field(2, field(1, field(1, 3)))
    return message(field(1, name), field(2, field(1, message(field(1, 1), shape))))
  }
  const node = message(field(1, 'x'), field(1, 'x'), field(2, 'y'), field(4, 'Add'))
  const graph = message(field(1, node), field(2, 'g'), field(11, value('x')), field(12, value('y')))
  return message(field(1, 8), field(7, graph), field(8, field(2, 13)))
}

void scenarios[scenario](...rest)
