import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { type Server, type ServerResponse, createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { PINNED_VERSION, cacheEntry } from '../../lib/libtorch'
import { type FetchOptions, fetchLibtorch } from '../../scripts/fetch-libtorch'
import { type FakeLibtorch, fakeLibtorchFiles, writeFakeLibtorch } from '../fixtures/fake-libtorch'

const ROOT = resolve(__dirname, '..', '..')
const TAGS: Record<string, string> = { x64: 'manylinux_2_28_x86_64', arm64: 'manylinux_2_28_aarch64' }
const WHEEL = `torch-${PINNED_VERSION}+cpu-cp311-cp311-${TAGS[process.arch] ?? 'none'}.whl`

const MAKE_WHEEL = `
import base64, json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    for name, content in json.load(sys.stdin).items():
        wheel.writestr(name, base64.b64decode(content))
`

function makeWheel(folder: string, fake: FakeLibtorch = {}): Buffer {
  const version = fake.version ?? `${PINNED_VERSION}+cpu`
  const files = {
    ...Object.fromEntries(
      Object.entries(fakeLibtorchFiles(fake)).map(([name, bytes]) => [`torch/${name}`, bytes]),
    ),
    'torch/version.py': `__version__ = '${version}'\n`,
    'torch/lib/libtorch_python.so': 'x',
    'torch/lib/libtorchbind_test.so': 'x',
    'torch/nn/functional.py': 'x',
  }
  const path = join(folder, 'made.whl')
  const input = JSON.stringify(
    Object.fromEntries(
      Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
    ),
  )
  const { status, stderr } = spawnSync('python3', ['-c', MAKE_WHEEL, path], { input, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return readFileSync(path)
}

describe('setting up', () => {
  let folder: string
  let env: NodeJS.ProcessEnv
  let server: Server
  let wheel: Buffer
  let sha256: string
  let requests: string[]
  let sendWheel: (response: ServerResponse) => void
  let sendPage: (response: ServerResponse) => void
  let lines: string[]
  const children: ChildProcess[] = []

  before(function () {
    if (process.platform === 'linux' && spawnSync('python3', ['-m', 'pip', '--version']).status === 0) return
    console.log('skipped: it takes Linux, and a python3 with pip')
    this.skip()
  })

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'electra-setup-'))
    wheel = makeWheel(folder)
    sha256 = createHash('sha256').update(wheel).digest('hex')
    requests = []
    lines = []
    sendWheel = (response) => response.setHeader('content-length', wheel.length).end(wheel)
    sendPage = (response) => {
      const link = (name: string, hash: string) =>
        `<a href="../${encodeURIComponent(name)}#sha256=${hash}">${name}</a><br/>`
      const others = [WHEEL.replace('2.13.0', '2.14.0'), WHEEL.replace(/manylinux.*/, 'win_amd64.whl')]
      response.end(others.map((name) => link(name, '0'.repeat(64))).join('\n') + link(WHEEL, sha256))
    }
    server = createServer((request, response) => {
      requests.push(request.url ?? '')
      if (request.url === '/whl/torch/') sendPage(response)
      else if (decodeURIComponent(request.url ?? '') === `/whl/${WHEEL}`) sendWheel(response)
      else response.writeHead(404).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    assert.ok(address !== null && typeof address === 'object')

    // A python3 without any torch, whose pip finds nothing.
    env = {
      PATH: process.env.PATH,
      HOME: folder,
      XDG_CACHE_HOME: join(folder, 'cache'),
      ELECTRA_TORCH_INDEX: `http://127.0.0.1:${address.port}/whl/`,
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

  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    server.closeAllConnections()
    server.close()
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

  it('downloads the pinned wheel from the index, unpacks its C++ part, and does so once', async () => {
    const { from, folder: got, version, variant } = await fetchHere()
    assert.deepEqual(
      [from, got, version, variant],
      [env.ELECTRA_TORCH_INDEX, cacheEntry(PINNED_VERSION, 'cpu', env), '2.13.0', 'cpu'],
    )
    assert.deepEqual(inCache(), [`libtorch-2.13.0-cpu-linux-${process.arch}`])
    assert.deepEqual(readdirSync(got).sort(), ['.checked', 'build-version', 'include', 'lib'])
    assert.deepEqual(readdirSync(join(got, 'lib')).sort(), ['libc10.so', 'libtorch.so', 'libtorch_cpu.so'])

    const before = requests.length
    assert.equal((await fetchHere()).from, 'the cache')
    assert.equal(requests.length, before)
  })

  it('refuses a wheel with another SHA-256 than the index says', async () => {
    sha256 = 'a'.repeat(64)
    await assert.rejects(fetchHere(), /has the SHA-256 [0-9a-f]{64}, not a{64} as the index says/)
    assert.deepEqual(inCache(), [])
  })

  it('refuses an index without SHA-256, or without a wheel for this platform', async () => {
    sendPage = (response) => response.end(`<a href="../${WHEEL}">x</a>`)
    await assert.rejects(fetchHere(), /it gives no SHA-256 for torch-2\.13\.0\+cpu/)
    sendPage = (response) => response.end('<html></html>')
    await assert.rejects(fetchHere(), /it lists no torch 2\.13\.0 for linux/)
  })

  it('keeps nothing of a connection that was cut, and the next run succeeds', async () => {
    const whole = sendWheel
    sendWheel = (response) => {
      response
        .setHeader('content-length', wheel.length)
        .write(wheel.subarray(0, 100), () => response.destroy())
    }
    await assert.rejects(fetchHere(), /the connection was cut/)
    assert.deepEqual(inCache(), [])
    sendWheel = whole
    assert.equal((await fetchHere()).from, env.ELECTRA_TORCH_INDEX)
  })

  it('passes over a server that never answers, and a download that stands still', async () => {
    const whole = sendPage
    sendPage = () => undefined
    await assert.rejects(fetchHere({ answer_ms: 50 }), /127\.0\.0\.1:\d+ did not answer within 0\.05 s/)
    sendPage = whole
    sendWheel = (response) => response.setHeader('content-length', wheel.length).write(wheel.subarray(0, 100))
    await assert.rejects(fetchHere({ stall_ms: 50 }), /the download stood still for 0\.05 s/)
    assert.deepEqual(inCache(), [])
  })

  it('lists every source with its reason, and the remedy', async () => {
    sendPage = (response) => response.writeHead(503).end()
    await assert.rejects(fetchHere(), (error) => {
      assert.ok(error instanceof Error)
      const [first, ...rest] = error.message.split('\n')
      assert.equal(first, 'No libtorch 2.13.0 could be had:')
      for (const [index, source] of [
        /^ {2}- LIBTORCH: the environment variable LIBTORCH is not set$/,
        /^ {2}- the cache: there is no folder /,
        /^ {2}- Python: python3 has no torch installed$/,
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
    sendPage = (response) => response.writeHead(503).end()
    const pip = `cp ${join(folder, 'made.whl')} "$dest/${WHEEL}"`
    const script = readFileSync(join(folder, 'bin', 'python3'), 'utf8').replace(
      'exec ',
      `if [ "$2" = pip ]; then while [ $# -gt 1 ]; do [ "$1" = --dest ] && dest=$2; shift; done; [ -z "$dest" ] || ${pip}; exit; fi\nexec `,
    )
    writeFileSync(join(folder, 'bin', 'python3'), script, { mode: 0o755 })
    assert.equal((await fetchHere()).from, 'pip download')
    assert.match(lines.join('\n'), /\/whl\/ is passed over: .* answered 503/)
  })

  for (const [what, fake, message] of [
    ['a CUDA build', { cuda: true }, /the CUDA build of libtorch 2\.13\.0 .* lacks .*: libcudart\.so\.99/],
    ['another version', { version: '2.12.0' }, /it brought 2\.12\.0 \(cpu\), not 2\.13\.0 \(cpu\)/],
    ['a wheel without libc10', { without: ['lib/libc10.so'] }, /lacks libc10\.so/],
  ] as const) {
    it(`looks at what came before it is believed: ${what} under the same name`, async () => {
      wheel = makeWheel(folder, { ...fake, without: 'without' in fake ? [...fake.without] : [] })
      sha256 = createHash('sha256').update(wheel).digest('hex')
      await assert.rejects(fetchHere(), message)
      assert.deepEqual(inCache(), [])
    })
  }

  it('says so where LIBTORCH names one that cannot be used', async () => {
    await fetchHere()
    env.LIBTORCH = writeFakeLibtorch(join(folder, 'old'), { version: '2.9.1' })
    assert.equal((await fetchHere()).from, 'the cache')
    assert.match(lines.at(-1) ?? '', /^LIBTORCH is passed over: libtorch 2\.9\.1 in .* is not supported/)
  })

  it('fetches anew where the cache was damaged', async () => {
    await fetchHere()
    rmSync(join(cacheEntry(PINNED_VERSION, 'cpu', env), 'lib', 'libc10.so'))
    assert.equal((await fetchHere()).from, env.ELECTRA_TORCH_INDEX)
    assert.deepEqual(inCache(), [`libtorch-2.13.0-cpu-linux-${process.arch}`])
  })

  it('lets two at once both succeed', async () => {
    const waiting: ServerResponse[] = []
    const whole = sendWheel
    sendWheel = (response) => {
      waiting.push(response)
      if (waiting.length === 2) waiting.forEach(whole)
    }
    const both = await Promise.all([fetchHere(), fetchHere()])
    assert.deepEqual(
      both.map((one) => one.folder),
      [cacheEntry(PINNED_VERSION, 'cpu', env), cacheEntry(PINNED_VERSION, 'cpu', env)],
    )
    assert.deepEqual(inCache(), [`libtorch-2.13.0-cpu-linux-${process.arch}`])
  })

  it('clears away what a killed download left, and only that', async () => {
    const asked = new Promise<void>((resolve) => {
      sendWheel = (response) => {
        response.setHeader('content-length', wheel.length).write(wheel.subarray(0, 100))
        resolve()
      }
    })
    const killed = startFetching()
    await asked
    assert.equal(inCache().length, 1, 'its workplace')
    killed.kill('SIGKILL')
    await once(killed, 'exit')
    assert.equal(existsSync(cacheEntry(PINNED_VERSION, 'cpu', env)), false)

    sendWheel = (response) => response.setHeader('content-length', wheel.length).end(wheel)
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
    assert.deepEqual(requests, [])
  })
})
