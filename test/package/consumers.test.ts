import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeBinary, npmTool } from '../../scripts/npm-tool'
import { PAGES } from '../fixtures/pages'
import { ROOT, installedIn, npmProject, run, skip, withLibtorch } from './installation'

/** The oldest that `engines` allows, and the newest of the releases after it. */
const NODES = ['20.19.0', '22.23.3', '24.21.0']
const BUN = '1.4.5'

describe('the package, packed and installed into an empty folder', function () {
  this.timeout(600_000)
  let folder: string
  let env: NodeJS.ProcessEnv

  before(async () => {
    folder = npmProject()
    env = await withLibtorch()
  })

  after(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  function node(script: string, own: NodeJS.ProcessEnv = {}) {
    return run(process.execPath, [script], { cwd: folder, env: { ...env, ...own } })
  }

  function prints(expected: string, { stdout, stderr, status }: ReturnType<typeof run>): void {
    assert.equal(stdout, expected, stderr)
    assert.equal(status, 0, stderr)
  }

  it('has the command line and the report in it, although their packages are not installed', () => {
    const others = readdirSync(join(folder, 'node_modules'))
    for (const bundled of ['commander', 'csv-parse', 'echarts', 'zrender', 'esbuild']) {
      assert.ok(!others.includes(bundled), bundled)
    }
    const command = join(folder, 'node_modules', '.bin', 'electra-classifier')
    const help = run(command, ['classify', '--help'], { cwd: folder })
    assert.match(help.stdout, /^Usage: electra-classifier classify /, help.stderr)
    const page = join(installedIn(folder), 'dist', 'evaluation', 'page.js')
    const script = `require(${JSON.stringify(page)}).renderPage(JSON.parse(process.argv[1])).then(console.log)`
    const drawn = run(process.execPath, ['-e', script, JSON.stringify(PAGES['three classes'])])
    assert.equal(drawn.stdout.split('<figure>').length - 1, 9, drawn.stderr)
  })

  it('serves CommonJS', () => {
    prints('cjs positive 1 true\n', node('consumer.cjs'))
  })

  it('serves ECMAScript modules, with the same classes', () => {
    prints('esm positive true function function\n', node('consumer.mjs'))
  })

  it('serves a worker, which ends by itself', () => {
    prints('worker positive\nexit 0\n', node('worker.cjs'))
  })

  it('has types for both, under the strictest settings and each resolution', () => {
    const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
    const common = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022']
    const runs = [
      ['--module', 'node16', 'consumer.mts', 'consumer.cts'],
      ['--module', 'node20', 'consumer.mts', 'consumer.cts'],
      ['--module', 'esnext', '--moduleResolution', 'bundler', 'consumer.mts'],
      // What many projects still have; TypeScript 6 wants to hear that they know.
      ['--module', 'commonjs', '--moduleResolution', 'node10', '--ignoreDeprecations', '6.0', 'consumer.cts'],
    ]
    for (const files of runs) prints('', run(process.execPath, [tsc, ...common, ...files], { cwd: folder }))
  })

  it('installs the command', () => {
    const command = join(folder, 'node_modules', '.bin', 'electra-classifier')
    const text = run(command, ['classify', 'I love this restaurant!'], { cwd: folder, env })
    assert.match(text.stdout, /^positive\b/, text.stderr)
    assert.equal(text.status, 0)
    // Reading a table takes a package that is bundled.
    writeFileSync(join(folder, 'texts.csv'), 'id,text\n1,"Great, really."\n')
    const table = run(command, ['classify', '--file', 'texts.csv'], { cwd: folder, env })
    assert.match(table.stdout, /^positive .* Great, really\.\n$/, table.stderr)
  })

  it('serves two copies of itself in one process', () => {
    const other = join(folder, 'node_modules', 'other')
    cpSync(installedIn(folder), installedIn(other), { recursive: true })
    writeFileSync(join(other, 'index.js'), "module.exports = require('electra-classifier')")
    prints('two false positive negative\n', node('two-copies.cjs'))
  })

  it('works where node_modules, the home and everything in it are read-only', function () {
    const home = mkdtempSync(join(tmpdir(), 'electra-home-'))
    try {
      const { status, stdout, stderr } = readOnly([folder, home], ['read-only.cjs', home], home)
      if (status === 99) return skip(this, `no read-only mount can be made here: ${stderr.trim()}`)
      assert.equal(stdout, 'EROFS EROFS positive\n', stderr)
      assert.equal(status, 0)
    } finally {
      rmSync(home, { recursive: true, force: true })
    }
  })

  /** Runs a script in a mount namespace of its own in which the folders cannot be written, not by root either. */
  function readOnly(folders: string[], script: string[], home: string) {
    const shell = `
      while [ "$1" != -- ]; do
        mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99
        shift
      done
      shift && cd "$1" && shift && exec "$@"`
    const own = process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--map-root-user']
    const args = [...own, 'sh', '-c', shell, 'sh', ...folders, '--', folder, process.execPath, ...script]
    const result = run('unshare', args, { env: { ...env, HOME: home, XDG_CACHE_HOME: '' } })
    // unshare itself may be missing or forbidden.
    const failed = result.error !== undefined || result.stderr.startsWith('unshare:')
    return failed ? { ...result, status: 99, stderr: result.error?.message ?? result.stderr } : result
  }

  for (const version of NODES) {
    it(`runs on Node ${version}`, async function () {
      const path = await nodeBinary(version)
      if (path === undefined)
        return skip(this, `npm has no Node ${version} for this platform, or is out of reach`)
      assert.equal(run(path, ['--version']).stdout, `v${version}\n`)
      prints('cjs positive 1 true\n', run(path, ['consumer.cjs'], { cwd: folder, env }))
      prints('esm positive true function function\n', run(path, ['consumer.mjs'], { cwd: folder, env }))
      prints('worker positive\nexit 0\n', run(path, ['worker.cjs'], { cwd: folder, env }))
    })
  }

  it(`runs on Bun ${BUN}`, async function () {
    const tool = await npmTool(`@oven/bun-${process.platform}-${process.arch}`, BUN)
    if (tool === undefined) return skip(this, `npm has no Bun ${BUN} for this platform, or is out of reach`)
    const bun = join(tool, 'bin', 'bun')
    assert.equal(run(bun, ['--version']).stdout, `${BUN}\n`)
    prints('cjs positive 1 true\n', run(bun, ['consumer.cjs'], { cwd: folder, env }))
    prints('esm positive true function function\n', run(bun, ['consumer.mjs'], { cwd: folder, env }))
    prints('worker positive\nexit 0\n', run(bun, ['worker.cjs'], { cwd: folder, env }))
  })

  it('asks of Electron only what Electron allows', () => {
    // Electron itself is not on npm; its V8 has no buffers outside its heap, and it sets ELECTRON_RUN_AS_NODE.
    const prebuilds = join(installedIn(folder), 'prebuilds', `${process.platform}-${process.arch}`)
    const addon = readdirSync(prebuilds).find((name) => name.endsWith('.node')) ?? ''
    const symbols = readFileSync(join(prebuilds, addon), 'latin1')
    assert.match(symbols, /\0napi_create_arraybuffer\0/)
    assert.doesNotMatch(symbols, /\0napi_create_external_\w+\0/)
    prints('cjs positive 1 true\n', node('consumer.cjs', { ELECTRON_RUN_AS_NODE: '1' }))
  })
})
