import { spawnSync } from 'node:child_process'
import assert from 'node:assert/strict'
import { testProgram } from './fake'

describe('the CPU kernels', () => {
  it('give what plain loops give, on every instruction set that this CPU has', function () {
    const { status, stdout, stderr } = spawnSync(testProgram(this, 'electra_kernels'), { encoding: 'utf8' })
    console.log(stdout.replace(/^/gm, '    ').trimEnd())
    assert.equal(status, 0, stdout + stderr)
    if (stdout === '') {
      console.log('    skipped: this CPU has no AVX2')
      this.skip()
    }
  })
})
