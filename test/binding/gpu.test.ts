import { spawnSync } from 'node:child_process'
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { addonPath } from '../../lib/binding'
import { findLibtorch } from '../../lib/libtorch'

const CHECKPOINTS = join(__dirname, '..', 'fixtures', 'checkpoints')

describe('the CUDA engine, without a card', () => {
  it('chooses, stages, captures and fails as it should, and gives the logits of the electra engine', async () => {
    const { found } = await findLibtorch()
    assert.ok(found)
    const checkpoints = readdirSync(CHECKPOINTS)
      .map((name) => join(CHECKPOINTS, name))
      .filter((folder) => existsSync(join(folder, 'model.safetensors')))
    const program = join(dirname(addonPath() ?? ''), 'electra_gpu_logic')
    const { status, stdout, stderr } = spawnSync(program, checkpoints, {
      encoding: 'utf8',
      env: { ...process.env, LD_LIBRARY_PATH: found.lib },
    })
    assert.equal(status, 0, stdout + stderr)
    assert.equal(stdout, `${checkpoints.length} checkpoints, 0 failures\n`)
    assert.ok(checkpoints.length > 10)
  })
})
