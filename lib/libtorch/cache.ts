import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { LibtorchError, factsOf, type Inspected } from './inspect'
import type { Variant } from './variants'

/** The per-user folder that fetched libtorch builds are kept in. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  // The XDG specification has relative paths ignored.
  if (env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME))
    return join(env.XDG_CACHE_HOME, 'electra-classifier')
  const home = homedir()
  if (process.platform === 'darwin') return join(home, 'Library', 'Caches', 'electra-classifier')
  if (process.platform === 'win32') {
    return join(env.LOCALAPPDATA ?? join(home, 'AppData', 'Local'), 'electra-classifier', 'Cache')
  }
  return join(home, '.cache', 'electra-classifier')
}

/** Where a libtorch lies once it was fetched; it gets there whole and checked, or not at all. */
export function cacheEntry(version: string, variant: Variant, env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(env), `libtorch-${version}-${variant}-${process.platform}-${process.arch}`)
}

/** Where wheels are kept while they come, so that a download that was cut goes on. */
export function downloadsFolder(env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(env), 'downloads')
}

/** Absolute paths of the entries for this platform, the one that was installed last first. */
export function cacheEntries(env: NodeJS.ProcessEnv = process.env): string[] {
  const folder = cacheFolder(env)
  const name = new RegExp(`^libtorch-[\\d.]+-\\w+-${process.platform}-${process.arch}$`)
  return (existsSync(folder) ? readdirSync(folder) : [])
    .filter((entry) => name.test(entry))
    .map((entry) => join(folder, entry))
    .map((entry) => ({ entry, installed: installedAt(entry) }))
    .sort((a, b) => b.installed - a.installed)
    .map(({ entry }) => entry)
}

/** When the entry was installed, in ms since 1970; 0 where it never was whole. */
export function installedAt(entry: string): number {
  return statSync(join(entry, CHECKED_MARKER), { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** Name of the file that marks an entry as whole; it is written before the entry gets its name. */
export const CHECKED_MARKER = '.checked'

/** What the marker holds. */
export interface Manifest {
  /** Where it came from. */
  from: string
  /** Bytes and SHA-256 (hex) of each library and of the version file, by path below the entry. */
  files: Record<string, { size: number; sha256: string }>
}

/**
 * @throws LibtorchError where the entry was not installed whole, or has been damaged since
 */
export function readManifest(entry: string): Manifest {
  const path = join(entry, CHECKED_MARKER)
  if (!existsSync(path)) {
    throw new LibtorchError('LIBTORCH_NOT_FOUND', 'no libtorch was installed there yet')
  }
  const text = readFileSync(path, 'utf8')
  // Earlier versions marked an entry with an empty file.
  if (text === '') return { from: '', files: {} }
  try {
    return JSON.parse(text) as Manifest
  } catch (cause) {
    throw damaged(entry, `${CHECKED_MARKER} cannot be read`, cause)
  }
}

/**
 * What a cache entry is, by its marker and the sizes of its files: what was checked in depth when it came need not be
 * again at each start.
 *
 * @throws LibtorchError
 */
export function inspectEntry(entry: string): Inspected {
  for (const [name, { size }] of Object.entries(readManifest(entry).files)) {
    const found = statSync(join(entry, name), { throwIfNoEntry: false })
    if (!found) throw damaged(entry, `${name} is gone`)
    if (found.size !== size) throw damaged(entry, `${name} has ${found.size} bytes instead of ${size}`)
  }
  return factsOf(entry)
}

/**
 * Compares every byte with what was installed.
 *
 * @throws LibtorchError
 */
export async function verifyEntry(entry: string): Promise<Inspected> {
  const found = inspectEntry(entry)
  for (const [name, { sha256 }] of Object.entries(readManifest(entry).files)) {
    const hash = createHash('sha256')
    await pipeline(createReadStream(join(entry, name)), hash)
    if (hash.digest('hex') !== sha256) throw damaged(entry, `${name} has other bytes than were installed`)
  }
  return found
}

function damaged(entry: string, what: string, cause?: unknown): LibtorchError {
  const error = new LibtorchError('LIBTORCH_NOT_FOUND', `the libtorch in ${entry} is damaged (${what})`)
  return Object.assign(error, { cause })
}

/** Bytes of all files below a folder, links not followed. */
export async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
