import { createHash, randomUUID } from 'node:crypto'
import {
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  writeFileSync,
  existsSync,
} from 'node:fs'
import { open, statfs } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { fetchBlob, isDiskFull, isFileError } from '../blob'
import { ElectraError } from '../errors'
import { withLock } from '../lock'
import { CHECKED_MARKER, cacheEntry, cacheFolder, downloadsFolder, verifyEntry, type Manifest } from './cache'
import { inspectLibtorch, LibtorchError, type Inspected } from './inspect'
import { makePlan, type Part, type Plan } from './plan'
import { NoRanges, openFile, openRemote, readRemote, sizeOfRemote, type Patience } from './remote'
import type { Variant } from './variants'
import { notWheel, readWheel, type Wheel, type WheelContents } from './wheel'
import { openSource, pytorchIndex } from './wheels'
import { NotZip, unpackEntry, type Bytes, type ZipEntry } from './zip'

export interface InstallOptions {
  /** The CPU's where nothing is said and `from` names no wheel. */
  variant?: Variant | undefined
  /** A wheel, a folder of wheels, or an index; by default the one of `ELECTRA_TORCH_INDEX`, else PyTorch's own. */
  from?: string | undefined
  /** Folder that becomes the libtorch, instead of an entry of the cache. */
  folder?: string | undefined
  /** Also brings the C++ headers, which building takes. */
  headers?: boolean
  env?: NodeJS.ProcessEnv
  signal?: AbortSignal | undefined
  /** How long a server may take to answer, in ms. */
  answer_ms?: number
  /** How long a download may stand still, in ms. */
  stall_ms?: number
  /** Gets what will be brought, before any of it is. */
  on_plan?: (sizes: PlanSizes) => void
  on_progress?: (progress: InstallProgress) => void
}

export interface PlanSizes {
  version: string
  variant: Variant
  /** Names of the wheels. */
  wheels: string[]
  /** Bytes that come over the network. */
  download: number
  /** Bytes on the disk in the end. */
  disk: number
  /** Bytes that the wheels hold beyond those. */
  left_out: number
  folder: string
}

export interface InstallProgress {
  doing: 'download' | 'unpack'
  /** Name of the wheel. */
  wheel: string
  loaded: number
  total: number
}

/** @internal What an installation knows while it runs. */
interface Site {
  /** What the libtorch will be called. */
  target: string
  /** Where wheels are kept while they come. */
  downloads: string
  patience: Patience
  options: InstallOptions
}

/**
 * Brings a libtorch to its folder, whole and checked or not at all; one that is there already and undamaged is left.
 *
 * @returns what is there now, and whether it was before
 * @throws RangeError for a build that nobody publishes, or a `from` or `folder` that cannot be meant
 * @throws ElectraError `DOWNLOAD_FAILED`, `LIBTORCH_MISMATCH`, `LIBTORCH_NOT_FOUND`; and the signal's reason
 */
export async function installLibtorch(
  options: InstallOptions,
): Promise<{ libtorch: Inspected; entry: string; was_there: boolean }> {
  const { env = process.env, signal, answer_ms = 30_000, stall_ms = 60_000 } = options
  const patience = { answer_ms, stall_ms, signal }
  const from = options.from ?? env.ELECTRA_TORCH_INDEX ?? pytorchIndex(options.variant ?? 'cpu')
  const given = options.folder === undefined ? undefined : resolve(options.folder)
  if (given !== undefined) checkFolder(given)
  const beside = given === undefined ? undefined : join(dirname(given), `.${basename(given)}`)
  const downloads = beside === undefined ? downloadsFolder(env) : `${beside}.downloads`
  const lock = beside === undefined ? join(cacheFolder(env), 'install.lock') : `${beside}.lock`
  try {
    const plan = await makePlan(
      openSource(from, patience),
      { variant: options.variant, headers: options.headers ?? false },
      (wheel) => look(wheel, downloads, patience, options),
    )
    const target = given ?? cacheEntry(plan.version, plan.variant, env)
    const site = { target, downloads, patience, options }
    const there = await usable(target, options)
    if (there) return { libtorch: there, entry: target, was_there: true }
    options.on_plan?.(sizesOf(plan, target))
    await withLock(
      lock,
      signal,
      async () => (await usable(target, options)) !== undefined,
      async () => {
        if (!(await usable(target, options))) await bring(plan, site, from)
      },
    )
    return { libtorch: inspectLibtorch(target), entry: target, was_there: false }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof LibtorchError) {
      throw new ElectraError(error.code, `What came from ${from} cannot be used: ${error.message}.`, {
        cause: error,
      })
    }
    throw isFileError(error) ? diskError(error, given ?? cacheFolder(env)) : error
  }
}

