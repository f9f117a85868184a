import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ElectraError, type ErrorCode } from '../../lib/errors'
import { findLibtorch, inspectLibtorch, PINNED_VERSION } from '../../lib/libtorch'
import { installLibtorch, type InstallOptions, type PlanSizes } from '../../lib/libtorch/install'
import { CPU_WHEEL, CUDA_WHEEL, cudaWheels, torchWheel, WheelServer, writeWheels } from '../fixtures/wheels'

const MAIN = resolve(__dirname, '..', '..', 'dist', 'cli', 'main.js')
const CPU_ENTRY = `libtorch-${PINNED_VERSION}-cpu-linux-${process.arch}`
const CUDA_ENTRY = `libtorch-${PINNED_VERSION}-cu130-linux-${process.arch}`

describe('install-libtorch', () => {
  let folder: string
  let cache: string
  let env: NodeJS.ProcessEnv
  let server: WheelServer

  before(function () {
    if (process.platform === 'linux') return
    console.log('      skipped: the fake libraries are Linux ones')
    this.skip()
  })
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'electra-install-'))
    cache = join(folder, 'cache', 'electra-classifier')
    env = { HOME: folder, XDG_CACHE_HOME: join(folder, 'cache'), PATH: join(folder, 'bin') }
    server = await WheelServer.start({ [CPU_WHEEL]: torchWheel() })
  })
  afterEach(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const install = (options: InstallOptions = {}) => installLibtorch({ env, from: server.index, ...options })
  const inCache = () => (existsSync(cache) ? readdirSync(cache).sort() : [])
  const refused = async (work: Promise<unknown>, code: ErrorCode, message: RegExp) => {
    await assert.rejects(work, (error) => {
      assert.ok(error instanceof ElectraError, String(error))
      assert.equal(error.code, code)
      assert.match(error.message, message)
      return true
    })
  }
  const filesIn = (path: string) =>
    readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
      .sort()

  it('keeps what is used at run time, in an entry that is found from then on', async () => {
    const { entry, was_there, libtorch } = await install()
    assert.deepEqual([entry, was_there, libtorch.build], [join(cache, CPU_ENTRY), false, 'cpu'])
    const libraries = ['libc10.so', 'libtorch.so', 'libtorch_cpu.so'].map((name) => `torch/lib/${name}`)
    assert.deepEqual(filesIn(entry), ['.checked', 'torch/build-version', ...libraries])
    assert.deepEqual(inCache(), [CPU_ENTRY])
    assert.equal((await findLibtorch(undefined, { env })).found?.folder, join(entry, 'torch'))
    assert.equal((await install()).was_there, true)
    assert.equal(server.downloads().length, 1)
  })

  it('takes a wheel, a folder and a file:// address without any network', async () => {
    const wheels = writeWheels(join(folder, 'my wheels é'), { [CPU_WHEEL]: torchWheel() })
    const wheel = join(wheels, CPU_WHEEL)
    for (const [number, from] of [wheel, wheels, pathToFileURL(wheel).href].entries()) {
      const { entry } = await install({ from, folder: join(folder, `at ${number}`) })
      assert.equal(inspectLibtorch(entry).version, PINNED_VERSION)
      assert.ok(existsSync(wheel))
    }
    assert.deepEqual(server.seen, [])
  })

  it('takes the address of a wheel', async () => {
    const { libtorch } = await install({ from: server.index + encodeURIComponent(CPU_WHEEL) })
    assert.equal(libtorch.version, PINNED_VERSION)
  })

  it('installs into a folder of its own, which LIBTORCH can name', async () => {
    const there = join(folder, 'opt', 'libtorch')
    const { entry } = await install({ folder: there })
    assert.equal(entry, there)
    assert.deepEqual(inCache(), [])
    assert.deepEqual(readdirSync(join(folder, 'opt')), ['libtorch'])
    const { found } = await findLibtorch(undefined, { env: { ...env, LIBTORCH: there } })
    assert.equal(found?.folder, join(there, 'torch'))
    const mine = join(folder, 'mine')
    mkdirSync(mine)
    writeFileSync(join(mine, 'thesis.txt'), 'x')
    await assert.rejects(
      install({ folder: mine }),
      /RangeError: --dir names .*mine, which holds something else/,
    )
  })

  it('goes on where a download was cut', async () => {
    server.fault = ({ what, range }) =>
      what === CPU_WHEEL && range === undefined
        ? { cut_after: 1000 }
        : range?.endsWith('-')
          ? { status: 503 }
          : undefined
    await refused(install(), 'DOWNLOAD_FAILED', /answered 503/)
    assert.deepEqual(inCache(), ['downloads'])
    server.fault = () => undefined
    await install()
    assert.deepEqual(
      server.downloads().map(({ range }) => range),
      [undefined, 'bytes=1000-', 'bytes=1000-'],
    )
    assert.deepEqual(inCache(), [CPU_ENTRY])
  })

  it('takes servers that send no ranges', async () => {
    server.fault = () => ({ ignore_range: true })
    assert.equal((await install()).libtorch.version, PINNED_VERSION)
  })

  it('refuses a wheel with another SHA-256 than the index says, and keeps nothing of it', async () => {
    server.fragment = () => `#sha256=${'a'.repeat(64)}`
    await refused(
      install(),
      'DOWNLOAD_FAILED',
      /arrived damaged \(its hash is [0-9a-f]{12}…, not a{12}…\).* try again/,
    )
    assert.deepEqual(readdirSync(join(cache, 'downloads')), [])
    server.fragment = () => ''
    await refused(install(), 'DOWNLOAD_FAILED', /gives no SHA-256 for torch-2\.13\.0\+cpu/)
  })

  it('refuses a damaged wheel on the disk, by the hashes in it', async () => {
    const wrong = torchWheel({ wrong_record: ['torch/lib/libc10.so'] })
    const path = join(writeWheels(folder, { [CPU_WHEEL]: wrong }), CPU_WHEEL)
    await refused(
      install({ from: path }),
      'DOWNLOAD_FAILED',
      /libc10\.so has another SHA-256 than RECORD says.*get it again/,
    )
    writeFileSync(path, torchWheel().subarray(0, -50))
    await refused(install({ from: path }), 'DOWNLOAD_FAILED', /is no wheel, or a damaged one/)
    assert.deepEqual(inCache(), [])
  })

  it('writes nothing outside of its folder, whatever a wheel says', async () => {
    const more = Object.fromEntries(
      [
        'torch/lib/../../../evil.so',
        '../torch/lib/evil.so',
        '/torch/lib/evil.so',
        'torch/lib/..\\evil.so',
      ].map((name) => [name, 'x']),
    )
    writeWheels(folder, { [CPU_WHEEL]: torchWheel({ more }) })
    await install({ from: join(folder, CPU_WHEEL) })
    assert.deepEqual(
      filesIn(folder).filter((name) => name.includes('evil')),
      [],
    )
  })

  it('looks at the space on the disk before it begins', async () => {
    server.wheels = { [CPU_WHEEL]: torchWheel({ claimed: { 'torch/lib/libtorch_cpu.so': 2 ** 52 } }) }
    await refused(
      install(),
      'DOWNLOAD_FAILED',
      /takes 4503599\.\d+ GB, and the disk of .* has [\d.]+ [MG]B free; make room, or .*--dir/,
    )
    assert.equal(server.downloads().length, 0)
    assert.ok(!inCache().includes(CPU_ENTRY))
  })

  it('says that a disk filled up under it', async function () {
    const small = join(folder, 'small')
    mkdirSync(small)
    const mount = spawn('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', small], { stdio: 'ignore' })
    const [code] = (await Promise.race([once(mount, 'close'), once(mount, 'error').then(() => [1])])) as [
      number,
    ]
    if (code !== 0) {
      console.log('      skipped: a small disk cannot be mounted here')
      this.skip()
    }
    try {
      const on_progress = ({ loaded }: { loaded: number }) => {
        if (loaded === 0) appendFileSync(join(small, 'ballast'), Buffer.alloc(1 << 20))
      }
      // Only what fits of the ballast is written, and it is full.
      const fill: InstallOptions['on_progress'] = (progress) => {
        try {
          on_progress(progress)
        } catch (error) {
          assert.match(String(error), /ENOSPC/)
        }
      }
      await refused(
        install({ folder: join(small, 'libtorch'), on_progress: fill }),
        'DOWNLOAD_FAILED',
        /The disk of .*small\/libtorch is full; make room and run it again, name another folder with --dir/,
      )
      assert.ok(!existsSync(join(small, 'libtorch')))
    } finally {
      await once(spawn('umount', [small], { stdio: 'ignore' }), 'close')
    }
  })

  it('says which folder cannot be written', async function () {
    if (process.getuid?.() === 0) {
      // Root may write everywhere but below a file.
      writeFileSync(join(folder, 'cache'), 'a file')
      await refused(
        install(),
        'DOWNLOAD_FAILED',
        /electra-classifier cannot be written \(ENOTDIR.*make it writable.*--dir/,
      )
      return
    }
    mkdirSync(join(folder, 'cache'))
    chmodSync(join(folder, 'cache'), 0o500)
    await refused(
      install(),
      'DOWNLOAD_FAILED',
      /electra-classifier cannot be written \(EACCES.*make it writable.*--dir/,
    )
  })

  it('refuses builds that nobody publishes, by their names', async () => {
    await assert.rejects(
      install({ variant: 'cu128' }),
      /RangeError: PyTorch publishes no cu128 build of torch 2\.13 \(of 2\.11 it does\); choose cpu, cu126, cu130, cu132\./,
    )
    assert.deepEqual(server.seen, [])
  })

  for (const [what, fake, code, message] of [
    [
      'a CUDA build',
      { cuda: true, version: '2.13.0+cu130' },
      'LIBTORCH_MISMATCH',
      /is the cu130 build of torch 2\.13\.0, not cpu; say --variant cu130/,
    ],
    [
      'a build that is not known',
      { version: '2.13.0+rocm7.2' },
      'LIBTORCH_MISMATCH',
      /2\.13\.0\+rocm7\.2, a build that is not known here/,
    ],
    [
      'an old version',
      { version: '2.9.1+cpu' },
      'LIBTORCH_MISMATCH',
      /is torch 2\.9\.1; 2\.11 to 2\.15 are supported/,
    ],
    ['a wheel without libc10', { without: ['lib/libc10.so'] }, 'LIBTORCH_NOT_FOUND', /lacks libc10\.so/],
  ] as const) {
    it(`looks at what is inside before it is believed: ${what}`, async () => {
      server.wheels = {
        [CPU_WHEEL]: torchWheel({ ...fake, without: 'without' in fake ? [...fake.without] : [] }),
      }
      await refused(install({ variant: 'cpu' }), code, message)
      assert.ok(!inCache().includes(CPU_ENTRY))
    })
  }

  it('finds damage in the cache by size at each start, by content when it installs, and mends both', async () => {
    const { entry } = await install()
    const library = join(entry, 'torch', 'lib', 'libtorch_cpu.so')
    const whole = readFileSync(library)
    writeFileSync(library, whole.subarray(0, -1))
    const { found, tried } = await findLibtorch(undefined, { env })
    assert.equal(found, undefined)
    assert.match(
      tried[1]?.reason ?? '',
      /is damaged \(torch\/lib\/libtorch_cpu\.so has \d+ bytes instead of \d+\)/,
    )
    assert.equal((await install()).was_there, false)
    assert.deepEqual(readFileSync(library), whole)

    writeFileSync(library, Buffer.from(whole).fill(7, whole.length - 1))
    assert.equal((await install()).was_there, false)
    assert.deepEqual(readFileSync(library), whole)
    assert.deepEqual(inCache(), [CPU_ENTRY])
  })

  it('lets two at once both succeed, with one download', async () => {
    let go = (): void => undefined
    const both = new Promise<void>((settle) => (go = settle))
    server.fault = ({ what, range }) =>
      what === CPU_WHEEL && range === undefined ? { hold_after: 100, until: both } : undefined
    const first = install()
    const second = install({
      on_plan: go,
    })
    const entries = await Promise.all([first, second])
    assert.deepEqual(
      entries.map(({ entry }) => entry),
      [join(cache, CPU_ENTRY), join(cache, CPU_ENTRY)],
    )
    assert.equal(server.downloads().length, 1)
    assert.deepEqual(inCache(), [CPU_ENTRY])
  })

  it('stops at once when it is asked to, and leaves a download to go on from', async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    server.fault = ({ what, range }) =>
      what === CPU_WHEEL && range === undefined
        ? { hold_after: 500, until: new Promise(() => undefined) }
        : undefined
    const on_progress = ({ loaded }: { loaded: number }) => {
      if (loaded > 0) controller.abort(reason)
    }
    await assert.rejects(install({ signal: controller.signal, on_progress }), reason)
    assert.deepEqual(inCache(), ['downloads'])
  })

  it('gives up on a server that never answers, and on a download that stands still', async () => {
    const never = new Promise(() => undefined)
    server.fault = () => ({ silent_until: never })
    await refused(
      install({ answer_ms: 50 }),
      'DOWNLOAD_FAILED',
      /could not be reached \(it did not answer within 0\.05 s\); check the connection/,
    )
    server.fault = ({ what, range }) =>
      what === CPU_WHEEL && range === undefined
        ? { hold_after: 100, until: never }
        : what === CPU_WHEEL && range?.endsWith('0-')
          ? { hold_after: 0, until: never }
          : undefined
    await refused(
      install({ stall_ms: 100 }),
      'DOWNLOAD_FAILED',
      /cut after 100 of \d+ bytes|nothing came for 0\.1 s/,
    )
  })

  describe('for CUDA', () => {
    it("brings NVIDIA's libraries at the pinned versions to where the search paths lead", async () => {
      server.wheels = cudaWheels()
      const plans: PlanSizes[] = []
      const { entry, libtorch } = await install({ variant: 'cu130', on_plan: (plan) => plans.push(plan) })
      assert.equal(entry, join(cache, CUDA_ENTRY))
      assert.deepEqual([libtorch.variant, libtorch.build], ['cuda', 'cu130'])
      assert.deepEqual(filesIn(join(entry, 'nvidia')), [
        'cu13/lib/libcublas.so.99',
        'cu13/lib/libcudart.so.99',
        'cudnn/lib/libcudnn.so.99',
      ])
      // The one that others need without a pin came at its newest; what only compilers use did not come at all.
      assert.deepEqual(
        plans[0]?.wheels.map((name) => name.split('-').slice(0, 2).join(' ')),
        [
          'torch 2.13.0+cu130',
          'nvidia_cudnn_cu13 9.20.0.48',
          'nvidia_cuda_runtime 13.0.96',
          'nvidia_cublas 13.1.1.3',
        ],
      )
      const bytes = filesIn(entry)
        .filter((name) => name.includes('.so'))
        .reduce((sum, name) => sum + statSync(join(entry, name)).size, 0)
      assert.equal(plans[0].disk, bytes)
      assert.ok(plans[0].left_out > 0)
      assert.equal((await findLibtorch(undefined, { env })).found?.build, 'cu130')
    })

    it('takes them from a folder, and names the one that is not there', async () => {
      const wheels = cudaWheels()
      const from = join(writeWheels(join(folder, 'wheels'), wheels), CUDA_WHEEL)
      assert.equal((await install({ from })).libtorch.build, 'cu130')
      rmSync(
        join(folder, 'wheels', Object.keys(wheels).find((name) => name.includes('cudnn_cu13-9.20')) ?? ''),
      )
      await refused(
        install({ from, folder: join(folder, 'other') }),
        'DOWNLOAD_FAILED',
        /has no wheel of nvidia-cudnn-cu13==9\.20\.0\.48 beside torch, which needs it; `pip download` brings both/,
      )
    })
  })

  describe('through a proxy', () => {
    let proxy: Server
    let asked: string[]
    let answer: (socket: Socket) => boolean
    const saved = { ...process.env }

    beforeEach(async () => {
      asked = []
      answer = () => true
      proxy = createServer((_, response) => response.writeHead(405).end())
      proxy.on('connect', (request: { url?: string }, socket: Socket, head: Buffer) => {
        asked.push(request.url ?? '')
        if (!answer(socket)) return
        const [, port] = (request.url ?? '').split(':')
        // Whatever the name: behind the proxy it is this machine.
        const upstream = connect(Number(port), '127.0.0.1', () => {
          socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
          upstream.write(head)
          upstream.pipe(socket).pipe(upstream)
        })
        upstream.on('error', () => socket.destroy())
        socket.on('error', () => upstream.destroy())
      })
      proxy.listen(0, '127.0.0.1')
      await once(proxy, 'listening')
      for (const name of Object.keys(process.env))
        if (/_proxy$/i.test(name)) Reflect.deleteProperty(process.env, name)
      process.env.HTTP_PROXY = `http://user:secret@127.0.0.1:${(proxy.address() as AddressInfo).port}`
    })
    afterEach(async () => {
      for (const name of ['HTTP_PROXY', 'NO_PROXY']) Reflect.deleteProperty(process.env, name)
      Object.assign(process.env, saved)
      proxy.close()
      proxy.closeAllConnections()
      await once(proxy, 'close')
    })

    const named = () => server.index.replace('127.0.0.1', 'wheels.invalid')

    it('reaches an index that only the proxy can', async () => {
      assert.equal((await install({ from: named() })).libtorch.version, PINNED_VERSION)
      assert.ok(asked.length > 0)
      assert.ok(
        asked.every((target) => target.startsWith('wheels.invalid:')),
        asked.join(),
      )
    })

    it('goes past it for what NO_PROXY names', async () => {
      process.env.NO_PROXY = 'localhost,127.0.0.1'
      assert.equal((await install()).libtorch.version, PINNED_VERSION)
      assert.deepEqual(asked, [])
    })

    it('says that the proxy refuses, and what to do', async () => {
      answer = (socket) => {
        socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
        return false
      }
      await refused(
        install({ from: named() }),
        'DOWNLOAD_FAILED',
        /wheels\.invalid:\d+ could not be reached through the proxy http:\/\/127\.0\.0\.1:\d+ \(.*403.*\); check HTTPS_PROXY, add wheels\.invalid to NO_PROXY/,
      )
    })
  })

  describe('on the command line', () => {
    const children: ChildProcess[] = []
    afterEach(() => {
      for (const child of children.splice(0)) child.kill('SIGKILL')
    })
    const run = async (...argv: string[]) => {
      const child = spawn(process.execPath, [MAIN, ...argv], { env, stdio: ['ignore', 'pipe', 'pipe'] })
      children.push(child)
      const printed = { stdout: '', stderr: '' }
      child.stdout.setEncoding('utf8').on('data', (text: string) => (printed.stdout += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => (printed.stderr += text))
      const [code] = (await once(child, 'close')) as [number]
      return { code, ...printed }
    }

    it('shows sizes first, installs, lists and removes', async () => {
      const installed = await run('install-libtorch', '--from', server.index)
      assert.equal(installed.code, 0, installed.stderr)
      assert.match(
        installed.stderr,
        /^libtorch 2\.13\.0 \(cpu\) for .*\n[\d.]+ MB to download, [\d.]+ MB on the disk; [\d.]+ MB .*left out\n$/,
      )
      assert.match(installed.stdout, /^libtorch 2\.13\.0 \(cpu\) is installed: .*libtorch-2\.13\.0-cpu-linux/)
      assert.match((await run('install-libtorch', '--from', server.index)).stdout, /was there already/)

      assert.match((await run('list')).stdout, /^\* 2\.13\.0 cpu {2}[\d.]+ MB {2}.*libtorch-2\.13\.0-cpu/)
      const rows = JSON.parse((await run('list', '--format', 'json')).stdout) as {
        used: boolean
        build: string
      }[]
      assert.deepEqual(
        rows.map(({ used, build }) => [used, build]),
        [[true, 'cpu']],
      )

      assert.equal((await run('uninstall-libtorch', '--variant', 'cu126')).code, 2)
      assert.match((await run('uninstall-libtorch')).stdout, /^removed .*libtorch-2\.13\.0-cpu/)
      assert.deepEqual(inCache(), [])
      assert.match((await run('list')).stdout, /^none is installed; npx electra-classifier install-libtorch/)
    })

    it('ends with 2 for what cannot be meant and 1 for what failed, in one line', async () => {
      const pair = await run('install-libtorch', '--variant', 'cu128')
      assert.equal(pair.code, 2)
      assert.match(pair.stderr, /^electra-classifier: PyTorch publishes no cu128 build of torch 2\.13 .*\n$/)
      assert.equal((await run('install-libtorch', '--from', join(folder, 'none.whl'))).code, 2)
      server.fault = () => ({ status: 503 })
      const failed = await run('install-libtorch', '--from', server.index)
      assert.equal(failed.code, 1)
      assert.match(failed.stderr, /^electra-classifier: http:.* answered 503 .*--from\.\n$/)
    })
  })
})
