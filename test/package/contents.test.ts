import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PLATFORM, ROOT, pack, run } from './installation'

/** Everybody who installs the package downloads this much, every time it is updated. */
const MOST_MB = 60

interface Manifest {
  scripts: Record<string, string>
  dependencies: Record<string, string>
  funding?: unknown
}

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest

describe('the packed package', function () {
  this.timeout(600_000)

  it('holds what it needs, the sources of the addon among it, and nothing of how it is made and tested', () => {
    const { files } = pack()
    for (const needed of [
      ...['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE', 'binding.d.ts', 'docs/api.md'],
      ...[
        'dist/index.js',
        'dist/index.mjs',
        'dist/index.d.ts',
        'dist/index.d.mts',
        'dist/THIRD-PARTY-NOTICES',
      ],
      ...['models/sentiment-minilm-l6/model.safetensors', 'models/sentiment-minilm-l6/NOTICE'],
      ...['CMakeLists.txt', 'native/core.h', 'native/addon/addon.cpp', 'native/core/core.cpp'],
    ]) {
      assert.ok(files.includes(needed), needed)
    }
    const prebuilt = files.filter((file) => file.startsWith(`prebuilds/${PLATFORM}/`))
    assert.equal(prebuilt.filter((file) => file.endsWith('.node')).length, 1)
    assert.ok(prebuilt.some((file) => /electra_core-\d+\.\d+\.\w+$/.test(file)))
    assert.deepEqual(
      files.filter((file) => /^(?:lib|test|scripts|bench|build|\.ci|\.github|native\/test)\//.test(file)),
      [],
    )
  })

  it(`is at most ${MOST_MB} MB to download`, () => {
    const { size, unpacked_size, files } = pack()
    const [packed, unpacked] = [size, unpacked_size].map((bytes) => (bytes / 1e6).toFixed(1))
    console.log(`      ${packed} MB packed, ${unpacked} MB unpacked, ${files.length} files`)
    assert.ok(size <= MOST_MB * 1e6)
  })

  it('has no script that runs when somebody installs it, and asks nobody for money', () => {
    const { files } = pack()
    for (const script of ['preinstall', 'install', 'postinstall'])
      assert.ok(!(script in manifest.scripts), script)
    // npm would run node-gyp for it.
    assert.ok(!files.includes('binding.gyp'))
    assert.ok(Object.keys(manifest.dependencies).length <= 5)
    assert.equal(manifest.funding, undefined)
  })

  for (const [tool, args] of [
    ['publint', ['--strict']],
    ['attw', []],
  ] as const) {
    it(`gives ${tool} nothing to complain of`, () => {
      const command = join(ROOT, 'node_modules', '.bin', tool)
      const { stdout, stderr, status } = run(command, [...args, pack().tarball])
      assert.equal(status, 0, stdout + stderr)
      assert.match(stdout, tool === 'publint' ? /All good!/ : /No problems found/)
    })
  }
})
