import assert from 'node:assert/strict'
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { PLATFORM, installedIn, run, skip, unpackedProject, withLibtorch } from './installation'

describe('an addon that cannot be opened', function () {
  this.timeout(600_000)
  let project: string
  let env: NodeJS.ProcessEnv
  let prebuilds: string
  let addon: string
  let whole: Buffer

  before(async function () {
    if (process.platform !== 'linux') return skip(this, 'the files that are damaged here are Linux ones')
    const made = unpackedProject()
    project = made.project
    env = await withLibtorch(made.env)
    prebuilds = join(installedIn(project), 'prebuilds', PLATFORM)
    addon = join(prebuilds, readdirSync(prebuilds).find((name) => name.endsWith('.node')) ?? '')
    whole = readFileSync(addon)
  })

  after(() => {
    if (project) rmSync(project, { recursive: true, force: true })
  })

  afterEach(() => {
    writeFileSync(addon, whole)
  })

  /** What `load` ends with in the project. */
  function refusal(args: string[] = ['refused.cjs']): string {
    const { stdout, stderr } = run(process.execPath, args, { cwd: project, env })
    assert.match(stdout, /^\{/, stderr)
    const { name, code, message } = JSON.parse(stdout) as Record<string, string>
    assert.deepEqual([name, code], ['ElectraError', 'BINDING_NOT_FOUND'])
    assert.match(message ?? '', /^[^\n]+\.$/, 'one sentence')
    return message ?? ''
  }

  function patched(change: (bytes: Buffer) => void): void {
    const bytes = Buffer.from(whole)
    change(bytes)
    assert.notDeepEqual(bytes, whole)
    writeFileSync(addon, bytes)
  }

  const NEEDS = 'needs a C\\+\\+20 compiler, cmake, and make or ninja'

  it('opens as it is, and no sooner than a model is loaded', () => {
    const { stdout, stderr } = run(process.execPath, ['lazy.cjs'], { cwd: project, env })
    assert.deepEqual(JSON.parse(stdout || stderr), {
      before: [],
      after: ['electra_classifier', 'electra_core', 'libtorch_cpu'],
    })
  })

  it('is not there: says for what there is one, how to compile one, and what that needs', () => {
    const elsewhere = join(dirname(prebuilds), 'plan9-x64')
    renameSync(prebuilds, elsewhere)
    try {
      const expected = `There is no addon for ${PLATFORM} in \\S.*electra-classifier \\(there is one for .*plan9-x64\\); compile one with \`npx electra-classifier build\`, which ${NEEDS}`
      assert.match(refusal(), new RegExp(expected))
    } finally {
      renameSync(elsewhere, prebuilds)
    }
  })

  it('needs a newer glibc: names its version and the one that is here', () => {
    patched((bytes) => {
      // The newest that it needs, whichever that is.
      const versions = [...bytes.toString('latin1').matchAll(/\0(GLIBC_2\.(\d\d))\0/g)]
      const newest = versions.sort((a, b) => Number(a[2]) - Number(b[2])).at(-1)
      bytes.write('GLIBC_2.99', (newest?.index ?? -2) + 1, 'latin1')
    })
    const expected = `needs GLIBC_2\\.99, which this system \\(glibc 2\\.\\d+\\) does not have; use a newer one \\(Debian 10, .*\\), or compile the addon here with \`npx electra-classifier build\` \\(it ${NEEDS}\\)`
    assert.match(refusal(), new RegExp(expected))
  })

  it('is for another processor: says so, where the loader says that there is no such file', () => {
    patched((bytes) => bytes.writeUInt16LE(process.arch === 'x64' ? 183 : 62, 18))
    const [other, own] = process.arch === 'x64' ? ['arm64', 'x64'] : ['x64', 'arm64']
    const expected = `is built for another processor \\(${other}\\) than this ${own}; install the package anew on this machine: npm install electra-classifier`
    assert.match(refusal(), new RegExp(expected))
  })

  for (const length of [0, 100]) {
    it(`is damaged, ${length} bytes long: says so`, () => {
      truncateSync(addon, length)
      assert.match(refusal(), /is damaged; install the package anew on this machine: npm install/)
    })
  }

  it('is for glibc, on a system with musl: says that libtorch is too, and what to use', () => {
    // musl itself is met in the test of the slim root; here Node's report is made to look as it does there.
    writeFileSync(
      join(project, 'as-on-musl.cjs'),
      'const { header } = process.report.getReport()\ndelete header.glibcVersionRuntime\nprocess.report.getReport = () => ({ header })\n',
    )
    truncateSync(addon, 0)
    const message = refusal(['--require', './as-on-musl.cjs', 'refused.cjs'])
    assert.match(
      message,
      /^This system has musl instead of glibc, as Alpine Linux does, and libtorch is built for glibc only; /,
    )
    assert.match(message, /use .*node:22-slim/)
  })

  it('is not where a bundler put the code: says how to keep the package out of the bundle', async () => {
    const outfile = join(project, 'out', 'bundled.cjs')
    mkdirSync(dirname(outfile), { recursive: true })
    const options = { platform: 'node', bundle: true, logLevel: 'silent', outfile } as const
    await build({
      ...options,
      absWorkingDir: project,
      entryPoints: [join(project, 'refused.cjs')],
      nodePaths: [env.NODE_PATH ?? ''],
    })
    const message = refusal([outfile])
    assert.match(message, /^The code of electra-classifier was bundled into a file near /)
    assert.match(message, /--external:electra-classifier.*externals.*serverExternalPackages/)
  })
})
