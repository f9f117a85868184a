/* The addon on the fake core (native/test/fake_core.cpp), apart from any other addon in this process. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type * as native from '../../binding'
import { addonPath } from '../../lib/binding'

export type Addon = typeof native

const BUILT = join(__dirname, '..', '..', 'build', 'Release')
/** The one that the library itself would open. */
export const ADDON = addonPath() ?? join(BUILT, 'electra_classifier.node')
// What only tests need lies beside the addon that they are built with, and not among prebuilds.
const RELEASE = existsSync(join(dirname(ADDON), 'libelectra_core-fake.so')) ? dirname(ADDON) : BUILT
export const FAKE_CORE = join(RELEASE, 'libelectra_core-fake.so')
export const CPU_LIMITS = join(RELEASE, 'electra_cpu_limits')

/**
 * The path of a program of native/test beside the addon, so of the same libtorch; the test that asks is skipped where
 * none is built, as among prebuilds.
 */
export function testProgram(test: Mocha.Context, name: string): string {
  const path = join(dirname(ADDON), name)
  if (!existsSync(path)) {
    console.log(`    skipped: ${path} is not built (npm run build:native builds it)`)
    test.skip()
  }
  return path
}

let scratch: string | undefined
const addons: Addon[] = []

/** A path that nothing is at, in a folder that goes when the process ends. */
let made = 0
export function scratchPath(name: string): string {
  if (scratch === undefined) {
    const folder = (scratch = mkdtempSync(join(tmpdir(), 'electra-binding-')))
    process.once('exit', () => {
      for (const addon of addons) addon.shutdown()
      rmSync(folder, { recursive: true, force: true })
    })
  }
  return join(scratch, `${++made}-${name}`)
}

/** A folder with a `libtorch.so` that is none: opening it succeeds and does nothing. */
export function fakeLibtorch(): string {
  const folder = scratchPath('libtorch')
  mkdirSync(folder)
  copyFileSync(FAKE_CORE, join(folder, 'libtorch.so'))
  return folder
}

/**
 * The addon under a file name of its own. What it keeps for the process it keeps in its own image, so a copy
 * starts with nothing open, and leaves the addon of the other tests (with the real libtorch) alone.
 */
export function freshAddon(): Addon {
  const copy = scratchPath('electra_classifier.node')
  copyFileSync(ADDON, copy)
  const addon = createRequire(__filename)(copy) as Addon
  addons.push(addon)
  return addon
}

let opened: Promise<Addon> | undefined

/** One addon for all tests that only need an open fake core. */
export function fakeAddon(): Promise<Addon> {
  opened ??= (async () => {
    const addon = freshAddon()
    await addon.open(fakeLibtorch(), FAKE_CORE)
    return addon
  })()
  return opened
}

/** @param config the script of the fake core */
export function spec(config = '', changes: Partial<native.LoadSpec> = {}): native.LoadSpec {
  return { kind: 'checkpoint', path: '/fake', config, device: 'cpu', dtype: 'fp32', threads: 1, ...changes }
}

/** Waits for what only a file or a counter tells; the test's own timeout ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setTimeout(1)
}

/** Skips a suite, and says why, where the fake core was not built. */
export function needsFakeCore(): void {
  before(function () {
    if (existsSync(FAKE_CORE)) return
    console.log(`      skipped: ${FAKE_CORE} is not built (npm run build:native builds it)`)
    this.skip()
  })
}
