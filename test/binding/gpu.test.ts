import { spawnSync } from 'node:child_process'
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { findLibtorch } from '../../lib/libtorch'
import { testProgram } from './fake'

const FIXTURES = join(__dirname, '..', 'fixtures')

/** Folders of fixtures that have a file. */
function withFile(folder: string, name: string): string[] {
  return readdirSync(join(FIXTURES, folder))
    .map((each) => join(FIXTURES, folder, each))
    .filter((each) => existsSync(join(each, name)))
}

describe('the CUDA engine, without a card', () => {
  it('chooses, stages, captures and fails as it should, and gives the logits of the electra engine', async function () {
    const program = testProgram(this, 'electra_gpu_logic')
    const { found } = await findLibtorch()
    assert.ok(found)
    const checkpoints = withFile('checkpoints', 'model.safetensors')
    // Those with golden logits run as they are.
    const archives = [...withFile('foreign', 'golden.json'), ...withFile('traces', 'golden.json')]
    const { status, stdout, stderr } = spawnSync(program, [...checkpoints, ...archives], {
      encoding: 'utf8',
      env: { ...process.env, LD_LIBRARY_PATH: found.lib },
    })
    assert.equal(status, 0, stdout + stderr)
    assert.equal(stdout, `${checkpoints.length} checkpoints, ${archives.length} archives, 0 failures\n`)
    assert.ok(checkpoints.length > 10 && archives.length > 5)
  })
})
