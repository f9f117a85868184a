/**
 * `npm run test:asan`, `npm run test:tsan`: the native tests without Node, then the binding tests, on code that was
 * built with AddressSanitizer and UndefinedBehaviorSanitizer, or with ThreadSanitizer. Takes clang for the one and g++ for
 * the other; libtorch and Node themselves are not instrumented.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { runScript, sanitizedBuild, sanitizedEnvironment, type Sanitizer } from './sanitized-build'

const ROOT = resolve(__dirname, '..')
const CHECKPOINTS = join(ROOT, 'test', 'fixtures', 'checkpoints')
/** A reader of each kind, and an architecture of each kind. */
const READ = ['mean-swishglu', 'embeddings-project', 'bert-stock', 'cls-swishglu', 'pytorch-bin-sharded']
/** The readers with everything that a file may have wrong, on top of the binding's own. */
const MOCHA: Record<Sanitizer, string[]> = {
  address: ['test/binding/**/*.test.ts', 'test/model/bad-*.test.ts', 'test/model/foreign.test.ts'],
  thread: ['test/binding/**/*.test.ts'],
}

runScript(async () => {
  const [sanitizer] = process.argv.slice(2)
  if (sanitizer !== 'address' && sanitizer !== 'thread') throw new Error('usage: sanitize.ts address|thread')
  const build = await sanitizedBuild(sanitizer)
  const env = sanitizedEnvironment(build)
  const run = (what: string, command: string, args: string[], more: NodeJS.ProcessEnv = {}): void => {
    const start = performance.now()
    const { status, signal, error } = spawnSync(command, args, {
      cwd: ROOT,
      env: { ...env, ...more },
      stdio: 'inherit',
    })
    if (error) throw error
    if (status !== 0) throw new Error(`${what}: ended with ${signal ?? status}`)
    console.log(`${what}: no report (${((performance.now() - start) / 1000).toFixed(0)} s)`)
  }

  const lanes = join(build.release, 'electra_lanes')
  const fake = join(build.release, 'libelectra_core-fake.so')
  // A folder with a libtorch.so that is none.
  const libtorch = join(build.prebuild, 'fake-libtorch')
  mkdirSync(libtorch, { recursive: true })
  copyFileSync(fake, join(libtorch, 'libtorch.so'))
  run('the queue and the team', lanes, [libtorch, fake])
  if (sanitizer === 'address') {
    const checkpoints = READ.map((name) => join(CHECKPOINTS, name))
    run('readers and packing', lanes, [build.libtorch.lib, build.core, ...checkpoints])
  }

  const mocha = join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js')
  run(
    'the binding',
    process.execPath,
    [mocha, '--timeout', '300000', '--reporter', 'dot', ...MOCHA[sanitizer]],
    {
      LD_PRELOAD: build.runtime,
      ELECTRA_CLASSIFIER_PREBUILD: build.prebuild,
      // Node frees little when it ends, and what the native tests look at is the same code.
      ASAN_OPTIONS: 'detect_leaks=0',
    },
  )
})
