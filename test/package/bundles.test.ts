import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { npmTool } from '../../scripts/npm-tool'
import { npmProject, run, skip, unpackedProject, withLibtorch } from './installation'

const WEBPACK = '5.112.2'
const NEXT = ['next@16.4.6', 'react@19.3.1', 'react-dom@19.3.1']

/** As README and docs say it must be: the package stays outside. */
const EXTERNAL = ['electra-classifier', 'electra-classifier/*']

describe('the package in a bundled server', function () {
  this.timeout(600_000)
  let project: string
  let env: NodeJS.ProcessEnv

  before(async () => {
    const made = unpackedProject()
    project = made.project
    env = await withLibtorch(made.env)
  })

  after(() => {
    rmSync(project, { recursive: true, force: true })
  })

  function prints(expected: string, file: string): void {
    const { stdout, stderr, status } = run(process.execPath, [file], { cwd: tmpdir(), env })
    assert.equal(stdout, expected, stderr)
    assert.equal(status, 0)
  }

  for (const [format, script, expected] of [
    ['cjs', 'consumer.cjs', 'cjs positive 1 true\n'],
    ['esm', 'consumer.mjs', 'esm positive true function function\n'],
  ] as const) {
    it(`serves a bundle that esbuild made, format ${format}`, async () => {
      const outfile = join(project, 'esbuild', script)
      const entryPoints = [join(project, script)]
      await build({ entryPoints, outfile, format, platform: 'node', bundle: true, external: EXTERNAL })
      prints(expected, outfile)
    })
  }

  it(`serves a bundle that webpack ${WEBPACK} made`, async function () {
    const webpack = await npmTool('webpack', WEBPACK)
    if (webpack === undefined) return skip(this, `webpack ${WEBPACK} cannot be had from npm`)
    const script = `
      require(${JSON.stringify(webpack)})({
        mode: 'production', target: 'node', context: process.cwd(), entry: './consumer.cjs',
        output: { path: process.cwd() + '/webpack', filename: 'server.cjs' },
        externals: [({ request }, done) => /^electra-classifier(\\/|$)/.test(request) ? done(null, 'commonjs ' + request) : done()],
      }, (error, stats) => {
        if (error || stats.hasErrors()) throw error ?? new Error(stats.toString())
      })`
    const bundled = run(process.execPath, ['-e', script], { cwd: project })
    assert.equal(bundled.status, 0, bundled.stderr)
    prints('cjs positive 1 true\n', join(project, 'webpack', 'server.cjs'))
  })

  it(`serves ${NEXT[0]}, built as a standalone server and moved elsewhere`, async function () {
    let made: string
    try {
      made = npmProject(NEXT)
    } catch {
      return skip(this, `${NEXT.join(', ')} cannot be had from npm`)
    }
    const elsewhere = mkdtempSync(join(tmpdir(), 'electra-next-'))
    try {
      for (const [name, text] of Object.entries(NEXT_APP)) {
        mkdirSync(join(made, name, '..'), { recursive: true })
        writeFileSync(join(made, name), text)
      }
      const own = { ...env, NODE_PATH: '', NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' } as const
      const next = join(made, 'node_modules', 'next', 'dist', 'bin', 'next')
      const built = run(process.execPath, [next, 'build'], { cwd: made, env: own })
      assert.equal(built.status, 0, built.stdout + built.stderr)
      cpSync(join(made, '.next', 'standalone'), elsewhere, { recursive: true, verbatimSymlinks: true })
      rmSync(made, { recursive: true })
      const answer = await ask(elsewhere, own)
      assert.equal(answer.label, 'positive')
    } finally {
      rmSync(made, { recursive: true, force: true })
      rmSync(elsewhere, { recursive: true, force: true })
    }
  })

  /** Starts the standalone server on a free port, and asks it once. */
  async function ask(folder: string, own: NodeJS.ProcessEnv): Promise<{ label?: string }> {
    const server = spawn(process.execPath, ['server.js'], {
      cwd: folder,
      env: { ...own, PORT: '0', HOSTNAME: '127.0.0.1' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(server, 'exit')
    try {
      for await (const line of createInterface({ input: server.stdout })) {
        const port = /http:\/\/[^:]+:(\d+)/.exec(line)?.[1]
        if (port === undefined || port === '0') continue
        const response = await fetch(`http://127.0.0.1:${port}/api/sentiment?text=I+love+this+restaurant!`)
        return (await response.json()) as { label?: string }
      }
      throw new Error('the server ended before it listened')
    } finally {
      server.kill('SIGTERM')
      await exited
    }
  }
})

const NEXT_APP = {
  'package.json': '{ "private": true }',
  'next.config.mjs': `export default {
    serverExternalPackages: ['electra-classifier'],
    output: 'standalone',
    outputFileTracingRoot: import.meta.dirname,
    outputFileTracingIncludes: { '/*': ['./node_modules/electra-classifier/**'] },
  }`,
  'app/layout.js':
    'export default function Layout({ children }) { return <html><body>{children}</body></html> }',
  'app/page.js': 'export default function Page() { return <p>Sentiment</p> }',
  'app/api/sentiment/route.js': `
    import { ElectraClassifier } from 'electra-classifier'
    let loading
    export async function GET(request) {
      loading ??= ElectraClassifier.load()
      const classifier = await loading
      return Response.json(await classifier.classify(new URL(request.url).searchParams.get('text')))
    }`,
}