/** A folder of somebody's own is not written over. */
function checkFolder(folder: string): void {
  if (!existsSync(folder)) return
  if (existsSync(join(folder, CHECKED_MARKER))) return
  if (statSync(folder).isDirectory() && readdirSync(folder).length === 0) return
  throw new RangeError(`--dir names ${folder}, which holds something else; name a new folder.`)
}

async function usable(target: string, { headers }: InstallOptions): Promise<Inspected | undefined> {
  try {
    const found = await verifyEntry(target)
    inspectLibtorch(target)
    return headers && !existsSync(join(found.folder, 'include')) ? undefined : found
  } catch (error) {
    if (error instanceof LibtorchError) return undefined
    throw error
  }
}

/** Reads a wheel's lists where it lies; one on a server that sends no ranges has to come first. */
async function look(
  wheel: Wheel,
  downloads: string,
  patience: Patience,
  options: InstallOptions,
): Promise<{ contents: WheelContents; size: number }> {
  if (wheel.url.protocol !== 'file:') {
    try {
      const bytes = await openRemote(wheel.url, patience)
      return { contents: await readWheel(wheel, bytes), size: bytes.size }
    } catch (error) {
      if (!(error instanceof NoRanges)) throw error
    }
  }
  const path = await fetchWheel(wheel, downloads, patience, options)
  await using bytes = await openFile(path)
  return { contents: await readWheel(wheel, bytes), size: bytes.size }
}

/** @returns where the wheel lies on the disk */
async function fetchWheel(
  wheel: Wheel,
  downloads: string,
  patience: Patience,
  { on_progress }: InstallOptions,
): Promise<URL> {
  if (wheel.url.protocol === 'file:') return wheel.url
  const path = join(downloads, wheel.name)
  const local = pathToFileURL(path)
  if (existsSync(path)) return local
  const size = await sizeOfRemote(wheel.url, patience)
  mkdirSync(downloads, { recursive: true })
  await requireSpace(downloads, size, `download ${wheel.name}`)
  const { sha256 } = wheel
  await fetchBlob({
    name: wheel.name,
    size,
    ...(sha256 !== undefined && { hash: { value: sha256, start: () => createHash('sha256') } }),
    path,
    // Of other bytes under the same name nothing can be gone on from.
    partial: `${path}.${sha256?.slice(0, 12) ?? size}.part`,
    read: (from) => readRemote(wheel.url, from, patience),
    signal: patience.signal,
    report: (loaded) => on_progress?.({ doing: 'download', wheel: wheel.name, loaded, total: size }),
  })
  return local
}

function sizesOf({ version, variant, parts }: Plan, folder: string): PlanSizes {
  const sum = (sizes: number[]): number => sizes.reduce((all, size) => all + size, 0)
  const disk = sum(parts.map(unpackedSize))
  const whole = sum(parts.flatMap(({ contents }) => contents.entries.map(({ size }) => size)))
  return {
    version,
    variant,
    wheels: parts.map(({ wheel }) => wheel.name),
    download: sum(parts.map(({ wheel, size }) => (wheel.url.protocol === 'file:' ? 0 : size))),
    disk,
    left_out: whole - disk,
    folder,
  }
}

function unpackedSize({ files }: Part): number {
  return files.reduce((sum, { size }) => sum + size, 0)
}

async function bring({ version, variant, parts }: Plan, site: Site, from: string): Promise<void> {
  const { target, downloads, patience, options } = site
  mkdirSync(dirname(target), { recursive: true })
  removeLeftovers(target)
  const disk = parts.reduce((sum, part) => sum + unpackedSize(part), 0)
  // One wheel at a time lies there packed.
  const packed = Math.max(...parts.map(({ wheel, size }) => (wheel.url.protocol === 'file:' ? 0 : size)))
  await requireSpace(dirname(target), disk + packed, `install libtorch ${version} (${variant})`)
  const workplace = `${target}.${hostname()}.${process.pid}.${randomUUID().slice(0, 8)}.part`
  const made = join(workplace, 'libtorch')
  mkdirSync(made, { recursive: true })
  try {
    const files: Manifest['files'] = {}
    for (const part of parts) {
      const path = await fetchWheel(part.wheel, downloads, patience, options)
      Object.assign(files, await unpack(part, path, made, site))
      if (part.wheel.url.protocol !== 'file:') rmSync(fileURLToPath(path), { force: true })
    }
    const build_version = `${version}+${variant}\n`
    writeFileSync(join(made, 'torch', 'build-version'), build_version)
    files['torch/build-version'] = { size: build_version.length, sha256: sha256Of(build_version) }
    inspectLibtorch(made)
    writeFileSync(
      join(made, CHECKED_MARKER),
      `${JSON.stringify({ from, files } satisfies Manifest, null, 1)}\n`,
    )
    enter(made, target)
    rmdirIfEmpty(downloads)
  } finally {
    rmSync(workplace, { recursive: true, force: true })
  }
}

