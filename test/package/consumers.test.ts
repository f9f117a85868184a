import assert from 'node:assert/strict'
import { execFileSync, spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { addonPath } from '../../lib/binding'
import { findLibtorch } from '../../lib/libtorch'
import { PAGES } from '../fixtures/pages'

const ROOT = join(__dirname, '..', '..')

describe('the package, packed and installed into an empty folder', function () {
  this.timeout(300_000)
  let folder: string
  let installed: string

  before(async () => {
    // A space and a letter beyond ASCII, because somebody's folder has them.
    folder = mkdtempSync(join(tmpdir(), 'a consumér '))
    const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: ROOT,
      encoding: 'utf8',
    })
    const report = JSON.parse(packed) as Record<string, { filename: string }> | { filename: string }[]
    const filename = Object.values(report)[0]?.filename ?? ''
    writeFileSync(join(folder, 'package.json'), '{ "private": true }')
    const install = [
      'install',
      '--ignore-scripts',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      `./${filename}`,
    ]
    execFileSync('npm', install, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
    installed = join(folder, 'node_modules', 'electra-classifier')
    cpSync(join(__dirname, 'consumers'), folder, { recursive: true })
    // A user's machine has the libtorch of the build: one way or another it must be found there.
    const { found } = await findLibtorch()
    assert.ok(found)
  })

  after(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  function node(script: string): SpawnSyncReturns<string> {
    return spawnSync(process.execPath, [script], { cwd: folder, encoding: 'utf8' })
  }

  it('holds what it needs, and neither sources nor tests', () => {
    const names = readdirSync(installed)
    for (const needed of ['dist', 'models', 'binding.d.ts', 'README.md', 'LICENSE', 'package.json']) {
      assert.ok(names.includes(needed), needed)
    }
    for (const foreign of ['lib', 'native', 'test', 'scripts', 'bench', 'build', '.ci']) {
      assert.ok(!names.includes(foreign), foreign)
    }
  })

  it('brings few packages along, and none that only the command line or the report needs', () => {
    const others = readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'))
    const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    assert.ok(Object.keys(dependencies).length <= 5)
    // Not cli-progress, which the hub's client brings for itself.
    for (const bundled of ['commander', 'csv-parse', 'echarts', 'zrender', 'esbuild']) {
      assert.ok(!others.includes(bundled), bundled)
    }
  })

  it('has the command line and the report in it all the same', () => {
    const command = join(folder, 'node_modules', '.bin', 'electra-classifier')
    const help = spawnSync(command, ['classify', '--help'], { cwd: folder, encoding: 'utf8' })
    assert.match(help.stdout, /^Usage: electra-classifier classify /, help.stderr)
    const page = join(installed, 'dist', 'evaluation', 'page.js')
    const script = `require(${JSON.stringify(page)}).renderPage(JSON.parse(process.argv[1])).then(console.log)`
    const data = JSON.stringify(PAGES['three classes'])
    const drawn = spawnSync(process.execPath, ['-e', script, data], { cwd: folder, encoding: 'utf8' })
    assert.equal(drawn.stdout.split('<figure>').length - 1, 9, drawn.stderr)
  })

  it('says what to do where there is no compiled addon', () => {
    const { status, stderr } = node('consumer.cjs')
    assert.notEqual(status, 0)
    assert.match(stderr, /BINDING_NOT_FOUND/)
    assert.match(
      stderr,
      /There is no compiled addon for \S+ in .*electra-classifier; build it .*npm run prepare/,
    )
  })

  describe('with the compiled addon', () => {
    before(() => {
      const built = dirname(addonPath() ?? '')
      const prebuilds = join(installed, 'prebuilds', `${process.platform}-${process.arch}`)
      mkdirSync(prebuilds, { recursive: true })
      for (const file of readdirSync(built).filter((name) => /electra_(?:classifier|core-\d)/.test(name))) {
        cpSync(join(built, file), join(prebuilds, file))
      }
    })

    it('serves CommonJS', () => {
      const { stdout, stderr, status } = node('consumer.cjs')
      assert.equal(stdout, 'cjs positive 1 true\n', stderr)
      assert.equal(status, 0)
    })

    it('serves ECMAScript modules, with the same classes', () => {
      const { stdout, stderr, status } = node('consumer.mjs')
      assert.equal(stdout, 'esm positive true function function\n', stderr)
      assert.equal(status, 0)
    })

    it('has types for both, under the strictest settings and both resolutions', () => {
      const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
      const common = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022']
      const runs = [
        ['--module', 'node20', 'consumer.mts', 'consumer.cts'],
        ['--module', 'esnext', '--moduleResolution', 'bundler', 'consumer.mts'],
      ]
      for (const files of runs) {
        const { stdout, status } = spawnSync(process.execPath, [tsc, ...common, ...files], {
          cwd: folder,
          encoding: 'utf8',
        })
        assert.equal(stdout, '')
        assert.equal(status, 0)
      }
    })

    it('installs the command', () => {
      const command = join(folder, 'node_modules', '.bin', 'electra-classifier')
      const { stdout, stderr, status } = spawnSync(command, ['classify', 'I love this restaurant!'], {
        cwd: folder,
        encoding: 'utf8',
      })
      assert.match(stdout, /^positive\b/, stderr)
      assert.equal(status, 0)
      // Reading a table takes a package that is bundled.
      writeFileSync(join(folder, 'texts.csv'), 'id,text\n1,"Great, really."\n')
      const table = spawnSync(command, ['classify', '--file', 'texts.csv'], { cwd: folder, encoding: 'utf8' })
      assert.match(table.stdout, /^positive .* Great, really\.\n$/, table.stderr)
    })
  })
})
