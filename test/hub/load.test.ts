import assert from 'node:assert/strict'
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import { ElectraClassifier, ElectraError, exportArchive, type DownloadProgress } from '../../lib'
import { SHIPPED_MODEL } from '../../lib/checkpoint'
import { tinyModel, Workspace } from '../fixtures/hub-workspace'

const ROOT = join(__dirname, '..', '..')
const MAIN = join(ROOT, 'dist', 'cli', 'main.js')
const ID = 'org/sentiment'
const TEXT = 'I love this restaurant!'

interface Ended {
  stdout: string
  stderr: string
  code: number | null
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  child.stdin.end()
  const closed = once(child, 'close')
  const [stdout, stderr] = await Promise.all([textOf(child.stdout), textOf(child.stderr)])
  const [code] = (await closed) as [number | null]
  return { stdout, stderr, code }
}

function start(...args: string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [MAIN, ...args], { cwd: ROOT })
}

const cli = (...args: string[]): Promise<Ended> => ended(start(...args))

describe('a model from the hub', function () {
  this.timeout(120_000)
  let workspace: Workspace
  let weights: string

  before(async () => {
    workspace = await Workspace.open()
    const names = readdirSync(SHIPPED_MODEL)
    workspace.server.commit(
      ID,
      Object.fromEntries(names.map((name) => [name, readFileSync(join(SHIPPED_MODEL, name))])),
    )
    const traced = join(__dirname, '..', 'fixtures', 'traces', 'mean')
    workspace.server.commit('org/tiny', tinyModel())
    workspace.server.commit(
      'org/traced',
      Object.fromEntries(
        ['config.json', 'vocab.txt', 'model.pt'].map((name) => [name, readFileSync(join(traced, name))]),
      ),
    )
    weights = join(workspace.repository(ID), 'blobs')
  })

  afterEach(() => {
    workspace.server.fault = () => undefined
    workspace.server.seen.length = 0
  })

  after(() => workspace.close())

  const locks = (): string[] => readdirSync(join(workspace.home, 'hub', '.locks', 'models--org--sentiment'))

  it('ends quietly on Ctrl-C, and the next command goes on from there, with a line for each file', async () => {
    const never = new Promise(() => undefined)
    workspace.server.fault = ({ host }) =>
      host === 'cdn' ? { hold_after: 5_000_000, until: never } : undefined
    const child = start('classify', '--model', ID, TEXT)
    const end = ended(child)
    const partial = (): string => {
      const found = existsSync(weights) ? readdirSync(weights) : []
      return join(weights, found.find((name) => name.endsWith('.incomplete')) ?? 'none')
    }
    while ((statSync(partial(), { throwIfNoEntry: false })?.size ?? 0) < 1_000_000) await wait(10)
    child.kill('SIGINT')
    const { stdout, stderr, code } = await end
    assert.deepEqual([stdout, code], ['', 130])
    assert.match(stderr, /^(?:electra-classifier: downloaded (?!model)\S+ \(\d+\.\d [kM]B\)\n){4}$/)
    assert.deepEqual(locks(), [])

    workspace.server.fault = () => undefined
    workspace.server.seen.length = 0
    const next = await cli('classify', '--model', ID, TEXT)
    assert.match(next.stdout, /^positive {2}0\.9\d{3} {2}I love this restaurant!\n$/)
    assert.equal(next.stderr, 'electra-classifier: downloaded model.safetensors (46.3 MB)\n')
    assert.equal(next.code, 0)
    assert.match(workspace.server.seen.find(({ host }) => host === 'cdn')?.range ?? '', /^bytes=[1-9]\d*-$/)
  })

  it('is loaded, and scores as the folder it was served from', async () => {
    const seen: DownloadProgress[] = []
    await using classifier = await ElectraClassifier.load(ID, {
      dtype: 'fp32',
      on_progress: (progress) => seen.push(progress),
    })
    await using folder = await ElectraClassifier.load(SHIPPED_MODEL, { dtype: 'fp32' })
    assert.deepEqual(await classifier.classify(TEXT), await folder.classify(TEXT))
    assert.match(classifier.info.source, /models--org--sentiment\/snapshots\/[0-9a-f]{40}$/)
    // The command before this test has brought everything.
    assert.deepEqual([seen, workspace.server.downloads()], [[], []])
  })

  it('runs from the cache without a hub: offline, and by --local-files-only', async () => {
    const { stdout, code } = await cli('classify', '--local-files-only', '--model', ID, TEXT)
    assert.match(stdout, /^positive/)
    assert.deepEqual([code, workspace.server.seen], [0, []])
    const none = await cli('classify', '--local-files-only', '--model', 'org/none', TEXT)
    assert.match(none.stderr, /^electra-classifier: There is nothing at .*local_files_only forbids .*\n$/)
    assert.deepEqual([none.stdout, none.code], ['', 2])
  })

  it('says in its notes that the hub was not there', async () => {
    workspace.server.fault = () => ({ status: 503 })
    await using classifier = await ElectraClassifier.load(ID)
    assert.match(classifier.info.notes[0] ?? '', /answered 503 .* The copy in the cache is used: /)
  })

  it('is exported under its hub id and revision', async () => {
    workspace.server.commit('org/tiny', tinyModel(), 'v2')
    const out = join(workspace.home, 'tiny.pt')
    const { stdout, stderr, code } = await cli('export', 'org/tiny', out, '--revision', 'v2')
    assert.match(stdout, /^wrote .*tiny\.pt/)
    assert.match(stderr, /downloaded model\.safetensors \(98\.7 kB\)/)
    assert.equal(code, 0)
    await exportArchive('org/tiny', out, { revision: 'v2', local_files_only: true })
    await using archive = await ElectraClassifier.load(out, { dtype: 'fp32' })
    await using checkpoint = await ElectraClassifier.load('org/tiny', { revision: 'v2', dtype: 'fp32' })
    const [actual, expected] = await Promise.all([archive.classify('a'), checkpoint.classify('a')])
    assert.deepEqual(archive.labels, checkpoint.labels)
    for (const [i, logit] of expected.logits.entries()) {
      assert.ok(Math.abs(logit - (actual.logits[i] ?? NaN)) <= 1e-5)
    }
  })

  it('is an archive only where that is trusted', async () => {
    const source = 'org/traced/model.pt'
    await assert.rejects(ElectraClassifier.load(source), { name: 'RangeError', message: /trust: 'archive'/ })
    const refused = await cli('classify', '--model', source, TEXT)
    assert.match(refused.stderr, /can run any operator on this machine; .*--trust-archive/)
    assert.deepEqual([refused.code, workspace.server.seen], [2, []])
    await using classifier = await ElectraClassifier.load(source, { trust: 'archive' })
    assert.equal(classifier.info.engine, 'script')
    const { stdout } = await cli('classify', '--trust-archive', '--model', source, TEXT)
    assert.match(stdout, /^\w {2}\d\.\d{4} {2}I love this restaurant!\n$/)
  })

  it('is not downloaded where libtorch is missing', async () => {
    const libtorch = join(workspace.home, 'no-libtorch')
    await assert.rejects(ElectraClassifier.load('org/other', { libtorch }), { code: 'LIBTORCH_NOT_FOUND' })
    assert.deepEqual(workspace.server.seen, [])
  })

  it('is refused with wrong options before anything is asked', async () => {
    const wrong: [object, string, RegExp][] = [
      [{ revision: 1 }, 'TypeError', /revision must be a string, not 1/],
      [{ revision: '../main' }, 'RangeError', /revision must be a branch, tag or commit, not '\.\.\/main'/],
      [{ cache_dir: '' }, 'TypeError', /cache_dir must be a non-empty string/],
      [{ local_files_only: 'yes' }, 'TypeError', /local_files_only must be true or false, not 'yes'/],
      [
        { token: true },
        'TypeError',
        /^token must be a string of visible ASCII characters, or false for none\.$/,
      ],
      [{ token: 'hf_a b' }, 'TypeError', /^token must be a string of visible ASCII characters, or false/],
      [{ on_progress: 1 }, 'TypeError', /on_progress must be a function, not 1/],
      [{ trust: 'all' }, 'RangeError', /trust must be one of 'archive', not 'all'/],
      [{ signal: {} }, 'TypeError', /signal must be an AbortSignal/],
    ]
    for (const [options, name, message] of wrong) {
      await assert.rejects(ElectraClassifier.load(ID, options), { name, message })
      await assert.rejects(exportArchive(ID, 'never.pt', options), { name, message })
    }
    assert.deepEqual(workspace.server.seen, [])
  })

  it('ends with the reason of an abort, before and while it loads', async () => {
    const reason = new Error('enough')
    await assert.rejects(ElectraClassifier.load(ID, { signal: AbortSignal.abort(reason) }), reason)
    await assert.rejects(ElectraClassifier.load(SHIPPED_MODEL, { signal: AbortSignal.abort(reason) }), reason)
    const controller = new AbortController()
    const loading = ElectraClassifier.load(SHIPPED_MODEL, { signal: controller.signal })
    controller.abort(reason)
    await assert.rejects(loading, reason)
  })

  it('ends with what on_progress throws', async () => {
    workspace.server.commit('org/third', tinyModel())
    const on_progress = (): void => {
      throw new Error('the caller broke')
    }
    await assert.rejects(ElectraClassifier.load('org/third', { on_progress }), {
      message: 'the caller broke',
    })
  })

  it('names the code and the remedy on the command line, and ends with 1 or 2', async () => {
    const none = await cli('classify', '--model', 'org/none', TEXT)
    assert.match(
      none.stderr,
      /^electra-classifier: There is nothing at .*has no model org\/none, or it is private/,
    )
    assert.equal(none.code, 2)
    workspace.server.fault = () => ({ status: 401 })
    const denied = await cli('classify', '--model', ID, TEXT)
    assert.match(denied.stderr, /set HF_TOKEN to one that may read it/)
    assert.equal(denied.code, 1)
    await assert.rejects(ElectraClassifier.load(ID), (error) => {
      assert.ok(error instanceof ElectraError && error.code === 'HUB_DENIED')
      return true
    })
  })

  it('shows a bar on a terminal, and takes it away', async function () {
    if (process.platform !== 'linux' || !existsSync('/usr/bin/script')) {
      console.log('      skipped: there is no script(1) here to make a terminal')
      this.skip()
    }
    workspace.server.commit('org/fourth', tinyModel())
    const command = `stty cols 80; "${process.execPath}" "${MAIN}" classify --model org/fourth "${TEXT}"`
    const { stdout, code } = await ended(spawn('script', ['-qec', command, '/dev/null'], { cwd: ROOT }))
    // What clears the line that the cursor is on.
    const lines = stdout.replaceAll('\x1b[2K', '⌫')
    assert.match(lines, /█{24} 100% {2}model\.safetensors {2}98\.7 kB/)
    assert.match(lines, /⌫class \d {2}\d\.\d{4} {2}I love this restaurant!\r\n$/)
    assert.equal(code, 0)
  })
})
