import { execFile } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { readElf } from './elf'

/** The libtorch minors that a core can be built for; 2.13 is the one that every test runs on. */
export const SUPPORTED_MINORS: readonly string[] = ['2.11', '2.12', '2.13', '2.14', '2.15']

/** The release that is fetched where none is installed. */
export const PINNED_VERSION = '2.13.0'

/** Where a libtorch was named or found, in the order in which they are tried. */
export type LibtorchSource = 'option' | 'LIBTORCH' | 'cache' | 'python'

/** A libtorch on this machine that was checked: its version is supported and what it needs is there. */
export interface Libtorch {
  /** Absolute path of the folder with `lib/` and, to build against it, `include/`. */
  folder: string
  /** Its `lib/`, which holds `libtorch.so`. */
  lib: string
  /** Such as `2.13.0`. */
  version: string
  /** Such as `2.13`. */
  minor: string
  variant: 'cpu' | 'cuda'
  source: LibtorchSource
}

/** A place that had no usable libtorch, and why. */
export interface Tried {
  source: LibtorchSource
  /** Where it was looked for; absent where nothing named a place. */
  path?: string
  /** `LIBTORCH_MISMATCH`: one is there, of a version without a core. */
  code: 'LIBTORCH_NOT_FOUND' | 'LIBTORCH_MISMATCH'
  /** One sentence without a full stop. */
  reason: string
}

export interface FindOptions {
  /** Also asks for the C++ headers, and checks a cache entry as deeply as any other place. */
  for_building?: boolean
  env?: NodeJS.ProcessEnv
}

/** A libtorch that cannot be used; the message says why in one sentence. */
export class LibtorchError extends Error {
  constructor(
    readonly code: Tried['code'],
    message: string,
  ) {
    super(message)
  }
}

const FILES = {
  linux: { libraries: ['libtorch.so', 'libtorch_cpu.so', 'libc10.so'], cuda: 'libtorch_cuda.so' },
  darwin: {
    libraries: ['libtorch.dylib', 'libtorch_cpu.dylib', 'libc10.dylib'],
    cuda: 'libtorch_cuda.dylib',
  },
  win32: { libraries: ['torch.dll', 'torch_cpu.dll', 'c10.dll'], cuda: 'torch_cuda.dll' },
}

function platformFiles() {
  const platform = process.platform
  return platform === 'darwin' || platform === 'win32' ? FILES[platform] : FILES.linux
}

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

/** Where the pinned libtorch lies once it was fetched; it gets there whole and checked, or not at all. */
export function cacheEntry(env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(env), `libtorch-${PINNED_VERSION}-cpu-${process.platform}-${process.arch}`)
}

/**
 * Finds the libtorch to use: the option, `LIBTORCH`, the per-user cache, an installed Python torch. An option
 * that cannot be used ends the search, for whoever names a folder means that one.
 *
 * @returns what was found, and the places before it that could not be used
 */
