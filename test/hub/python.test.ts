import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { etagOf } from '../fixtures/hub-server'
import { tinyModel, Workspace } from '../fixtures/hub-workspace'

const PYTHON = process.env.ELECTRA_TEST_PYTHON ?? 'python3'
const ID = 'org/tiny'
const FILES = tinyModel()

describe("a cache shared with Python's huggingface_hub", function () {
  this.timeout(120_000)
  let workspace: Workspace

  before(function () {
    if (spawnSync(PYTHON, ['-c', 'import huggingface_hub']).status !== 0) {
      console.log(`      skipped: ${PYTHON} has no huggingface_hub (ELECTRA_TEST_PYTHON names another)`)
      this.skip()
    }
  })

  beforeEach(async () => {
    workspace = await Workspace.open()
    workspace.server.commit(ID, FILES)
  })

  afterEach(() => workspace.close())

  async function python(script: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
    const run = promisify(execFile)
    const { stdout } = await run(PYTHON, ['-c', `from huggingface_hub import *\n${script}`], {
      env: { ...process.env, HF_HUB_DISABLE_TELEMETRY: '1', ...env },
    })
    return stdout.trim()
  }

  it('takes what snapshot_download brought, and asks for no file', async () => {
    const path = await python(`print(snapshot_download('${ID}'))`)
    assert.equal((await workspace.locate(ID, { local_files_only: true })).path, path)
    workspace.server.seen.length = 0
    assert.equal((await workspace.locate(ID)).path, path)
    assert.deepEqual(workspace.server.downloads(), [])
  })

  it('completes what hf_hub_download brought one by one', async () => {
    await python(`print(hf_hub_download('${ID}', 'model.safetensors'))`)
    await assert.rejects(workspace.locate(ID, { local_files_only: true }), { code: 'CHECKPOINT_NOT_FOUND' })
    workspace.server.seen.length = 0
    await workspace.locate(ID)
    assert.deepEqual(workspace.server.downloads(), ['config.json', 'vocab.txt'])
  })

  it('gives Python what was downloaded here, offline, in a cache without complaints', async () => {
    const { path } = await workspace.locate(ID)
    const names = ['config.json', 'vocab.txt', 'model.safetensors']
    const found = await python(
      `for name in ${JSON.stringify(names)}: print(hf_hub_download('${ID}', name))
cache = scan_cache_dir()
print(len(cache.warnings), [(repo.repo_id, repo.nb_files, sorted(repo.refs)) for repo in cache.repos])`,
      { HF_HUB_OFFLINE: '1' },
    )
    assert.deepEqual(found.split('\n'), [
      ...names.map((name) => join(path, name)),
      `0 [('${ID}', 3, ['main'])]`,
    ])
    workspace.server.seen.length = 0
    await python(`for name in ${JSON.stringify(names)}: hf_hub_download('${ID}', name)`)
    assert.deepEqual(workspace.server.downloads(), [])
    await python(`snapshot_download('${ID}')`)
    assert.deepEqual(workspace.server.downloads().sort(), ['README.md', 'tf_model.h5'])
  })

  it('names blobs as Python does', async () => {
    await python(`snapshot_download('${ID}', allow_patterns=['config.json', 'model.safetensors'])`)
    const expected = ['config.json', 'model.safetensors'].map((name) =>
      etagOf(name, Buffer.from(FILES[name] ?? '')),
    )
    assert.deepEqual(workspace.blobs(ID), expected.sort())
    const { path } = await workspace.locate(ID)
    assert.equal(readFileSync(join(path, 'vocab.txt'), 'utf8'), String(FILES['vocab.txt']))
    assert.equal(workspace.blobs(ID).length, 3)
  })
})
