import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findLibtorch } from '../../lib/libtorch'
import { writeFakeLibtorch } from '../fixtures/fake-libtorch'
import { ROOT, installedIn, run, skip, unpackedProject, withLibtorch, withoutCompiler } from './installation'

describe('electra-classifier build', function () {
  this.timeout(600_000)
  let project: string
  let env: NodeJS.ProcessEnv
  let main: string

  before(async function () {
    if (process.platform !== 'linux') return skip(this, 'it was written and tried on Linux')
    const made = unpackedProject()
    project = made.project
    env = await withLibtorch(made.env)
    main = join(installedIn(project), 'dist', 'cli', 'main.js')
  })

  after(() => {
    if (project) rmSync(project, { recursive: true, force: true })
  })

  const build = (own: NodeJS.ProcessEnv = {}) =>
    run(process.execPath, [main, 'build'], { cwd: project, env: { ...env, ...own } })

  it('names every tool that is missing, with the command that installs them', () => {
    const { stderr, stdout, status } = build({ PATH: withoutCompiler(project).PATH })
    const lines = stderr.trimEnd().split('\n')
    assert.deepEqual(
      lines.map((line) => /Missing: (\S+ \S+)|Install with: /.exec(line)?.[1] ?? 'install'),
      ['a C++20', 'cmake 3.18', 'make or', 'install'],
    )
    assert.deepEqual([stdout, status], ['', 1])
  })

  it('refuses a LIBTORCH without C++ headers, for whoever names one means that one', () => {
    const headless = writeFakeLibtorch(join(project, 'headless'), {
      without: ['include/torch/headeronly/version.h'],
    })
    const { stderr, status } = build({ LIBTORCH: headless })
    assert.match(
      stderr,
      /cannot be used: .*headless has no C\+\+ headers in include\/, so nothing can be built\.\n$/,
    )
    assert.equal(status, 1)
  })

  it('brings a libtorch with its headers where there is none, and says why it cannot', () => {
    const bin = join(project, 'python')
    mkdirSync(bin)
    writeFileSync(join(bin, 'python3'), '#!/bin/sh\n', { mode: 0o755 })
    const none = { LIBTORCH: '', HOME: project, XDG_CACHE_HOME: project, VIRTUAL_ENV: '', CONDA_PREFIX: '' }
    // Nobody listens there, so nothing is downloaded.
    const shut = { HTTPS_PROXY: 'http://127.0.0.1:1', PATH: `${bin}:${env.PATH ?? ''}` }
    const { stderr, status } = build({ ...none, ...shut })
    assert.match(stderr, /^no libtorch with C\+\+ headers is here yet\nelectra-classifier: .*127\.0\.0\.1:1/)
    assert.equal(status, 1)
  })

  it('says so where npm cannot bring what it needs, and leaves nothing behind', () => {
    const { stderr, status } = build({ npm_config_offline: 'true', npm_config_cache: join(project, 'empty') })
    assert.match(
      stderr,
      /npm could not get cmake-js, node-addon-api, node-api-headers, which the build needs: /,
    )
    assert.equal(status, 1)
    assert.ok(!existsSync(join(installedIn(project), 'build')))
  })

  it('compiles the addon and a core, which are used from then on', async () => {
    // The core takes minutes; the few lines that stand in for it elsewhere link the same libtorch.
    const native = join(installedIn(project), 'native')
    rmSync(join(native, 'core'), { recursive: true })
    cpSync(join(ROOT, 'native', 'test', 'fake_core.cpp'), join(native, 'core', 'core.cpp'))
    const cuda = join('core', 'cuda', 'cuda.cmake')
    cpSync(join(ROOT, 'native', cuda), join(native, cuda))
    rmSync(join(installedIn(project), 'prebuilds'), { recursive: true })
    const { found } = await findLibtorch(undefined, { for_building: true })
    assert.ok(found)
    const { stdout, stderr, status } = build({ LIBTORCH: found.folder })
    assert.equal(status, 0, stderr)
    const folder = join(installedIn(project), 'build', 'Release')
    const names = ['electra_classifier.node', `libelectra_core-${found.minor}.so`]
    for (const name of names) assert.ok(stdout.includes(join(folder, name)), stdout)
    assert.deepEqual(readdirSync(folder).sort(), names)

    const binding = JSON.stringify(join(installedIn(project), 'dist', 'binding.js'))
    const script = `require(${binding}).openBinding().then(({ core }) => console.log(core.devices[0].name))`
    const opened = run(process.execPath, ['-e', script], { env: { ...env, LIBTORCH: found.folder } })
    assert.equal(opened.stdout, 'cpu\n', opened.stderr)
  })
})
