import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(__dirname, '..', '..')

for (const [name, options] of [
  ['api.md', 'typedoc.json'],
  ['api-evaluate.md', 'typedoc.evaluate.json'],
] as const) {
  describe(`docs/${name}`, () => {
    it('is what the source comments say (npm run docs makes it anew)', () => {
      const folder = mkdtempSync(join(tmpdir(), 'api-docs-'))
      try {
        const typedoc = join(ROOT, 'node_modules', 'typedoc', 'bin', 'typedoc')
        const args = [typedoc, '--options', options, '--out', folder, '--logLevel', 'Error']
        execFileSync(process.execPath, args, { cwd: ROOT })
        const generated = readFileSync(join(folder, name), 'utf8')
        assert.equal(readFileSync(join(ROOT, 'docs', name), 'utf8'), generated)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    })
  })
}
