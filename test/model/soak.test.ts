import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** A short one of the soak that `npm run soak` does; in a process of its own, whose memory it measures. */
describe('soak', function () {
  this.timeout(1_200_000)

  it('answers 20,000 texts, each once and right, under aborts and closes, in memory that does not grow', () => {
    const root = join(__dirname, '..', '..')
    const script = join(root, 'scripts', 'soak.ts')
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import=tsx', script, '--texts', '20000'],
      { cwd: root, encoding: 'utf8' },
    )
    assert.equal(status, 0, stdout + stderr)
    console.log(stdout.trimEnd().split('\n').slice(-2).join('\n').replace(/^/gm, '      '))
  })
})
