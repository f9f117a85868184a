/* How processes end: each in a child, with its signal, exit code and stderr. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { findLibtorch } from '../../lib/libtorch'
import { ADDON, FAKE_CORE, fakeLibtorch, needsFakeCore, scratchPath } from '../binding/fake'
import { check, LEFT_BEHIND, run, SILENT, type Ending } from './child'

interface Place {
  addon: string
  libtorch: string
  core: string
  scratch: string
  weights?: string
  config?: string
}

function play(scenario: string, place: Place, flags: string[] = []): Promise<Ending> {
  mkdirSync(place.scratch)
  return run(join(__dirname, 'scenarios.cjs'), [scenario, JSON.stringify(place)], { flags })
}

const TWO_LEFT_BEHIND =
  /^electra-classifier: 2 inference threads did not stop within 5 s and were left behind\n$/

describe('exit, on the fake core', () => {
  needsFakeCore()

  const endings: [string, string, number, string, RegExp, string[]?][] = [
    ['ends by itself with an idle, open model', 'idle_model', 0, 'scored\ncpu\n', SILENT],
    ['ends by itself without an exit handler', 'idle_model_without_handler', 0, 'loaded\n', SILENT],
    ['does not end before a promise is settled', 'pending_promise_keeps_alive', 0, '3\n', SILENT],
    ['process.exit() during a forward', 'exit_during_forward', 7, '', SILENT],
    ['process.exit() during a load', 'exit_during_load', 7, '', SILENT],
    ['process.exit() during open', 'exit_during_open', 7, '', SILENT],
    ['process.exit() during an export', 'exit_during_export', 7, '', SILENT],
    ['process.exit() during close', 'exit_during_close', 7, '', SILENT],
    ['process.exit() after close', 'exit_after_close', 7, '', SILENT],
    ['an uncaught throw during a forward', 'throw_during_forward', 1, '', /uncaught on purpose/],
    ['an unhandled rejection during a forward', 'reject_during_forward', 1, '', /unhandled on purpose/],
    ['a lane that does not stop is left behind', 'deaf_lane', 7, '', LEFT_BEHIND],
    ['two lanes that do not stop share the wait', 'two_deaf_lanes', 5, '', TWO_LEFT_BEHIND],
    ['a lane that was left behind may go on', 'deaf_lane_that_wakes', 0, 'CLOSED\n', LEFT_BEHIND],
    ['worker.terminate() during a forward', 'terminate_during_forward', 0, '1\n', SILENT],
    ['worker.terminate() with a lane that does not stop', 'terminate_deaf_lane', 3, '1\n', LEFT_BEHIND],
    ['process.exit() while a worker is busy', 'exit_while_worker_is_busy', 7, '', SILENT],
    ['20 workers that load, score and go', 'twenty_workers', 0, '0\n', SILENT],
    ['first loaded in a worker, then in the main thread', 'first_in_a_worker', 0, '3\n', SILENT],
    ['main thread and workers at once', 'main_and_workers', 0, '0 0 0 0\n', SILENT],
    ['six workers that open it at once', 'workers_open_at_once', 0, '0 0 0 0 0 0\n', SILENT],
    ['frees dropped models, and their threads', 'dropped_models', 0, '8 3\n', SILENT, ['--expose-gc']],
    ['keeps a dropped model while it works', 'dropped_but_busy', 0, '1\n3 3\n', SILENT, ['--expose-gc']],
  ]
  for (const [what, scenario, code, stdout, stderr, flags] of endings) {
    it(what, async () => {
      const place = {
        addon: ADDON,
        libtorch: fakeLibtorch(),
        core: FAKE_CORE,
        scratch: scratchPath(scenario),
      }
      check(await play(scenario, place, flags), code, stdout, stderr)
    })
  }
})

describe('exit, on libtorch', () => {
  let place: Omit<Place, 'scratch'>
  before(async function () {
    const { found } = await findLibtorch()
    const core = found && join(ADDON, '..', `libelectra_core-${found.minor}.so`)
    if (!found || !core || !existsSync(core)) {
      console.log(`      skipped: ${core ?? 'libtorch'} is not there (npm run prepare gets it)`)
      this.skip()
    }
    const model = join(__dirname, '..', '..', 'models', 'sentiment-minilm-l6')
    const config = readFileSync(join(model, 'config.json'), 'utf8')
    place = { addon: ADDON, libtorch: found.lib, core, weights: join(model, 'model.safetensors'), config }
  })

  const endings: [string, string, number, string][] = [
    ['ends by itself with an idle, open model', 'idle_model', 0, 'scored\ncpu\n'],
    ['process.exit() during open', 'exit_during_open', 7, ''],
    ['process.exit() during a load', 'exit_during_load', 7, ''],
    ['process.exit() during a forward', 'exit_during_forward', 7, ''],
    ['main thread and workers at once', 'main_and_workers', 0, '0 0 0 0\n'],
  ]
  for (const [what, scenario, code, stdout] of endings) {
    it(what, async () => {
      check(await play(scenario, { ...place, scratch: scratchPath(scenario) }), code, stdout, SILENT)
    })
  }
})
