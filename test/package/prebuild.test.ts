import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { builtCores } from '../../lib/binding'
import { SUPPORTED_MINORS } from '../../lib/libtorch'
import { checkPrebuild, completePrebuilds } from '../../scripts/check-prebuild'
import { collect } from '../../scripts/prebuild'

const ROOT = join(__dirname, '..', '..')
const RELEASE = join(ROOT, 'build', 'Release')
const TARGET = `${process.platform}-${process.arch}`
const WORKFLOWS = join(ROOT, '.github', 'workflows')

/** Needing too new a system is a matter of where it was compiled; everything else must hold anywhere. */
const TOO_NEW = / needs (GLIBC|GLIBCXX|CXXABI|GCC)_[\d.]+, newer than /

describe('prebuilds', function () {
  this.timeout(120_000)
  let folder: string

  before(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'electra-prebuilds-')))
  })

  after(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  describe('of what was compiled here', () => {
    let files: string[]

    before(async () => {
      const prebuilds = join(folder, 'prebuilds')
      if (existsSync(join(RELEASE, 'electra_classifier.node'))) {
        files = await collect(RELEASE, prebuilds)
      } else {
        cpSync(join(ROOT, 'prebuilds', TARGET), join(prebuilds, TARGET), { recursive: true })
        files = readdirSync(join(prebuilds, TARGET)).map((name) => join(prebuilds, TARGET, name))
      }
    })

    it('are the addon and the cores, and nothing that only tests need', () => {
      const names = files.map((path) => basename(path))
      assert.equal(names.filter((name) => name.endsWith('.node')).length, 1)
      const cores = [...builtCores().values()].map((path) => basename(path))
      assert.ok(cores.length > 0)
      for (const core of cores) assert.ok(names.includes(core), core)
      assert.ok(!names.some((name) => name.includes('fake')), names.join())
    })

    it('have no paths in them, are stripped, and export what opens them alone', async () => {
      const problems = await checkPrebuild(files)
      assert.deepEqual(
        problems.filter((problem) => !TOO_NEW.test(problem)),
        [],
      )
    })

    it('are found through node-gyp-build in a package without build/, and score a text', () => {
      for (const name of ['package.json', 'dist']) {
        cpSync(join(ROOT, name), join(folder, name), { recursive: true })
      }
      for (const name of ['models', 'node_modules']) symlinkSync(join(ROOT, name), join(folder, name))
      const main = join(folder, 'dist', 'cli', 'main.js')
      const { stdout, stderr } = spawnSync(process.execPath, [main, 'doctor', '--format', 'json'], {
        encoding: 'utf8',
      })
      assert.ok(stdout.includes(join(folder, 'prebuilds', TARGET)), stdout + stderr)
      const scored = spawnSync(process.execPath, [main, 'classify', 'I love this restaurant!'], {
        encoding: 'utf8',
      })
      assert.match(scored.stdout, /^positive {2}0\.9/, scored.stderr)
    })
  })

  describe('that would not run elsewhere', () => {
    before(function () {
      const works = process.platform === 'linux' && spawnSync('cc', ['--version']).status === 0
      if (works) return
      console.log('      skipped: there is no Linux C compiler here to make bad libraries with')
      this.skip()
    })

    const CORE = 'libelectra_core-2.13.so'

    /** A library of one C file. */
    function library(path: string, source: string, ...options: string[]): string {
      mkdirSync(dirname(path), { recursive: true })
      const code = join(folder, 'bad.c')
      writeFileSync(code, source)
      const made = spawnSync('cc', ['-shared', '-fPIC', '-nostartfiles', '-o', path, code, ...options], {
        encoding: 'utf8',
      })
      assert.equal(made.status, 0, made.stderr)
      return path
    }

    const good = 'int electra_core_get(void) { return 0; }\n'

    it('pass where nothing is wrong', async () => {
      assert.deepEqual(await checkPrebuild([library(join(folder, 'good', TARGET, CORE), good, '-s')]), [])
    })

    it('are refused, each for its reason', async () => {
      const unnamed = library(join(folder, 'libunnamed.so'), 'int unnamed(void) { return 0; }\n', '-s')
      const other = TARGET === 'linux-arm64' ? 'linux-x64' : 'linux-arm64'
      const bad: [string, string[], RegExp][] = [
        [good, ['-s', '-Wl,-rpath,/opt/torch/lib'], / has the search path \/opt\/torch\/lib$/],
        [good, ['-s', '-Wl,--no-as-needed', unnamed], / needs .*\/libunnamed\.so by its path$/],
        [`${good}int more(void) { return 0; }\n`, ['-s'], / exports 1 symbols too many, such as more$/],
        [
          'static int none(void) { return 0; }\nint (*keep)(void) __attribute__((visibility("hidden"))) = none;\n',
          ['-s'],
          / exports nothing$/,
        ],
        [good, [], / is not stripped$/],
      ]
      for (const [place, [source, options, message]] of bad.entries()) {
        const problems = await checkPrebuild([
          library(join(folder, `bad-${place}`, TARGET, CORE), source, ...options),
        ])
        assert.equal(problems.length, 1, problems.join())
        assert.match(problems[0] ?? '', message)
        assert.ok(problems[0]?.startsWith(`${TARGET}/${CORE} `))
      }
      const path = library(join(folder, 'elsewhere', other, CORE), good, '-s')
      assert.match((await checkPrebuild([path])).join(), / is built for /)
    })

    it('are refused where they need a newer glibc than manylinux_2_28 has', async function () {
      const path = join(folder, 'new', TARGET, CORE)
      const source = `unsigned arc4random(void);\nint electra_core_get(void) { return (int)arc4random(); }\n`
      library(path, source, '-s')
      const problems = await checkPrebuild([path])
      if (!problems.length) {
        console.log('      skipped: the C library here is older than 2.36')
        this.skip()
      }
      assert.deepEqual(problems, [`${TARGET}/${CORE} needs GLIBC_2.36, newer than GLIBC_2.28`])
    })

    it('are refused for macOS and Windows where they are for Linux', async () => {
      const elf = library(join(folder, 'good', TARGET, CORE), good, '-s')
      for (const [target, message] of [
        ['darwin-arm64', / is no macOS library for arm64$/],
        ['win32-x64', / is no Windows library for x64$/],
      ] as const) {
        const path = join(folder, target, 'electra-classifier.node')
        mkdirSync(dirname(path))
        copyFileSync(elf, path)
        assert.match((await checkPrebuild([path])).join(), message)
      }
    })
  })

  it('of a release: every platform has the addon and a core for each supported minor', () => {
    const names = completePrebuilds()
    for (const target of ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64']) {
      const own = names.filter((name) => name.startsWith(`${target}/`) && !name.includes('electra_cuda'))
      assert.equal(own.length, 1 + SUPPORTED_MINORS.length, target)
    }
    assert.ok(names.includes('linux-x64/libelectra_cuda-2.13-cu13.so'))
  })

  it('of the workflow are those of a release, by scripts that are there', () => {
    const release = readFileSync(join(WORKFLOWS, 'release.yml'), 'utf8')
    const minor = (version = '') => version.split('.', 2).join('.')
    const torch = /torch: '(\[.*\])'/.exec(release)?.[1] ?? '[]'
    assert.deepEqual((JSON.parse(torch) as string[]).map(minor), SUPPORTED_MINORS)
    const pairs = [...release.matchAll(/"torch": "([\d.]+)", "variant": "cu(\d\d)\d"/g)].map(
      ([, version, major]) => `linux-x64/libelectra_cuda-${minor(version)}-cu${major ?? ''}.so`,
    )
    assert.deepEqual(
      pairs,
      completePrebuilds().filter((name) => name.includes('electra_cuda')),
    )
    for (const name of readdirSync(WORKFLOWS)) {
      const text = readFileSync(join(WORKFLOWS, name), 'utf8')
      for (const [script] of text.matchAll(/(scripts\/[\w-]+\.\w+|\.ci\/run)/g)) {
        assert.ok(existsSync(join(ROOT, script)), `${name} names ${script}`)
      }
    }
  })
})
