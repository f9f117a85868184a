import assert from 'node:assert/strict'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { Readable } from 'node:stream'
import { ElectraError } from '../../lib/errors'
import type { DownloadProgress } from '../../lib/types'
import { etagOf } from '../fixtures/hub-server'
import { tinyModel, Workspace } from '../fixtures/hub-workspace'

const ID = 'org/tiny'
const FILES = tinyModel()
const WEIGHTS = Buffer.from(FILES['model.safetensors'] ?? '')
const ETAG = etagOf('model.safetensors', WEIGHTS)
const READ = ['config.json', 'vocab.txt', 'model.safetensors']

describe('a download from the hub', () => {
  let workspace: Workspace

  beforeEach(async () => {
    workspace = await Workspace.open()
    workspace.server.commit(ID, FILES)
  })

  afterEach(() => workspace.close())

  const weights = (): string => join(workspace.repository(ID), 'snapshots', sha(), 'model.safetensors')
  const sha = (): string => readdirSync(join(workspace.repository(ID), 'snapshots'))[0] ?? ''
  const refused =
    (pattern: RegExp, code = 'DOWNLOAD_FAILED') =>
    (error: unknown) => {
      assert.ok(error instanceof ElectraError, String(error))
      assert.equal(error.code, code)
      assert.match(error.message, pattern)
      return true
    }
  /** No file that anybody would believe: neither a blob nor a pointer, and nothing offline. */
  const nothingIsBelieved = async (): Promise<void> => {
    assert.ok(!workspace.blobs(ID).includes(ETAG), 'a blob has the name of a whole one')
    assert.ok(!existsSync(weights()), 'the snapshot shows weights')
    await assert.rejects(workspace.locate(ID, { local_files_only: true }), { code: 'CHECKPOINT_NOT_FOUND' })
  }
  const recovers = async (): Promise<void> => {
    workspace.server.fault = () => undefined
    await workspace.locate(ID)
    assert.deepEqual(readFileSync(weights()), WEIGHTS)
    assert.deepEqual(
      workspace.blobs(ID).filter((name) => name.includes('incomplete')),
      [],
    )
  }

  it('brings the files that are read, in the layout of Python, and tells how far it is', async () => {
    const seen: DownloadProgress[] = []
    const { path, notes } = await workspace.locate(ID, { on_progress: (progress) => seen.push(progress) })
    assert.deepEqual(notes, [])
    assert.deepEqual(readdirSync(path).sort(), [...READ].sort())
    for (const name of READ) {
      const bytes = Buffer.from(FILES[name] ?? '')
      assert.equal(readlinkSync(join(path, name)), `../../blobs/${etagOf(name, bytes)}`)
      assert.deepEqual(readFileSync(join(path, name)), bytes)
      const last = seen.filter(({ file }) => file === name).at(-1)
      assert.deepEqual(last, { file: name, loaded: bytes.length, total: bytes.length })
    }
    assert.equal(seen[0]?.loaded, 0)
    assert.equal(readFileSync(join(workspace.repository(ID), 'refs', 'main'), 'utf8'), basename(path))
    assert.equal(workspace.blobs(ID).length, READ.length)
    assert.deepEqual(workspace.server.downloads(), READ)
  })

  it('asks for no file that the cache has, and for nothing at all where a commit is named', async () => {
    const first = await workspace.locate(ID)
    workspace.server.seen.length = 0
    const seen: DownloadProgress[] = []
    const second = await workspace.locate(ID, { on_progress: (progress) => seen.push(progress) })
    assert.deepEqual(second, first)
    assert.deepEqual([workspace.server.downloads(), seen], [[], []])
    workspace.server.seen.length = 0
    await workspace.locate(ID, { revision: basename(first.path) })
    assert.deepEqual(workspace.server.seen, [])
  })

  it('shares blobs between commits, and follows a branch that moved', async () => {
    const before = await workspace.locate(ID)
    const config = String(FILES['config.json']).replace('{', '{ ')
    workspace.server.commit(ID, { ...FILES, 'config.json': config })
    workspace.server.seen.length = 0
    const after = await workspace.locate(ID)
    assert.notEqual(after.path, before.path)
    assert.deepEqual(workspace.server.downloads(), ['config.json'])
    assert.equal(readFileSync(join(after.path, 'config.json'), 'utf8'), config)
    const offline = await workspace.locate(ID, { local_files_only: true })
    assert.equal(offline.path, after.path)
  })

  it('brings one set of weights: safetensors before pickles, whole before shards', async () => {
    const { 'config.json': config = '', 'vocab.txt': vocab = '' } = FILES
    const small = { 'config.json': config, 'vocab.txt': vocab }
    const index = (...shards: string[]): string =>
      JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, i) => [`tensor ${i}`, shard])) })
    const sets = {
      'model.safetensors': ['model.safetensors'],
      'model.safetensors.index.json': ['model-1.safetensors', 'parts/model-2.safetensors'],
      'pytorch_model.bin': ['pytorch_model.bin'],
      'pytorch_model.bin.index.json': ['pytorch_model-1.bin', 'pytorch_model-2.bin'],
    }
    let files: Record<string, string> = { 'pytorch_model-3.bin': 'a stray one' }
    for (const [name, parts] of Object.entries(sets).reverse()) {
      for (const part of parts) files = { ...files, [part]: `content of ${part}` }
      if (name.endsWith('.index.json')) files = { ...files, [name]: index(...parts, parts[0] ?? '') }
      workspace.server.commit('org/sets', { ...small, ...files })
      workspace.server.seen.length = 0
      const { path } = await workspace.locate('org/sets')
      const fresh = workspace.server.downloads().filter((file) => !(file in small))
      assert.deepEqual(fresh, name === parts[0] ? parts : [name, ...parts])
      const there = readdirSync(path, { recursive: true, withFileTypes: true })
      const names = there.filter((entry) => !entry.isDirectory()).map((entry) => entry.name)
      assert.deepEqual(names.sort(), [...Object.keys(small), ...fresh.map((file) => basename(file))].sort())
      assert.equal((await workspace.locate('org/sets', { local_files_only: true })).path, path)
      // Without its last part it is no model.
      unlinkSync(join(path, parts.at(-1) ?? ''))
      await assert.rejects(workspace.locate('org/sets', { local_files_only: true }), {
        code: 'CHECKPOINT_NOT_FOUND',
      })
    }
  })

  it('mends a cut by itself, from where it was', async () => {
    let cuts = 0
    workspace.server.fault = ({ host }) => (host === 'cdn' && cuts++ < 3 ? { cut_after: 10_000 } : undefined)
    await workspace.locate(ID)
    const ranges = workspace.server.seen.filter(({ host }) => host === 'cdn').map(({ range }) => range)
    assert.equal(ranges.length, 4)
    assert.equal(ranges[0], undefined)
    assert.equal(ranges[3], 'bytes=30000-')
    assert.deepEqual(readFileSync(weights()), WEIGHTS)
  })

  it('says so when nothing more comes, and goes on from there next time', async () => {
    let requests = 0
    workspace.server.fault = ({ host }) =>
      host === 'cdn' ? { cut_after: requests++ === 0 ? 40_000 : 0 } : undefined
    const size = WEIGHTS.length
    await assert.rejects(
      workspace.locate(ID),
      refused(
        new RegExp(`download of model\\.safetensors was cut after 40000 of ${size} bytes .*run it again`),
      ),
    )
    await nothingIsBelieved()
    workspace.server.seen.length = 0
    const seen: DownloadProgress[] = []
    workspace.server.fault = () => undefined
    await workspace.locate(ID, { on_progress: (progress) => seen.push(progress) })
    assert.deepEqual(seen[0], { file: 'model.safetensors', loaded: 40_000, total: size })
    assert.deepEqual(
      workspace.server.seen.filter(({ host }) => host === 'cdn').map(({ range }) => range),
      ['bytes=40000-'],
    )
    await recovers()
  })

  it('begins again where the server knows no ranges', async () => {
    let requests = 0
    workspace.server.fault = ({ host }) => {
      if (host !== 'cdn') return undefined
      return requests++ === 0 ? { cut_after: 40_000 } : { ignore_range: true }
    }
    await workspace.locate(ID)
    assert.deepEqual(readFileSync(weights()), WEIGHTS)
  })

  it('throws away what has the wrong hash, large file or small', async () => {
    const wrong = Buffer.from(WEIGHTS)
    wrong.writeUInt8(wrong.readUInt8(50_000) ^ 1, 50_000)
    workspace.server.fault = ({ host }) => (host === 'cdn' ? { body: wrong } : undefined)
    await assert.rejects(workspace.locate(ID), refused(/model\.safetensors arrived damaged .*try again/))
    await nothingIsBelieved()
    assert.equal(
      workspace.blobs(ID).some((name) => name.startsWith(ETAG)),
      false,
    )
    await recovers()

    workspace.server.commit(ID, { ...FILES, 'config.json': '{ }' })
    workspace.server.fault = ({ path }) => (path.endsWith('config.json') ? { body: '{!}' } : undefined)
    await assert.rejects(workspace.locate(ID), refused(/config\.json arrived damaged/))
  })

  it('fetches a file anew, whole, where its beginning on the disk is damaged', async () => {
    let requests = 0
    workspace.server.fault = ({ host }) =>
      host === 'cdn' ? { cut_after: requests++ === 0 ? 40_000 : 0 } : undefined
    await assert.rejects(workspace.locate(ID), refused(/was cut/))
    const partial = workspace.blobs(ID).find((name) => name.startsWith(ETAG)) ?? ''
    writeFileSync(join(workspace.repository(ID), 'blobs', partial), Buffer.alloc(40_000))
    await recovers()
    // More on the disk than there is of the file.
    writeFileSync(join(workspace.repository(ID), 'blobs', partial), Buffer.alloc(WEIGHTS.length + 5))
    truncateSync(join(workspace.repository(ID), 'blobs', ETAG), 0)
    await recovers()
  })

  it('takes no more than the file has', async () => {
    const more = Buffer.concat([WEIGHTS, Buffer.alloc(1000)])
    workspace.server.fault = ({ host }) => (host === 'cdn' ? { body: more } : undefined)
    await assert.rejects(workspace.locate(ID), refused(/More came for model\.safetensors than its \d+ bytes/))
    await nothingIsBelieved()
    await recovers()
  })

  it('says so when the server goes silent', async () => {
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = '0.2'
    const never = new Promise(() => undefined)
    workspace.server.fault = ({ host }) => (host === 'cdn' ? { hold_after: 0, until: never } : undefined)
    await assert.rejects(workspace.locate(ID), refused(/cut after 0 of .*nothing came for 0\.2 s/))
    await nothingIsBelieved()
    await recovers()
  })

  it('says that the disk is full, and believes nothing of it later', async function () {
    if (!existsSync('/dev/full')) {
      console.log('      skipped: there is no /dev/full on this system')
      this.skip()
    }
    const blobs = join(workspace.repository(ID), 'blobs')
    mkdirSync(blobs, { recursive: true })
    const partial = join(blobs, `${ETAG}.electra.incomplete`)
    symlinkSync('/dev/full', partial)
    await assert.rejects(
      workspace.locate(ID),
      refused(/The disk that holds the cache .* is full, and model\.safetensors has \d+ bytes; make room/),
    )
    assert.ok(lstatSync(partial).isSymbolicLink())
    await nothingIsBelieved()
  })

  it('says which cache cannot be written', async () => {
    writeFileSync(join(workspace.home, 'hub'), 'a file where the folder should be')
    await assert.rejects(workspace.locate(ID), refused(/The cache .* cannot be written .*HF_HUB_CACHE/))
  })

  it('ends with the reason of an abort, and goes on from there next time', async () => {
    const controller = new AbortController()
    const never = new Promise(() => undefined)
    workspace.server.fault = ({ host }) => (host === 'cdn' ? { hold_after: 40_000, until: never } : undefined)
    const reason = new Error('enough')
    const on_progress = ({ file, loaded }: DownloadProgress): void => {
      if (file === 'model.safetensors' && loaded > 0) controller.abort(reason)
    }
    await assert.rejects(workspace.locate(ID, { signal: controller.signal, on_progress }), reason)
    await nothingIsBelieved()
    assert.deepEqual(readdirSync(join(workspace.home, 'hub', '.locks', 'models--org--tiny')), [])
    workspace.server.seen.length = 0
    await recovers()
    assert.match(workspace.server.seen.at(-1)?.range ?? '', /^bytes=[1-9]\d*-$/)
  })

  it('is done once for two calls in one process', async () => {
    const [one, two] = await Promise.all([workspace.locate(ID), workspace.locate(ID)])
    assert.deepEqual(one, two)
    assert.deepEqual(workspace.server.downloads().sort(), [...READ].sort())
  })

  it('stands two that hold the lock at once', async () => {
    const lock = join(workspace.home, 'hub', '.locks', 'models--org--tiny', `${ETAG}.electra.lock`)
    let bothAsked: () => void = () => undefined
    const until = new Promise<void>((resolve) => (bothAsked = resolve))
    let asked = 0
    workspace.server.fault = ({ host }) => {
      if (host !== 'cdn') return undefined
      if (++asked === 2) bothAsked()
      rmSync(lock)
      return { hold_after: 40_000, until }
    }
    const [one, two] = await Promise.all([workspace.locate(ID), workspace.locate(ID)])
    assert.deepEqual(one, two)
    assert.equal(asked, 2)
    assert.deepEqual(readFileSync(weights()), WEIGHTS)
    await recovers()
  })

  describe('by several processes', function () {
    this.timeout(120_000)
    const MAIN = join(__dirname, '..', 'fixtures', 'locate-model.ts')

    interface Process {
      child: ChildProcessByStdio<null, Readable, null>
      lines: Interface
    }

    function start(): Process {
      const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ID], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      return { child, lines: createInterface({ input: child.stdout }) }
    }

    async function lastLine({ child, lines }: Process): Promise<Record<string, unknown>> {
      let last = ''
      const exit = once(child, 'close')
      for await (const line of lines) last = line
      await exit
      return JSON.parse(last) as Record<string, unknown>
    }

    it('is done once, and the others wait for it', async () => {
      let everybodyAsked: () => void = () => undefined
      const until = new Promise<void>((resolve) => (everybodyAsked = resolve))
      let asked = 0
      workspace.server.fault = ({ host, path }) => {
        // Before a process asks for the files' sizes it knows of none, and after that it wants all of them.
        if (path.includes('/paths-info/') && ++asked === 3) everybodyAsked()
        return host === 'cdn' ? { hold_after: 40_000, until } : undefined
      }
      const outcomes = await Promise.all([start(), start(), start()].map(lastLine))
      const [first] = outcomes
      assert.ok(first && typeof first.path === 'string', JSON.stringify(first))
      for (const outcome of outcomes) assert.deepEqual(outcome, { path: first.path, notes: [] })
      assert.deepEqual(workspace.server.downloads().sort(), [...READ].sort())
      assert.deepEqual(readFileSync(weights()), WEIGHTS)
      assert.deepEqual(readdirSync(join(workspace.home, 'hub', '.locks', 'models--org--tiny')), [])
    })

    it('is taken over from one that was killed', async () => {
      const never = new Promise(() => undefined)
      workspace.server.fault = ({ host }) =>
        host === 'cdn' ? { hold_after: 40_000, until: never } : undefined
      const victim = start()
      const exit = once(victim.child, 'close')
      for await (const line of victim.lines) {
        const { file, loaded } = JSON.parse(line) as DownloadProgress
        if (file === 'model.safetensors' && loaded > 0) victim.child.kill('SIGKILL')
      }
      await exit
      await nothingIsBelieved()
      const locks = readdirSync(join(workspace.home, 'hub', '.locks', 'models--org--tiny'))
      assert.deepEqual(locks, [`${ETAG}.electra.lock`])
      workspace.server.seen.length = 0
      await recovers()
      assert.match(workspace.server.seen.at(-1)?.range ?? '', /^bytes=[1-9]\d*-$/)
    })

    it('is not held up by the lock of a process that is no more', async function () {
      // Less than it takes for a lock without a sign of life, such as one from another machine.
      this.timeout(20_000)
      const gone = spawn(process.execPath, ['-e', ''])
      await once(gone, 'exit')
      const lock = join(workspace.home, 'hub', '.locks', 'models--org--tiny', `${ETAG}.electra.lock`)
      mkdirSync(dirname(lock), { recursive: true })
      writeFileSync(lock, `${gone.pid ?? 0} ${hostname()}\n`)
      await recovers()
    })
  })
})
