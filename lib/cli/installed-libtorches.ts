import { existsSync, readdirSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { bytesIn, cacheEntries, CHECKED_MARKER, downloadsFolder, inspectEntry } from '../libtorch/cache'
import { findLibtorch } from '../libtorch/find'
import { LibtorchError } from '../libtorch/inspect'
import { megabytes } from '../libtorch/install'
import type { Variant } from '../libtorch/variants'
import { InputError } from './endings'

export interface ListArguments {
  dir?: string
  format: 'text' | 'json'
}

export interface UninstallArguments {
  variant?: Variant
  dir?: string
}

/** One installed libtorch. */
interface Entry {
  path: string
  bytes: number
  version?: string
  build?: string
  /** Why it cannot be used; absent where it can. */
  damage?: string
}

/** Prints what is installed; an asterisk marks the one that `load()` would take now. */
export async function list({ dir, format }: ListArguments): Promise<void> {
  const entries = await Promise.all(entriesIn(dir).map(describe))
  const { found } = await findLibtorch()
  const used = (entry: Entry): boolean => found?.folder.startsWith(entry.path) ?? false
  if (format === 'json') {
    const rows = entries.map((entry) => ({ ...entry, used: used(entry) }))
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`)
    return
  }
  for (const entry of entries) {
    const { path, bytes, version = '', build = '', damage } = entry
    const what = damage === undefined ? `${version} ${build}` : `damaged: ${damage}`
    process.stdout.write(`${used(entry) ? '*' : ' '} ${what}  ${megabytes(bytes)}  ${path}\n`)
  }
  if (!entries.length)
    process.stdout.write('none is installed; npx electra-classifier install-libtorch does it\n')
}

/** Removes entries, and downloads that were cut. */
export async function uninstall({ variant, dir }: UninstallArguments): Promise<void> {
  const entries = await Promise.all(entriesIn(dir).map(describe))
  const chosen = entries.filter(({ build, path }) => {
    return variant === undefined || build === variant || path.includes(`-${variant}-`)
  })
  if (!chosen.length) {
    throw new InputError(
      `There is no ${variant ?? 'libtorch'} to remove; \`electra-classifier list\` shows what is installed.`,
    )
  }
  for (const { path, bytes } of chosen) {
    // Out of the way first, so that nobody finds half of it.
    const gone = `${path}.removed`
    await rename(path, gone)
    await rm(gone, { recursive: true, force: true })
    process.stdout.write(`removed ${path} (${megabytes(bytes)})\n`)
  }
  if (dir === undefined && variant === undefined)
    await rm(downloadsFolder(), { recursive: true, force: true })
}

function entriesIn(dir: string | undefined): string[] {
  if (dir === undefined) return cacheEntries()
  const folder = resolve(dir)
  if (existsSync(join(folder, CHECKED_MARKER))) return [folder]
  const what = existsSync(folder) && readdirSync(folder).length ? 'holds something else' : 'holds nothing'
  throw new InputError(`${folder} ${what}: install-libtorch has installed nothing there.`)
}

async function describe(path: string): Promise<Entry> {
  const bytes = await bytesIn(path)
  try {
    const { version, build } = inspectEntry(path)
    return { path, bytes, version, build }
  } catch (error) {
    if (error instanceof LibtorchError) return { path, bytes, damage: error.message }
    throw error
  }
}
