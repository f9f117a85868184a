import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const DIST = join(__dirname, '..', '..', 'dist', 'index.js')

describe('without a libtorch', () => {
  let empty: string

  before(() => {
    empty = mkdtempSync(join(tmpdir(), 'no-libtorch-'))
  })

  after(() => {
    rmSync(empty, { recursive: true, force: true })
  })

  /** What `load` ends with in a process whose environment is just `env`, and whether the process goes on. */
  function load(
    env: Record<string, string>,
    options = {},
  ): { code: string; message: string; alive: boolean } {
    const script = `
      const { ElectraClassifier } = require(${JSON.stringify(DIST)})
      ElectraClassifier.load(undefined, ${JSON.stringify(options)}).catch(async ({ code, message }) => {
        await new Promise(setImmediate)
        console.log(JSON.stringify({ code, message, alive: true }))
      })`
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], {
      encoding: 'utf8',
      env: { HOME: empty, XDG_CACHE_HOME: empty, PATH: empty, ...env },
    })
    assert.notEqual(stdout, '', stderr)
    return JSON.parse(stdout) as { code: string; message: string; alive: boolean }
  }

  it('says where it looked, why not there, and how to get one', () => {
    const { code, message, alive } = load({})
    assert.equal(code, 'LIBTORCH_NOT_FOUND')
    assert.match(message, /^No libtorch was found; get one with `npm run prepare` in .*LIBTORCH/)
    assert.match(message, /\n {2}LIBTORCH: /)
    assert.match(message, /\n {2}cache .*no-libtorch/)
    assert.match(message, /\n {2}python: /)
    assert.equal(alive, true)
  })

  it('names the folder that was asked for, by option or environment', () => {
    const named = join(empty, 'nowhere')
    for (const [env, options] of [
      [{ LIBTORCH: named }, {}],
      [{}, { libtorch: named }],
    ] as const) {
      const { code, message } = load(env, options)
      assert.equal(code, 'LIBTORCH_NOT_FOUND')
      assert.ok(message.includes(named), message)
    }
  })
})
