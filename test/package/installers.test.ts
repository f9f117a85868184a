import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { npmTool } from '../../scripts/npm-tool'
import { emptyProject, pack, run, skip, withLibtorch, withoutCompiler } from './installation'

const YARN = '4.18.1'

interface Manager {
  /** Its package on npm and the file to run; without one it is npm itself. */
  tool?: { name: string; version: string; main: string }
  install: (tarball: string, folder: string) => string[]
  /** How a script of the project is run; Node itself where nothing is said. */
  node?: string[]
}

const MANAGERS: Record<string, Manager> = {
  npm: { install: (tarball) => ['install', '--no-audit', '--no-fund', tarball] },
  'pnpm, which blocks scripts': {
    tool: { name: 'pnpm', version: '12.4.2', main: 'bin/pnpm.mjs' },
    // With this, a script that pnpm blocked fails the installation.
    install: (tarball, folder) => [
      ...['add', '--config.strict-dep-builds=true', '--config.update-notifier=false'],
      ...['--store-dir', join(folder, 'store'), tarball],
    ],
  },
  'yarn 1': {
    tool: { name: 'yarn', version: '1.22.22', main: 'bin/yarn.js' },
    install: (tarball, folder) => ['add', '--cache-folder', join(folder, 'cache'), `file:${tarball}`],
  },
  [`yarn ${YARN}, which unpacks nothing that it need not`]: {
    tool: { name: '@yarnpkg/cli-dist', version: YARN, main: 'bin/yarn.js' },
    install: (tarball) => ['add', `electra-classifier@file:${tarball}`],
    node: ['node'],
  },
}

describe('the package on a machine without a compiler', function () {
  this.timeout(600_000)
  let folder: string
  let project: string
  let env: NodeJS.ProcessEnv

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'electra-installers-'))
    project = emptyProject()
    cpSync(join(__dirname, 'consumers', 'consumer.cjs'), join(project, 'consumer.cjs'))
    env = withoutCompiler(folder)
    for (const tool of ['c++', 'g++', 'gcc', 'cc', 'clang', 'cmake', 'make', 'ninja', 'python3']) {
      assert.notEqual(run('sh', ['-c', `command -v ${tool}`], { env }).status, 0, tool)
    }
  })

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true })
    rmSync(project, { recursive: true, force: true })
  })

  for (const [name, { tool, install, node = [] }] of Object.entries(MANAGERS)) {
    it(`is installed by ${name}, and scores`, async function () {
      const found = tool && (await npmTool(tool.name, tool.version))
      if (tool && found === undefined)
        return skip(this, `${tool.name} ${tool.version} cannot be had from npm`)
      const main = tool && join(found ?? '', tool.main)
      const [command, before] = main === undefined ? ['npm', []] : [process.execPath, [main]]
      // Yarn 4 takes a folder for a project of its own only with its lock file.
      if (name.startsWith('yarn 4')) writeFileSync(join(project, 'yarn.lock'), '')
      const own = { ...env, YARN_ENABLE_GLOBAL_CACHE: 'false', YARN_ENABLE_TELEMETRY: '0' }
      const installed = run(command, [...before, ...install(pack().tarball, folder)], {
        cwd: project,
        env: own,
      })
      assert.equal(installed.status, 0, installed.stdout + installed.stderr)

      const [runner, args] = node.length ? [command, [...before, ...node]] : [process.execPath, []]
      const scored = run(runner, [...args, 'consumer.cjs'], { cwd: project, env: await withLibtorch(own) })
      assert.equal(scored.stdout, 'cjs positive 1 true\n', scored.stderr)
      assert.equal(scored.status, 0)
    })
  }

  it('is installed without a script being run, its own or that of a package it brings', () => {
    const ran = join(folder, 'ran')
    const shell = join(folder, 'shell')
    writeFileSync(shell, `#!/bin/sh\necho "$@" >> ${ran}\nexec /bin/sh "$@"\n`, { mode: 0o755 })
    const args = ['install', '--no-audit', '--no-fund', '--script-shell', shell]
    const { status, stderr } = run('npm', [...args, pack().tarball], { cwd: project, env })
    assert.equal(status, 0, stderr)
    assert.equal(existsSync(ran) ? readFileSync(ran, 'utf8') : '', '')

    const lock = readFileSync(join(project, 'node_modules', '.package-lock.json'), 'utf8')
    const { packages } = JSON.parse(lock) as { packages: Record<string, { hasInstallScript?: boolean }> }
    const names = Object.keys(packages)
    assert.ok(names.includes('node_modules/electra-classifier'))
    for (const name of names) {
      const manifest = JSON.parse(readFileSync(join(project, name, 'package.json'), 'utf8')) as {
        scripts?: Record<string, string>
      }
      const { preinstall, install, postinstall } = manifest.scripts ?? {}
      assert.deepEqual([preinstall, install, postinstall], [undefined, undefined, undefined], name)
    }
    // The recorder does record: it is what runs a script of the project's own.
    writeFileSync(join(project, 'package.json'), '{ "scripts": { "say": "echo said" } }')
    run('npm', ['run', 'say', '--script-shell', shell], { cwd: project, env })
    assert.match(readFileSync(ran, 'utf8'), /echo said/)
    assert.ok(readdirSync(project).includes('node_modules'))
  })
})
