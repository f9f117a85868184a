import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gpuCheck } from '../../lib/cli/doctor-gpu'
import { factsOf, hasSystemLibrary } from '../../lib/libtorch/inspect'
import { installLibtorch } from '../../lib/libtorch/install'
import { writeFakeLibtorch } from '../fixtures/fake-libtorch'
import { CPU_WHEEL, torchWheel, WheelServer, writeWheels } from '../fixtures/wheels'

const DIST = join(__dirname, '..', '..', 'dist', 'index.js')

describe('without a libtorch', () => {
  let empty: string

  before(() => {
    empty = mkdtempSync(join(tmpdir(), 'no-libtorch-'))
  })

  after(() => {
    rmSync(empty, { recursive: true, force: true })
  })

  /** What `load` ends with in a process whose environment is just `env`, and whether the process goes on. */
  function load(
    env: Record<string, string>,
    options = {},
  ): { code: string; message: string; alive: boolean } {
    const script = `
      const { ElectraClassifier } = require(${JSON.stringify(DIST)})
      ElectraClassifier.load(undefined, ${JSON.stringify(options)}).catch(async ({ code, message }) => {
        await new Promise(setImmediate)
        console.log(JSON.stringify({ code, message, alive: true }))
      })`
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], {
      encoding: 'utf8',
      env: { HOME: empty, XDG_CACHE_HOME: empty, PATH: empty, ...env },
    })
    assert.notEqual(stdout, '', stderr)
    return JSON.parse(stdout) as { code: string; message: string; alive: boolean }
  }

  /** The same, while a server of this process answers it. */
  async function loadAside(env: Record<string, string>): Promise<{ code: string; message: string }> {
    const script = `
      const { ElectraClassifier } = require(${JSON.stringify(DIST)})
      ElectraClassifier.load().catch(({ code, message }) => console.log(JSON.stringify({ code, message })))`
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], {
      env: { HOME: empty, PATH: empty, ...env },
    })
    return JSON.parse(stdout) as { code: string; message: string }
  }

  it('says where it looked, why not there, and how to get one', () => {
    const { code, message, alive } = load({})
    assert.equal(code, 'LIBTORCH_NOT_FOUND')
    assert.match(
      message,
      /^No libtorch was found; get one with `npx electra-classifier install-libtorch` .*LIBTORCH/,
    )
    assert.match(message, /\n {2}LIBTORCH: /)
    assert.match(message, /\n {2}cache .*no-libtorch/)
    assert.match(message, /\n {2}python: /)
    assert.equal(alive, true)
  })

  it('never downloads by itself, and does with ELECTRA_AUTO_INSTALL=1', async () => {
    const server = await WheelServer.start({ [CPU_WHEEL]: torchWheel() })
    try {
      const env = { XDG_CACHE_HOME: join(empty, 'auto'), ELECTRA_TORCH_INDEX: server.index }
      assert.equal((await loadAside(env)).code, 'LIBTORCH_NOT_FOUND')
      assert.deepEqual(server.seen, [])
      // What it installs are fakes, which the loader refuses when they are opened.
      const { code, message } = await loadAside({ ...env, ELECTRA_AUTO_INSTALL: '1' })
      assert.equal(code, 'LIBTORCH_NOT_FOUND')
      assert.match(
        message,
        /^The libtorch in .*libtorch-2\.13\.0-cpu.* could not be opened \(.*\); install it anew with `npx electra-classifier install-libtorch`\.$/,
      )
      assert.equal(server.downloads().length, 1)
    } finally {
      await server.stop()
    }
  })

  it('says that the one in the cache is damaged, and which command mends it', async () => {
    const env = { HOME: empty, XDG_CACHE_HOME: join(empty, 'damaged'), PATH: empty }
    const wheels = writeWheels(join(empty, 'wheels'), { [CPU_WHEEL]: torchWheel() })
    const { libtorch } = await installLibtorch({ env, from: wheels })
    truncateSync(join(libtorch.lib, 'libtorch_cpu.so'), 10)
    const { code, message } = load(env)
    assert.equal(code, 'LIBTORCH_NOT_FOUND')
    assert.match(message, /^No libtorch was found; get one with `npx electra-classifier install-libtorch`/)
    assert.match(message, /is damaged \(torch\/lib\/libtorch_cpu\.so has 10 bytes instead of \d+\)/)
  })

  it('refuses a minor that has no core, by its version', () => {
    for (const [version, reason] of [
      ['2.9.1', /libtorch 2\.9\.1 in .* is not supported; 2\.11 to 2\.15 are/],
      ['2.11.0', /libtorch 2\.11\.0 in .* has no core built for it \(built: .*2\.13/],
    ] as const) {
      const { code, message } = load({ LIBTORCH: writeFakeLibtorch(join(empty, version), { version }) })
      assert.equal(code, 'LIBTORCH_MISMATCH')
      assert.match(
        message,
        /^No supported libtorch was found; get one with `npx electra-classifier install-libtorch`/,
      )
      assert.match(message, reason)
    }
  })

  it('names what a CUDA build lacks, and what runs where no driver answers', function () {
    const cuda = writeFakeLibtorch(join(empty, 'cuda'), { version: '2.13.0+cu130', cuda: true })
    const { code, message } = load({ LIBTORCH: cuda })
    assert.equal(code, 'LIBTORCH_NOT_FOUND')
    assert.match(
      message,
      /the CUDA build of libtorch 2\.13\.0 in .* lacks libraries that it needs: libcudart\.so\.99/,
    )
    if (existsSync('/proc/driver/nvidia') || hasSystemLibrary('libcuda.so.1')) {
      console.log("      skipped: NVIDIA's driver is here")
      this.skip()
    }
    const { found, details } = gpuCheck(factsOf(cuda))
    assert.equal(found, 'no NVIDIA driver')
    assert.deepEqual(details, [
      "this CUDA build runs on the CPU here; for device 'cuda' install NVIDIA's driver (libcuda.so.1)",
    ])
  })

  it('names the folder that was asked for, by option or environment', () => {
    const named = join(empty, 'nowhere')
    for (const [env, options] of [
      [{ LIBTORCH: named }, {}],
      [{}, { libtorch: named }],
    ] as const) {
      const { code, message } = load(env, options)
      assert.equal(code, 'LIBTORCH_NOT_FOUND')
      assert.ok(message.includes(named), message)
    }
  })
})
