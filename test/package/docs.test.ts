import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(__dirname, '..', '..')

describe('docs/api.md', () => {
  it('is what the source comments say (npm run docs makes it anew)', () => {
    const folder = mkdtempSync(join(tmpdir(), 'api-docs-'))
    try {
      const typedoc = join(ROOT, 'node_modules', 'typedoc', 'bin', 'typedoc')
      execFileSync(process.execPath, [typedoc, '--out', folder, '--logLevel', 'Error'], { cwd: ROOT })
      const generated = readFileSync(join(folder, 'api.md'), 'utf8')
      assert.equal(readFileSync(join(ROOT, 'docs', 'api.md'), 'utf8'), generated)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