/** Each file is compared with the hash that the wheel's RECORD has for it. */
async function unpack(
  { wheel, contents, files }: Part,
  path: URL,
  folder: string,
  { patience, options }: Site,
): Promise<Manifest['files']> {
  await using bytes = await openFile(path)
  const total = files.reduce((sum, { size }) => sum + size, 0)
  const unpacked: Manifest['files'] = {}
  let loaded = 0
  for (const entry of files) {
    patience.signal?.throwIfAborted()
    const sha256 = await unpackFile(wheel, bytes, entry, join(folder, entry.name), (written) => {
      options.on_progress?.({ doing: 'unpack', wheel: wheel.name, loaded: loaded + written, total })
    })
    if (Buffer.from(sha256, 'hex').toString('base64url') !== contents.hashes.get(entry.name)) {
      throw notWheel(wheel, new Error(`${entry.name} has another SHA-256 than RECORD says`))
    }
    loaded += entry.size
    // Headers are many, and nothing that runs reads them.
    if (!entry.name.startsWith('torch/include/')) unpacked[entry.name] = { size: entry.size, sha256 }
  }
  return unpacked
}

/** @returns the file's SHA-256 */
async function unpackFile(
  wheel: Wheel,
  bytes: Bytes,
  entry: ZipEntry,
  target: string,
  report: (written: number) => void,
): Promise<string> {
  mkdirSync(dirname(target), { recursive: true })
  const hash = createHash('sha256')
  const file = await open(target, 'w')
  try {
    let written = 0
    await unpackEntry(bytes, entry, async (pieces) => {
      for await (const piece of pieces) {
        hash.update(piece)
        await file.writeFile(piece)
        report((written += piece.length))
      }
    })
  } catch (error) {
    throw error instanceof NotZip ? notWheel(wheel, error) : error
  } finally {
    await file.close()
  }
  return hash.digest('hex')
}

/** A rename is atomic: other processes see the whole entry or none. Of two at once, one's stays. */
function enter(made: string, target: string): void {
  try {
    renameSync(made, target)
  } catch (error) {
    if (!existsSync(target)) throw error
    // A damaged one, one without headers, or an empty folder is in the way.
    renameSync(target, join(dirname(made), 'before'))
    renameSync(made, target)
  }
}

/** What runs that were killed left beside the entry. Those of live ones stay; another machine's age out. */
function removeLeftovers(target: string): void {
  const folder = dirname(target)
  const workplaces = /^\.(.+)\.(\d+)\.[0-9a-f]{8}\.part$/
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(basename(target))) continue
    const [, host, pid] = workplaces.exec(name.slice(basename(target).length)) ?? []
    if (host === undefined) continue
    const old = Date.now() - statSync(join(folder, name)).mtimeMs > 24 * 3600 * 1000
    if (old || (host === hostname() && !isAlive(Number(pid)))) {
      rmSync(join(folder, name), { recursive: true, force: true })
    }
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return true
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function rmdirIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // Another download lies there, or none ever did.
  }
}

async function requireSpace(folder: string, bytes: number, purpose: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  if (free >= bytes) return
  throw new ElectraError(
    'DOWNLOAD_FAILED',
    `To ${purpose} takes ${megabytes(bytes)}, and the disk of ${folder} has ${megabytes(free)} free; make room, or name a folder on another disk with --dir.`,
  )
}

function diskError(error: Error & { code: string }, folder: string): ElectraError {
  const what = isDiskFull(error)
    ? `The disk of ${folder} is full; make room and run it again`
    : `${folder} cannot be written (${error.message.replace(/\.$/, '')}); make it writable`
  return new ElectraError(
    'DOWNLOAD_FAILED',
    `${what}, name another folder with --dir, or another cache with XDG_CACHE_HOME.`,
    { cause: error },
  )
}

/** Bytes as `189.7 MB` or `2.41 GB`, decimal as disks are sold. */
export function megabytes(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
