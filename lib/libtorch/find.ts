import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { cacheEntries, cacheEntry, inspectEntry } from './cache'
import { inspectLibtorch, LibtorchError, type Inspected } from './inspect'
import { isRisky, requireOpens } from './probe'
import { pythonTorches } from './python'
import { PINNED_VERSION } from './variants'

/** Where a libtorch was named or found, in the order in which they are tried. */
export type LibtorchSource = 'option' | 'LIBTORCH' | 'cache' | 'python'

/** A libtorch on this machine that was checked: its version is supported and what it needs is there. */
export interface Libtorch extends Inspected {
  source: LibtorchSource
}

/** A place that had no usable libtorch, and why. */
export interface Tried {
  source: LibtorchSource
  /** Where it was looked for; absent where nothing named a place. */
  path?: string
  code: LibtorchError['code']
  /** One sentence without a full stop. */
  reason: string
}

/** A line of a list of places; `name` is what that list calls the source. */
export function describePlace(name: string, { path, reason }: Tried): string {
  return `${name}${path === undefined ? '' : ` ${path}`}: ${reason}`
}

export interface FindOptions {
  /** Also asks for the C++ headers, and checks a cache entry as deeply as any other place. */
  for_building?: boolean
  /** Minors that there is a core for; a libtorch of another one is passed over. All that are supported by default. */
  minors?: Iterable<string>
  /** Opens a Python's torch in a child process first where it may not be made for this machine. */
  probe?: boolean
  env?: NodeJS.ProcessEnv
}

/**
 * Finds the libtorch to use: the option, `LIBTORCH`, the per-user cache (what was installed last first), an installed
 * Python torch. An option that cannot be used ends the search, for whoever names a folder means that one.
 *
 * @returns what was found, and the places before it that could not be used
 */
export async function findLibtorch(
  option?: string,
  { for_building = false, minors, probe = false, env = process.env }: FindOptions = {},
): Promise<{ found?: Libtorch; tried: Tried[] }> {
  const tried: Tried[] = []
  const built = minors && new Set(minors)
  for await (const { source, path, missing } of places(option, env)) {
    try {
      if (path === undefined) throw new LibtorchError('LIBTORCH_NOT_FOUND', missing)
      const inspected = source === 'cache' ? inspectEntry(path) : inspectLibtorch(path)
      const found = { ...(for_building ? inspectLibtorch(path) : inspected), source }
      if (for_building) requireHeaders(found.folder)
      if (built) requireCore(found, built)
      if (probe && source === 'python' && isRisky(found)) await requireOpens(found, env)
      return { found, tried }
    } catch (error) {
      if (!(error instanceof LibtorchError)) throw error
      tried.push({ source, ...(path !== undefined && { path }), code: error.code, reason: error.message })
    }
  }
  return { tried }
}

type Place = { source: LibtorchSource } & (
  { path: string; missing?: never } | { path?: never; missing: string }
)

async function* places(option: string | undefined, env: NodeJS.ProcessEnv): AsyncGenerator<Place> {
  if (option !== undefined) {
    yield { source: 'option', path: resolve(option) }
    return
  }
  yield env.LIBTORCH
    ? { source: 'LIBTORCH', path: resolve(env.LIBTORCH) }
    : { source: 'LIBTORCH', missing: 'the environment variable LIBTORCH is not set' }
  const entries = cacheEntries(env)
  for (const path of entries.length ? entries : [cacheEntry(PINNED_VERSION, 'cpu', env)]) {
    yield { source: 'cache', path }
  }
  for await (const torch of pythonTorches(env)) {
    yield 'path' in torch
      ? { source: 'python', path: torch.path }
      : { source: 'python', missing: torch.reason }
  }
}

function requireHeaders(folder: string): void {
  if (existsSync(join(folder, 'include', 'torch', 'headeronly', 'version.h'))) return
  throw new LibtorchError(
    'LIBTORCH_NOT_FOUND',
    `${folder} has no C++ headers in include/, so nothing can be built`,
  )
}

function requireCore({ version, folder, minor }: Inspected, built: ReadonlySet<string>): void {
  if (built.has(minor)) return
  const others = [...built].sort().join(', ') || 'none'
  throw new LibtorchError(
    'LIBTORCH_MISMATCH',
    `libtorch ${version} in ${folder} has no core built for it (built: ${others})`,
  )
}
