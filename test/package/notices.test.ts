import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'

const ROOT = join(__dirname, '..', '..')
const DIST = join(ROOT, 'dist')

interface Manifest {
  name: string
  version: string
  license: string
  dependencies?: Record<string, string>
}

function manifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}

/** Packages that lib/ imports and nobody installs with this one, and all that those depend on. */
function bundledPackages(): string[] {
  const found = new Set<string>()
  const add = (name: string): void => {
    const folder = join(ROOT, 'node_modules', name)
    if (found.has(folder)) return
    found.add(folder)
    for (const inner of Object.keys(manifest(folder).dependencies ?? {})) add(inner)
  }
  for (const name of ['commander', 'cli-progress', 'csv-parse', 'echarts']) add(name)
  return [...found]
}

describe('what is bundled', () => {
  const notices = readFileSync(join(DIST, 'THIRD-PARTY-NOTICES'), 'utf8')

  for (const folder of bundledPackages()) {
    const { name, version, license } = manifest(folder)
    it(`has the notice of ${name}`, () => {
      assert.ok(notices.includes(`\n${name} ${version} (${license})\n`))
      const files = readdirSync(folder).filter((file) => /^(?:licen[cs]e|notice)(?:\..*|-.*)?$/i.test(file))
      assert.ok(files.length >= 1)
      for (const file of files)
        assert.ok(notices.includes(readFileSync(join(folder, file), 'utf8').trim()), file)
    })
  }

  it('asks for nothing that is not installed with the package', () => {
    const allowed = [...builtinModules, ...Object.keys(manifest(ROOT).dependencies ?? {})]
    const files = readdirSync(DIST, { recursive: true, encoding: 'utf8' }).filter((file) =>
      /\.m?js$/.test(file),
    )
    for (const file of files) {
      const source = readFileSync(join(DIST, file), 'utf8')
      const asked = [
        ...source.matchAll(/\b(?:require|import)\(\s*["']([^"'\n]+)["']\s*\)|^import .* from ["'](.+)["']/gm),
      ]
        .map((match) => match[1] ?? match[2] ?? '')
        // Some are in newer Nodes only, and asked for only there.
        .filter((name) => !/^(?:\.|node:)/.test(name) && !allowed.includes(name))
      assert.deepEqual(asked, [], file)
    }
  })
})
