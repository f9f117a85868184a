import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { PINNED_VERSION, cacheEntry } from '../../lib/libtorch'
import { installLibtorch } from '../../lib/libtorch/install'
import { type FetchOptions, fetchLibtorch } from '../../scripts/fetch-libtorch'
import { writeFakeLibtorch } from '../fixtures/fake-libtorch'
import { CPU_WHEEL, torchWheel, WheelServer, writeWheels } from '../fixtures/wheels'

const ROOT = resolve(__dirname, '..', '..')

describe('setting up', () => {
  let folder: string
  let env: NodeJS.ProcessEnv
  let server: WheelServer
  let lines: string[]
  const children: ChildProcess[] = []

  before(function () {
    if (process.platform === 'linux' && spawnSync('python3', ['-m', 'pip', '--version']).status === 0) return
    console.log('skipped: it takes Linux, and a python3 with pip')
    this.skip()
  })

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'electra-setup-'))
    lines = []
    server = await WheelServer.start({ [CPU_WHEEL]: torchWheel() })

    // A python3 without any torch, whose pip finds nothing.
    env = {
      PATH: process.env.PATH,
      HOME: folder,
      XDG_CACHE_HOME: join(folder, 'cache'),
      ELECTRA_TORCH_INDEX: server.index,
      PYTHONNOUSERSITE: '1',
      PIP_CONFIG_FILE: '/dev/null',
      PIP_NO_INDEX: '1',
    }
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    const python = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' })
    const script = `#!/bin/sh\ncase "$2" in *find_spec*) exit 0;; esac\nexec ${python.stdout.trim()} "$@"\n`
    writeFileSync(join(bin, 'python3'), script, { mode: 0o755 })
    env.PATH = `${bin}:${process.env.PATH ?? ''}`
  })

  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const fetchHere = (options: FetchOptions = {}) =>
    fetchLibtorch({ env, log: (line) => void lines.push(line), ...options })
  const inCache = () => {
    const cache = join(folder, 'cache', 'electra-classifier')
    return existsSync(cache) ? readdirSync(cache) : []
  }
  const startFetching = () => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/fetch-libtorch.ts'], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    children.push(child)
    return child
  }

  it('downloads the pinned wheel from the index, headers included, and does so once', async () => {
    const { from, folder: got, version, variant } = await fetchHere()
    assert.deepEqual(
      [from, got, version, variant],
      [server.index, join(cacheEntry(PINNED_VERSION, 'cpu', env), 'torch'), '2.13.0', 'cpu'],
    )
    assert.deepEqual(readdirSync(got).sort(), ['build-version', 'include', 'lib'])

    const before = server.seen.length
    assert.equal((await fetchHere()).from, 'the cache')
    assert.equal(server.seen.length, before)
  })

  it('brings the headers where a libtorch was installed without them', async () => {
    await installLibtorch({ env, from: server.index })
    assert.equal((await fetchHere()).from, server.index)
    assert.ok(existsSync(join(cacheEntry(PINNED_VERSION, 'cpu', env), 'torch', 'include')))
  })

  it('lists every source with its reason, and the remedy', async () => {
    server.fault = () => ({ status: 503 })
    await assert.rejects(fetchHere(), (error) => {
      assert.ok(error instanceof Error)
      const [first, ...rest] = error.message.split('\n')
      assert.equal(first, 'No libtorch 2.13.0 could be had:')
      for (const [index, source] of [
        /^ {2}- LIBTORCH: the environment variable LIBTORCH is not set$/,
        /^ {2}- the cache .+: no libtorch was installed there yet$/,
        /^ {2}- Python: .*python3 has no torch installed$/,
        /^ {2}- http:.*: http:.* answered 503 /,
        /^ {2}- pip download: .*No matching distribution/,
        /^Install one with `python3 -m pip install torch==2\.13\.0`, or set LIBTORCH /,
      ].entries()) {
        assert.match(rest[index] ?? '', source)
      }
      return true
    })
  })

  it('falls back to pip as the machine has it set up', async () => {
    server.fault = () => ({ status: 503 })
    writeWheels(folder, { [CPU_WHEEL]: torchWheel() })
    const pip = `cp ${join(folder, CPU_WHEEL)} "$dest/"`
    const script = readFileSync(join(folder, 'bin', 'python3'), 'utf8').replace(
      'exec ',
      `if [ "$2" = pip ]; then while [ $# -gt 1 ]; do [ "$1" = --dest ] && dest=$2; shift; done; [ -z "$dest" ] || ${pip}; exit; fi\nexec `,
    )
    writeFileSync(join(folder, 'bin', 'python3'), script, { mode: 0o755 })
    assert.equal((await fetchHere()).from, 'pip download')
    assert.match(lines.join('\n'), /\/whl\/ is passed over: .* answered 503/)
  })

  it('says so where LIBTORCH names one that cannot be used', async () => {
    await fetchHere()
    env.LIBTORCH = writeFakeLibtorch(join(folder, 'old'), { version: '2.9.1' })
    assert.equal((await fetchHere()).from, 'the cache')
    assert.match(lines.at(-1) ?? '', /^LIBTORCH is passed over: libtorch 2\.9\.1 in .* is not supported/)
  })

  it('fetches anew where the cache was damaged', async () => {
    await fetchHere()
    rmSync(join(cacheEntry(PINNED_VERSION, 'cpu', env), 'torch', 'lib', 'libc10.so'))
    assert.equal((await fetchHere()).from, server.index)
    assert.deepEqual(inCache(), [`libtorch-2.13.0-cpu-linux-${process.arch}`])
  })

  it('clears away what a killed run left, and only that', async () => {
    const asked = new Promise<void>((settle) => {
      server.fault = ({ what, range }) => {
        if (what !== CPU_WHEEL || range !== undefined) return undefined
        settle()
        return { hold_after: 100, until: new Promise(() => undefined) }
      }
    })
    const killed = startFetching()
    await asked
    killed.kill('SIGKILL')
    await once(killed, 'exit')
    assert.deepEqual(
      inCache()
        .map((name) => name.replace(/\.part$/, ''))
        .map(
          (name) =>
            /^(?:downloads|install\.lock)$/.test(name) || /^libtorch-.*\.\d+\.[0-9a-f]{8}$/.test(name),
        ),
      [true, true, true],
    )

    server.fault = () => undefined
    await fetchHere()
    assert.deepEqual(inCache(), [`libtorch-2.13.0-cpu-linux-${process.arch}`])
  })

  it('prints lines without control characters where there is no terminal', async () => {
    const child = startFetching()
    let printed = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (printed += text))
    await once(child, 'close')
    assert.equal(child.exitCode, 0, printed)
    assert.match(printed, /^downloading torch-2\.13\.0\+cpu-.*\nlibtorch 2\.13\.0 \(cpu\) from http:.*\n$/)
  })

  it('names every missing tool with the command that installs them, before anything is built', async () => {
    const failure: unknown = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', 'scripts/prepare.ts'],
      { cwd: ROOT, env: { ...env, PATH: join(folder, 'empty') } },
    ).catch((error: unknown) => error)
    assert.ok(failure instanceof Error && 'stderr' in failure && 'code' in failure)
    assert.equal(failure.code, 1)
    const printed = String(failure.stderr).trim().split('\n')
    assert.deepEqual(
      printed.slice(0, 4).map((line) => /^Missing: (\S+ \S+)/.exec(line)?.[1]),
      ['a C++20', 'cmake 3.18', 'make or', 'Python 3'],
    )
    assert.match(printed[4] ?? '', /^Install with: .*g\+\+.* cmake make python3/)
    assert.equal(printed.length, 5)
    assert.deepEqual(server.seen, [])
  })
})
