import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import nodeGypBuild from 'node-gyp-build'
import type * as native from '../binding'
import { addonMissing, addonUnopened } from './addon-failure'
import { ElectraError, type ErrorCode } from './errors'
import { findLibtorch, type Libtorch, type Tried } from './libtorch/find'

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
  const { found: libtorch, tried } = await findLibtorch(option)
  if (!libtorch) throw libtorchNotFound(tried)
  const cores = builtCores()
  const core = cores.get(libtorch.minor)
  if (core === undefined || !existsSync(core)) {
    const built = [...cores.keys()].join(', ') || 'none'
    throw new ElectraError(
      'LIBTORCH_MISMATCH',
      `libtorch ${libtorch.version} in ${libtorch.folder} has no core built for it (built: ${built}); set LIBTORCH to one of those versions, or build for this one with: LIBTORCH=${libtorch.folder} npm run prepare`,
    )
  }
  try {
    return { addon, core: await addon.open(libtorch.lib, core), libtorch }
  } catch (error) {
    throw toElectraError(error)
  }
}

function libtorchNotFound(tried: readonly Tried[]): ElectraError {
  const places = tried.map(
    ({ source, path, reason }) => `\n  ${source}${path === undefined ? '' : ` ${path}`}: ${reason}`,
  )
  const unsupported = tried.some(({ code }) => code === 'LIBTORCH_MISMATCH')
  return new ElectraError(
    unsupported ? 'LIBTORCH_MISMATCH' : 'LIBTORCH_NOT_FOUND',
    `No ${unsupported ? 'supported ' : ''}libtorch was found; get one with \`npm run prepare\` in ${PACKAGE_FOLDER}, or \`pip install torch==2.13.0\`, or set LIBTORCH to its folder.${places.join('')}`,
  )
}

/** What a user can do about an error that the native side reports; the rest say it themselves. */
const REMEDIES: Partial<Record<ErrorCode, string>> = {
  OUT_OF_MEMORY: 'free memory, or pass fewer or shorter rows at once',
  FORWARD_FAILED: 'the classifier is still usable; if it happens again, load the model anew',
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
