import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import nodeGypBuild from 'node-gyp-build'
import type * as native from '../binding'
import { addonMissing, addonUnopened } from './addon-failure'
import { ElectraError, type ErrorCode } from './errors'
import { describePlace, findLibtorch, type Libtorch, type Tried } from './libtorch/find'

export type { ArchiveFile, CoreInfo, CpuInfo, LoadSpec, Model, ModelInfo } from '../binding'
export type Addon = typeof native

/** The addon with libtorch and the core open. */
export interface Binding {
  addon: Addon
  core: native.CoreInfo
  libtorch: Libtorch
}

/** Where the package lives; the same from `lib/` and from `dist/`. */
const PACKAGE_FOLDER = join(__dirname, '..')

/** Absolute path of the compiled addon, or undefined. */
export function addonPath(): string | undefined {
  try {
    return nodeGypBuild.path(PACKAGE_FOLDER)
  } catch {
    return undefined
  }
}

let addon: Addon | undefined

/** Loads the addon, which links no torch; later calls return the same one. */
export function openAddon(): Addon {
  if (addon) return addon
  const path = addonPath()
  if (path === undefined) {
    throw addonMissing(PACKAGE_FOLDER)
  }
  try {
    addon = nodeGypBuild(PACKAGE_FOLDER) as Addon
  } catch (cause) {
    throw addonUnopened(PACKAGE_FOLDER, path, cause)
  }
  // process.exit() and an uncaught throw run no cleanup hooks, so the threads are stopped here.
  process.once('exit', addon.shutdown)
  return addon
}

/** Cores that were built, by libtorch minor: the prebuilt ones, and before them those compiled on this machine. */
export function builtCores(): Map<string, string> {
  const path = addonPath()
  const cores = new Map<string, string>()
  if (path === undefined) return cores
  const prebuilt = join(PACKAGE_FOLDER, 'prebuilds', `${process.platform}-${process.arch}`)
  for (const folder of [prebuilt, dirname(path)]) {
    for (const file of existsSync(folder) ? readdirSync(folder) : []) {
      const minor = /^(?:lib)?electra_core-(\d+\.\d+)\.(?:so|dylib|dll)$/.exec(file)?.[1]
      if (minor !== undefined) cores.set(minor, join(folder, file))
    }
  }
  return cores
}

/**
 * Finds a libtorch and opens it with the core built for its minor.
 *
 * @param option a libtorch folder to use instead of the one that would be found
 */
export async function openBinding(option?: string): Promise<Binding> {
  const addon = openAddon()
  const cores = builtCores()
  const search = { minors: cores.keys(), probe: true }
  let { found: libtorch, tried } = await findLibtorch(option, search)
  if (!libtorch && option === undefined && isTrue(process.env.ELECTRA_AUTO_INSTALL)) {
    const { installLibtorch } = await import('./libtorch/install.js')
    const announced = 'electra-classifier: no libtorch was found; installing it (ELECTRA_AUTO_INSTALL)\n'
    await installLibtorch({ variant: 'cpu', on_plan: () => process.stderr.write(announced) })
    ;({ found: libtorch, tried } = await findLibtorch(option, { ...search, minors: cores.keys() }))
  }
  const core = libtorch && cores.get(libtorch.minor)
  if (!libtorch || core === undefined) throw libtorchNotFound(tried)
  try {
    return { addon, core: await addon.open(libtorch.lib, core), libtorch }
  } catch (error) {
    throw cannotOpen(error, libtorch)
  }
}

/** The command that brings a libtorch. */
export const INSTALL_LIBTORCH = 'npx electra-classifier install-libtorch'

function libtorchNotFound(tried: readonly Tried[]): ElectraError {
  const places = tried.map((place) => `\n  ${describePlace(place.source, place)}`)
  const unsupported = tried.some(({ code }) => code === 'LIBTORCH_MISMATCH')
  return new ElectraError(
    unsupported ? 'LIBTORCH_MISMATCH' : 'LIBTORCH_NOT_FOUND',
    `No ${unsupported ? 'supported ' : ''}libtorch was found; get one with \`${INSTALL_LIBTORCH}\` (ELECTRA_AUTO_INSTALL=1 lets this process do it), or set LIBTORCH to the folder of one.${places.join('')}`,
  )
}

/** A library that the loader refuses is damaged or lacks something, whatever its name and size said. */
function cannotOpen(error: unknown, { source, folder }: Libtorch): unknown {
  const ours = toElectraError(error)
  if (!(ours instanceof ElectraError) || ours.code !== 'LIBTORCH_NOT_FOUND') return ours
  const remedy =
    source === 'cache'
      ? `install it anew with \`${INSTALL_LIBTORCH}\``
      : `mend it, or get another with \`${INSTALL_LIBTORCH}\``
  return new ElectraError(
    'LIBTORCH_NOT_FOUND',
    `The libtorch in ${folder} could not be opened (${ours.message.replace(/\.$/, '')}); ${remedy}.`,
    { cause: error },
  )
}

/** As Python's libraries read a switch in the environment. */
function isTrue(value: string | undefined): boolean {
  return /^(?:1|on|yes|true)$/i.test(value ?? '')
}

/** What a user can do about an error that the native side reports; the rest say it themselves. */
const REMEDIES: Partial<Record<ErrorCode, string>> = {
  OUT_OF_MEMORY: 'free memory, or pass fewer or shorter rows at once',
  FORWARD_FAILED: 'other texts can still be scored; pass another text, or load the model anew',
}

const NATIVE_CODES: ReadonlySet<string> = new Set<native.NativeErrorCode>([
  'LIBTORCH_NOT_FOUND',
  'LIBTORCH_MISMATCH',
  'CHECKPOINT_NOT_FOUND',
  'CHECKPOINT_INVALID',
  'DEVICE_UNAVAILABLE',
  'MODEL_LOAD_FAILED',
  'FORWARD_FAILED',
  'OUT_OF_MEMORY',
  'UNHEALTHY',
  'CLOSED',
])

function isNativeCode(code: unknown): code is native.NativeErrorCode {
  return typeof code === 'string' && NATIVE_CODES.has(code)
}

/**
 * A native error, or one of this library's own, as the caller of the public door gets it: made anew here, so
 * that its stack shows who called rather than which thread answered. Anything else is returned as it is.
 */
export function toElectraError(error: unknown): unknown {
  if (error instanceof RangeError) return new RangeError(error.message, { cause: error })
  if (!(error instanceof Error) || !('code' in error)) return error
  const { code } = error
  if (!isNativeCode(code)) return error
  const remedy = error instanceof ElectraError ? undefined : REMEDIES[code]
  const message = remedy === undefined ? error.message : `${error.message.replace(/\.$/, '')}; ${remedy}.`
  return new ElectraError(code, message, { cause: error })
}
