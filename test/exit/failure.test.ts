/* Engines that throw, hang, and put out no numbers, as the callers of a classifier see it; on the fake core. */
import assert from 'node:assert/strict'
import { copyFileSync, cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { ADDON, FAKE_CORE, needsFakeCore, scratchPath } from '../binding/fake'
import { writeFakeLibtorch } from '../fixtures/fake-libtorch'
import { check, LEFT_BEHIND, run, SILENT } from './child'

const ROOT = join(__dirname, '..', '..')

describe('a classifier whose engine fails', function () {
  this.timeout(60_000)
  needsFakeCore()
  let folder: string
  let libtorch: string

  /** The package with a core that does what it is told, and a libtorch that is none. */
  before(() => {
    folder = scratchPath('package')
    const release = join(folder, 'build', 'Release')
    mkdirSync(release, { recursive: true })
    copyFileSync(ADDON, join(release, 'electra_classifier.node'))
    copyFileSync(FAKE_CORE, join(release, 'libelectra_core-2.13.so'))
    for (const name of ['package.json', 'dist', 'models']) {
      cpSync(join(ROOT, name), join(folder, name), { recursive: true })
    }
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    libtorch = writeFakeLibtorch(scratchPath('libtorch'))
    copyFileSync(FAKE_CORE, join(libtorch, 'lib', 'libtorch.so'))
  })

  const play = (scenario: string) =>
    run(join(__dirname, 'failure-scenarios.cjs'), [folder, libtorch, scratchPath('models'), scenario])

  const failed = (waiting: string) =>
    `true
ElectraError FORWARD_FAILED, ElectraError ${waiting}, ElectraError UNHEALTHY false
ElectraError UNHEALTHY ElectraError UNHEALTHY
scored true
`

  const endings: [string, string, number, string | RegExp, RegExp][] = [
    ['throws: unhealthy, and others go on', 'throws', 0, failed('FORWARD_FAILED'), SILENT],
    ['puts out NaN: unhealthy, and others go on', 'nan', 0, failed('FORWARD_FAILED'), SILENT],
    // The batch behind the one that failed may be on the lane already, or be refused before it is.
    [
      'fails for good: unhealthy, and others go on',
      'fails_for_good',
      0,
      new RegExp(`^${failed('(?:FORWARD_FAILED|UNHEALTHY)')}$`),
      SILENT,
    ],
    ['hangs: unhealthy, and others go on', 'hangs', 0, failed('FORWARD_FAILED'), SILENT],
    [
      'fails on one text: that text is refused, and others are scored',
      'one_bad_text',
      0,
      'ElectraError FORWARD_FAILED true\nscored true\n'.repeat(2),
      SILENT,
    ],
    [
      'hangs, and the process ends by itself',
      'hung_then_natural',
      0,
      'ElectraError FORWARD_FAILED false\n',
      LEFT_BEHIND,
    ],
    ['hangs, and is closed', 'hung_then_closed', 0, 'ElectraError FORWARD_FAILED\nclosed\n', LEFT_BEHIND],
    ['hangs while it is drained', 'hung_while_closing', 0, 'ElectraError FORWARD_FAILED\n', LEFT_BEHIND],
    ['hangs, and process.exit() is called', 'hung_then_exit', 7, '', LEFT_BEHIND],
    [
      'hangs, and an error is thrown',
      'hung_then_throw',
      1,
      '',
      /^electra-classifier: 1 inference thread did not stop within 5 s and was left behind\n[^]*\nError: uncaught on purpose\n(?: {4}at .*\n)+\nNode\.js v\S+\n$/,
    ],
    ['hangs, and SIGTERM closes it', 'hung_then_sigterm', 0, 'handled\n', LEFT_BEHIND],
    ['hangs, and SIGTERM exits before the watchdog', 'hanging_then_sigterm_exits', 0, '', LEFT_BEHIND],
  ]
  for (const [what, scenario, code, stdout, stderr] of endings) {
    it(what, async () => {
      check(await play(scenario), code, stdout, stderr)
    })
  }

  it('hangs, and SIGTERM that nobody handles ends the process', async () => {
    const { signal, stdout, stderr } = await play('hanging_then_sigterm')
    assert.deepEqual([signal, stdout, stderr], ['SIGTERM', '', ''])
  })
})
