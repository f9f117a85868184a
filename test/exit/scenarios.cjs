/* What the child processes of the exit tests do: `node scenarios.cjs NAME '{"addon":…}'`. */
const { execFileSync } = require('node:child_process')
const { existsSync, readFileSync, readdirSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { setTimeout: delay } = require('node:timers/promises')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')

/** Paths: addon, libtorch, core, scratch; for the real core also weights and config. */
const place = isMainThread ? JSON.parse(process.argv[3]) : workerData.place
const name = isMainThread ? process.argv[2] : workerData.name
const gate = join(place.scratch, 'gate')

async function until(condition) {
  while (!condition()) await delay(1)
}

/** As lib/binding.ts does it. */
function openAddon() {
  const addon = require(place.addon)
  process.once('exit', addon.shutdown)
  return addon
}

async function open() {
  const addon = openAddon()
  await addon.open(place.libtorch, place.core)
  return addon
}

function spec(config = '') {
  const { weights = '/fake', config: real } = place
  return {
    kind: 'checkpoint',
    path: weights,
    config: real ?? config,
    device: 'cpu',
    dtype: 'fp32',
    threads: 1,
  }
}

function score(model, rows = 1) {
  const input_ids = new Int32Array(rows * 16).fill(5)
  return model.forward(
    input_ids,
    Int32Array.from({ length: rows + 1 }, (_, i) => 16 * i),
  )
}

/** A model whose forward is under way, and stays so until it is stopped. */
async function busy(addon, kind = 'gate') {
  const model = await addon.Model.load(spec(`forward=${kind}:${gate}`))
  const running = score(model, place.weights === undefined ? 1 : 4000)
  running.catch(() => {})
  await until(() => place.weights !== undefined || existsSync(`${gate}.entered`))
  return { model, running }
}

/** Leaves this process so many megabytes of address space more than it has. */
function limitMemory(megabytes) {
  const kilobytes = Number(/VmSize:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
  const limit = kilobytes * 1024 + megabytes * 2 ** 20
  execFileSync('prlimit', ['--pid', String(process.pid), `--as=${limit}:unlimited`])
}

/** A batch of so many rows of one token, with so much memory for it. */
async function scoreInside(megabytes, rows) {
  const model = await (await open()).Model.load(spec())
  const [input_ids, cu_seqlens] = [new Int32Array(rows).fill(5), new Int32Array(rows + 1)]
  // In place: garbage would be room that the limit does not know of.
  for (let i = 1; i <= rows; i++) cu_seqlens[i] = i
  limitMemory(megabytes)
  console.log(await model.forward(input_ids, cu_seqlens).catch(({ code, message }) => `${code} ${message}`))
  console.log((await score(model)).length)
}

function laneNames() {
  return readdirSync('/proc/self/task')
    .map((task) => {
      try {
        return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim()
      } catch {
        return '' // ended meanwhile
      }
    })
    .filter((comm) => comm === 'electra-lane')
}

function ended(worker) {
  return new Promise((resolve, reject) => {
    worker.once('error', reject)
    worker.once('exit', resolve)
  })
}

function startWorker(role) {
  return new Worker(module.filename, { workerData: { place, name: role } })
}

const scenarios = {
  async idle_model() {
    const model = await (await open()).Model.load(spec())
    await score(model)
    console.log('scored')
    process.on('exit', () => console.log(model.info.device))
  },
  async idle_model_without_handler() {
    const addon = require(place.addon)
    await addon.open(place.libtorch, place.core)
    globalThis.model = await addon.Model.load(spec())
    console.log('loaded')
  },
  async pending_promise_keeps_alive() {
    const model = await (await open()).Model.load(spec())
    void score(model).then((logits) => console.log(logits.length))
  },
  async exit_during_forward() {
    await busy(await open())
    process.exit(7)
  },
  async exit_during_load() {
    const addon = await open()
    addon.Model.load(spec(`load=gate:${gate}`)).catch(() => {})
    await until(() => place.weights !== undefined || existsSync(`${gate}.entered`))
    process.exit(7)
  },
  async exit_during_open() {
    openAddon()
      .open(place.libtorch, place.core)
      .catch(() => {})
    process.exit(7)
  },
  async exit_during_export() {
    const addon = await open()
    addon.exportArchive(spec(`export=gate:${gate}`), join(place.scratch, 'out'), []).catch(() => {})
    await until(() => existsSync(`${gate}.entered`))
    process.exit(7)
  },
  async exit_during_close() {
    const { model } = await busy(await open())
    void model.close()
    process.exit(7)
  },
  async exit_after_close() {
    const model = await (await open()).Model.load(spec())
    await model.close()
    process.exit(7)
  },
  async throw_during_forward() {
    await busy(await open())
    setImmediate(() => {
      throw new Error('uncaught on purpose')
    })
  },
  async reject_during_forward() {
    await busy(await open())
    void Promise.reject(new Error('unhandled on purpose'))
  },
  async deaf_lane() {
    await busy(await open(), 'deaf')
    process.exit(7)
  },
  async two_deaf_lanes() {
    const addon = await open()
    await busy(addon, 'deaf')
    const model = await addon.Model.load(spec(`forward=deaf:${gate}2`))
    score(model).catch(() => {})
    await until(() => existsSync(`${gate}2.entered`))
    process.exitCode = 5
    process.exit()
  },
  async deaf_lane_that_wakes() {
    const addon = await open()
    const { running } = await busy(addon, 'deaf')
    addon.shutdown()
    console.log(await running.catch((error) => error.code))
    writeFileSync(gate, '') // the lane goes on, and finds nobody to talk to
    await until(() => laneNames().length === 0)
  },
  async terminate_during_forward() {
    const worker = startWorker('worker_busy')
    await until(() => existsSync(`${gate}.entered`))
    console.log(await worker.terminate())
  },
  async terminate_deaf_lane() {
    const worker = startWorker('worker_deaf')
    await until(() => existsSync(`${gate}.entered`))
    console.log(await worker.terminate())
    process.exitCode = 3
  },
  async exit_while_worker_is_busy() {
    startWorker('worker_busy')
    await until(() => existsSync(`${gate}.entered`))
    process.exit(7)
  },
  async twenty_workers() {
    for (let i = 0; i < 20; ++i) {
      const worker = startWorker(i % 2 === 0 ? 'worker_scores_and_stays' : 'worker_scores_and_ends')
      const exit = ended(worker)
      if (i % 2 === 0) {
        await new Promise((resolve) => worker.once('message', resolve))
        // Results are on their way while it goes down.
        await worker.terminate()
      }
      await exit
    }
    console.log(laneNames().length)
  },
  async first_in_a_worker() {
    await ended(startWorker('worker_scores_and_ends'))
    const model = await (await open()).Model.load(spec())
    console.log((await score(model)).length)
  },
  async main_and_workers() {
    const addon = await open()
    const model = await addon.Model.load(spec())
    const exits = [1, 2, 3, 4].map(() => ended(startWorker('worker_scores_and_ends')))
    for (let i = 0; i < 200; ++i) await score(model)
    console.log(...(await Promise.all(exits)))
    await score(model)
    await model.close()
  },
  async workers_open_at_once() {
    const exits = [1, 2, 3, 4, 5, 6].map(() => ended(startWorker('worker_scores_and_ends')))
    console.log(...(await Promise.all(exits)))
  },
  async dropped_models() {
    const addon = await open()
    const freed = join(place.scratch, 'freed')
    const kept = await addon.Model.load(spec())
    await (async () => {
      for (let i = 0; i < 8; ++i) await score(await addon.Model.load(spec(`freed=${freed}`)))
      await (await addon.Model.load(spec())).close()
    })()
    await until(() => {
      globalThis.gc()
      return laneNames().length === 1
    })
    console.log(readFileSync(freed, 'utf8').split('\n').length - 1, (await score(kept)).length)
  },
  /** Nobody calls gc() in a service: the 5 GB that the fake core says it holds must count as memory of garbage. */
  async dropped_unasked() {
    const addon = await open()
    const freed = join(place.scratch, 'freed')
    for (let i = 0; i < 100 && !existsSync(freed); ++i) await addon.Model.load(spec(`freed=${freed}`))
    console.log(existsSync(freed))
  },
  async dropped_but_busy() {
    const addon = await open()
    const { running, queued } = await (async () => {
      const { model, running } = await busy(addon)
      return { running, queued: score(model) }
    })()
    for (let i = 0; i < 5; ++i) {
      globalThis.gc()
      await delay(0)
    }
    console.log(laneNames().length)
    writeFileSync(gate, '')
    console.log((await running).length, (await queued).length)
    await until(() => {
      globalThis.gc()
      return laneNames().length === 0
    })
  },

  copy_out_of_memory: () => scoreInside(100, 20e6),
  // The batch and its logits fit, and the logits once more do not.
  result_out_of_memory: () => scoreInside(430, 20e6),
  batch_out_of_memory: () => scoreInside(400, 4e6),

  async worker_busy() {
    await busy(await open())
  },
  async worker_deaf() {
    await busy(await open(), 'deaf')
  },
  async worker_scores_and_ends() {
    const model = await (await open()).Model.load(spec())
    for (let i = 0; i < 50; ++i) await score(model)
  },
  async worker_scores_and_stays() {
    const model = await (await open()).Model.load(spec())
    await score(model)
    parentPort.postMessage('scored')
    for (;;) await Promise.all([score(model), score(model), score(model)])
  },
}

void scenarios[name]()