export async function findLibtorch(
  option?: string,
  { for_building = false, env = process.env }: FindOptions = {},
): Promise<{ found?: Libtorch; tried: Tried[] }> {
  const tried: Tried[] = []
  for await (const { source, path, missing } of places(option, env)) {
    try {
      if (path === undefined) throw new LibtorchError('LIBTORCH_NOT_FOUND', missing)
      const trusted = source === 'cache' && !for_building
      const found = { ...(trusted ? inspectCached(path) : inspectLibtorch(path)), source }
      if (for_building) requireHeaders(found.folder)
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
  yield { source: 'cache', path: cacheEntry(env) }

  for (const environment of [env.VIRTUAL_ENV, env.CONDA_PREFIX]) {
    const torch = environment && torchInEnvironment(environment)
    if (torch) yield { source: 'python', path: torch }
  }
  const asked = await torchOfPython(env)
  yield 'path' in asked ? { source: 'python', path: asked.path } : { source: 'python', missing: asked.reason }
}

function torchInEnvironment(environment: string): string | undefined {
  if (process.platform === 'win32') {
    const torch = join(environment, 'Lib', 'site-packages', 'torch')
    return existsSync(torch) ? torch : undefined
  }
  const lib = join(environment, 'lib')
  const pythons = existsSync(lib) ? readdirSync(lib).filter((name) => /^python3\.\d+$/.test(name)) : []
  return pythons.map((python) => join(lib, python, 'site-packages', 'torch')).find((path) => existsSync(path))
}

/** Asks the `python3` on the path where its torch is, without importing it. */
function torchOfPython(env: NodeJS.ProcessEnv): Promise<{ path: string } | { reason: string }> {
  const python = process.platform === 'win32' ? 'python' : 'python3'
  const question = "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s else '')"
  return new Promise((settle) => {
    execFile(python, ['-c', question], { env, timeout: 5000 }, (error, stdout) => {
      const origin = stdout.trim()
      if (origin) settle({ path: dirname(origin) })
      else if (!error) settle({ reason: `${python} has no torch installed` })
      else if (error.code === 'ENOENT') settle({ reason: `there is no ${python} on the path` })
      else if (error.killed) settle({ reason: `${python} did not say within 5 s whether it has torch` })
      else settle({ reason: `${python} could not say whether it has torch` })
    })
  })
}

// The marker is written before an entry gets its name, so an entry that has it was checked in depth.
function inspectCached(folder: string): Omit<Libtorch, 'source'> {
  const first = join(folder, 'lib', platformFiles().libraries[0] ?? '')
  if (!existsSync(join(folder, CHECKED_MARKER)) || !existsSync(first)) {
    throw new LibtorchError('LIBTORCH_NOT_FOUND', `no libtorch was fetched to ${folder} yet`)
  }
  return facts(folder)
}

/** Name of the empty file that marks a cache entry as checked. */
export const CHECKED_MARKER = '.checked'

/**
 * Looks whether a folder holds a libtorch that this process could open, without opening it.
 *
 * @throws LibtorchError that says what is wrong
 */
export function inspectLibtorch(folder: string): Omit<Libtorch, 'source'> {
  if (!existsSync(folder)) throw new LibtorchError('LIBTORCH_NOT_FOUND', `there is no folder ${folder}`)
  const found = facts(folder)
  const absent = platformFiles().libraries.filter((name) => !existsSync(join(found.lib, name)))
  if (absent.length) {
    throw new LibtorchError('LIBTORCH_NOT_FOUND', `${found.lib} lacks ${absent.join(', ')}`)
  }
  if (process.platform === 'linux') {
    const missing = missingLibraries(join(found.lib, 'libtorch.so'))
    if (missing.length) {
      const build = found.variant === 'cuda' ? 'CUDA build' : 'CPU build'
      throw new LibtorchError(
        'LIBTORCH_NOT_FOUND',
        `the ${build} of libtorch ${found.version} in ${folder} lacks libraries that it needs: ${missing.join(', ')}`,
      )
    }
  }
  return found
}

function requireHeaders(folder: string): void {
  if (existsSync(join(folder, 'include', 'torch', 'headeronly', 'version.h'))) return
  throw new LibtorchError(
    'LIBTORCH_NOT_FOUND',
    `${folder} has no C++ headers in include/, so nothing can be built`,
  )
}

function facts(folder: string): Omit<Libtorch, 'source'> {
  const version = readVersion(folder)
  const minor = /^\d+\.\d+/.exec(version)?.[0] ?? ''
  if (!SUPPORTED_MINORS.includes(minor)) {
    const supported = `${SUPPORTED_MINORS[0] ?? ''} to ${SUPPORTED_MINORS.at(-1) ?? ''}`
    throw new LibtorchError(
      'LIBTORCH_MISMATCH',
      `libtorch ${version} in ${folder} is not supported; ${supported} are`,
    )
  }
  const lib = join(folder, 'lib')
  const variant = existsSync(join(lib, platformFiles().cuda)) ? 'cuda' : 'cpu'
  return { folder, lib, version, minor, variant }
}

/** `build-version` is what the libtorch archives have, `version.py` what a Python torch has. */
function readVersion(folder: string): string {
  for (const name of ['build-version', 'version.py']) {
    const file = join(folder, name)
    if (!existsSync(file)) continue
    const text = readFileSync(file, 'utf8')
    const version = /^(?:__version__ = ')?(\d+\.\d+\.\d+)/m.exec(text)?.[1]
    if (version) return version
    throw new LibtorchError('LIBTORCH_NOT_FOUND', `${file} has no version that can be read`)
  }
  const hint = existsSync(join(dirname(folder), 'build-version')) ? `; name ${dirname(folder)} instead` : ''
  throw new LibtorchError(
    'LIBTORCH_NOT_FOUND',
    `${folder} is no libtorch, for it has neither build-version nor version.py${hint}`,
  )
}

/**
 * Follows what the dynamic loader would: each library's own search path, `LD_LIBRARY_PATH`, the loader's
 * cache, the system's folders. A library that was found once serves all others, as it does in a process.
 */
function missingLibraries(first: string): string[] {
  const system = systemLibraries()
  const seen = new Set([basename(first)])
  const missing: string[] = []
  const queue: { path: string; inherited: string[] }[] = [{ path: first, inherited: [] }]
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { path, inherited } = next
    const library = elfOf(path)
    const resolved = (folder: string) => folder.replace(/\$(ORIGIN|\{ORIGIN\})/, dirname(path))
    const runpath = library.runpath.map(resolved)
    const rpath = runpath.length ? inherited : [...library.rpath.map(resolved), ...inherited]
    const folders = runpath.length ? runpath : rpath
    for (const name of library.needed) {
      if (seen.has(name)) continue
      seen.add(name)
      const own = [...folders, ...environmentFolders()]
        .map((folder) => join(folder, name))
        .find((p) => existsSync(p))
      if (own) queue.push({ path: own, inherited: rpath })
      else if (!system(name)) missing.push(name)
    }
  }
  return missing
}

function elfOf(path: string) {
  try {
    const library = readElf(path)
    if (library.arch === process.arch) return library
    throw new Error(`${path} is built for another processor than this ${process.arch}`)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new LibtorchError('LIBTORCH_NOT_FOUND', reason)
  }
}

function environmentFolders(): string[] {
  return (process.env.LD_LIBRARY_PATH ?? '').split(':').filter(Boolean)
}

const SYSTEM_FOLDERS = ['/lib64', '/usr/lib64', '/lib', '/usr/lib', '/usr/local/lib']

/** In the loader's cache, in a folder that every loader reads, or open in this process already. */
function systemLibraries(): (name: string) => boolean {
  const known = textOf('/etc/ld.so.cache') + textOf('/proc/self/maps').replaceAll('\n', '\0')
  return (name) =>
    known.includes(`/${name}\0`) || SYSTEM_FOLDERS.some((folder) => existsSync(join(folder, name)))
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'latin1') : ''
}
