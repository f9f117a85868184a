/* The package in a service, from its door: however its process or its worker ends, and whatever else is there. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import assert from 'node:assert/strict'
import { addonPath } from '../../lib/binding'
import { cacheFolder, findLibtorch } from '../../lib/libtorch'
import { scratchPath } from '../binding/fake'
import { writeFakeLibtorch } from '../fixtures/fake-libtorch'
import { check, needsPrlimit, run, SILENT, type Options } from './child'

const ROOT = join(__dirname, '..', '..')

function play(scenario: string, args: string[] = [], options?: Options) {
  return run(join(__dirname, 'service-scenarios.cjs'), [ROOT, scenario, ...args], options)
}

describe('a service', function () {
  this.timeout(120_000)
  before(async function () {
    const { found } = await findLibtorch()
    if (found && existsSync(join(ROOT, 'dist', 'index.js'))) return
    console.log('      skipped: there is no libtorch, or no dist/ (npm run prepare makes both)')
    this.skip()
  })

  describe('ends', () => {
    const THROWN =
      /^\S*service-scenarios\.cjs:\d+\n.*\n.*\n\nError: uncaught on purpose\n(?: {4}at .*\n)+\nNode\.js v\S+\n$/
    const moments = {
      batch: ['while a batch runs', '300\n'],
      load: ['during load', '3\n'],
      close: ['during close', 'CLOSED\n'],
      closed: ['after close', 'CLOSED\n'],
    } as const
    for (const [moment, [when, stdout]] of Object.entries(moments)) {
      it(`by itself, ${when}`, async () => {
        check(await play('ends', [moment, 'natural']), 0, stdout, SILENT)
      })
      it(`by process.exit(), ${when}`, async () => {
        check(await play('ends', [moment, 'exit']), 7, '', SILENT)
      })
      it(`by an uncaught throw, ${when}`, async () => {
        check(await play('ends', [moment, 'throw']), 1, '', THROWN)
      })
      it(`by SIGTERM that nobody handles, ${when}`, async () => {
        const { signal, stdout, stderr } = await play('ends', [moment, 'sigterm'])
        assert.deepEqual([signal, stdout, stderr], ['SIGTERM', '', ''])
      })
      it(`by SIGTERM whose handler exits, ${when}`, async () => {
        check(await play('ends', [moment, 'sigterm_exits']), 0, '', SILENT)
      })
    }
    it('by SIGTERM whose handler closes, while a batch runs', async () => {
      // The batch and close() end in the same moment, and either may be heard of first.
      const either = /^(?:CLOSED\nclosed|closed\nCLOSED)\n$/
      check(await play('ends', ['batch', 'sigterm_closes']), 0, either, SILENT)
    })
    it('by SIGTERM whose handler drains, during load', async () => {
      check(await play('ends', ['load', 'sigterm_drains']), 0, 'drained\n3\n', SILENT)
    })
    it('by SIGTERM whose handler drains, after close', async () => {
      check(await play('ends', ['closed', 'sigterm_drains']), 0, 'CLOSED\ndrained\n', SILENT)
    })
    it('after what a beforeExit handler still scores', async () => {
      check(await play('before_exit'), 0, 'positive\nclosed\n', SILENT)
    })
    it('where nobody ever called close()', async () => {
      check(await play('forgotten'), 0, 'done\n', SILENT)
    })
  })

  describe('with workers', () => {
    it('creates, loads, classifies and terminates 100, half of them while a batch runs', async () => {
      check(await play('hundred_workers'), 0, '[ 1 ] true\n', SILENT)
    })
    it('scores in four and in the main thread at once', async () => {
      check(await play('four_workers_and_main'), 0, '1 [ 0, 0, 0, 0 ]\n', SILENT)
    })
    it('scores in one while the main thread loads and closes others', async () => {
      check(await play('worker_while_main_loads'), 0, '1 0\n', SILENT)
    })
    it('opens the addon in one first, and goes on in the main thread when that is gone', async () => {
      check(await play('first_in_a_worker'), 0, '0\ntrue\n', SILENT)
    })
  })

  describe('with processes', () => {
    it('forks children from a parent that has a classifier', async () => {
      check(await play('forks'), 0, '[[true,0,null],[true,0,null]] true\n', SILENT)
    })
    it('serves from a cluster whose primary has a classifier', async () => {
      check(await play('clusters'), 0, 'true true true true [[0,null],[0,null]]\n', SILENT)
    })
  })

  describe('with garbage', () => {
    it('keeps its memory flat over 200 classifiers that are loaded and dropped', async () => {
      check(await play('load_and_drop', [], { flags: ['--expose-gc'] }), 0, 'flat\n', SILENT)
    })
  })

  describe('out of memory', () => {
    needsPrlimit()
    const REMEDY = 'free memory, or pass fewer or shorter rows at once.\npositive true\n'
    const cases: [string, string, string, NodeJS.ProcessEnv?][] = [
      [
        "refuses a batch that is far too large, on libtorch's operators",
        'batch',
        'There was not enough memory',
        { ELECTRA_CPU_ISA: 'none' },
      ],
      ['refuses a model whose weights do not fit', 'weights', 'There was not enough memory'],
      ['refuses a model whose threads cannot be started', 'threads', 'No thread could be started'],
    ]
    for (const [what, scenario, message, env] of cases) {
      it(`${what}, and goes on`, async () => {
        check(
          await play('out_of_memory', [scenario, scratchPath('model')], { env: env ?? {} }),
          0,
          `OUT_OF_MEMORY: ${message}; ${REMEDY}`,
          SILENT,
        )
      })
    }
  })

  describe('beside others', () => {
    /** The package once more, with binaries of its own. */
    function copy(): string {
      const folder = scratchPath('copy')
      mkdirSync(join(folder, 'build', 'Release'), { recursive: true })
      for (const name of ['package.json', 'dist'])
        cpSync(join(ROOT, name), join(folder, name), { recursive: true })
      cpSync(dirname(addonPath() ?? ''), join(folder, 'build', 'Release'), { recursive: true })
      symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
      return folder
    }

    it('works with two copies of the package in one process', async () => {
      check(await play('two_copies', [copy()]), 0, 'true true\ntrue\n', SILENT)
    })

    it('refuses a second libtorch for a second copy, and goes on', async () => {
      const libtorch = writeFakeLibtorch(scratchPath('other-libtorch'))
      const { found } = await findLibtorch()
      const message = `LIBTORCH_MISMATCH: this process has opened the libtorch in ${found?.lib ?? ''} and cannot open another one in ${join(libtorch, 'lib')}`
      check(await play('other_libtorch', [copy(), libtorch]), 0, `${message}\n3 true\n`, SILENT)
    })

    for (const order of ['first', 'second']) {
      it(`scores where onnxruntime-node was loaded ${order}`, async function () {
        const folder = onnxruntime()
        if (folder === undefined) {
          console.log('        skipped: onnxruntime-node could not be installed')
          return this.skip()
        }
        check(await play('onnxruntime', [order, folder]), 0, '2 4 6 positive\n', SILENT)
      })
    }
  })
})

/** Where onnxruntime-node is; installed into the cache folder once, without its script, which would fetch CUDA. */
function onnxruntime(): string | undefined {
  const places = [join(ROOT, 'bench'), join(cacheFolder(), 'test-onnxruntime')]
  const folders = places.map((place) => join(place, 'node_modules', 'onnxruntime-node'))
  const found = folders.find((folder) => existsSync(join(folder, 'package.json')))
  if (found !== undefined) return found
  const [place, folder] = [places[1] ?? '', folders[1]]
  mkdirSync(place, { recursive: true })
  const what = ['--ignore-scripts', '--no-save', '--no-audit', '--no-fund', '--prefix', place]
  try {
    execFileSync('npm', ['install', ...what, 'onnxruntime-node@1.30.0'], { stdio: 'ignore', timeout: 90_000 })
    return folder
  } catch {
    return undefined
  }
}
