import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { readElf } from './elf'
import { minorOf, SUPPORTED_MINORS } from './variants'

/** What a folder with a libtorch was found to be. */
export interface Inspected {
  /** Absolute path of the folder with `lib/` and, to build against it, `include/`. */
  folder: string
  /** Its `lib/`, which holds `libtorch.so`. */
  lib: string
  /** Such as `2.13.0`. */
  version: string
  /** Such as `2.13`. */
  minor: string
  variant: 'cpu' | 'cuda'
  /** What its version says behind the `+`, such as `cpu` or `cu130`; empty where it says nothing. */
  build: string
}

/** A libtorch that cannot be used; the message says why in one sentence. */
export class LibtorchError extends Error {
  constructor(
    /** `LIBTORCH_MISMATCH`: one is there, of a version without a core. */
    readonly code: 'LIBTORCH_NOT_FOUND' | 'LIBTORCH_MISMATCH',
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

/**
 * Looks whether a folder holds a libtorch that this process could open, without opening it.
 *
 * @throws LibtorchError that says what is wrong
 */
export function inspectLibtorch(folder: string): Inspected {
  if (!existsSync(folder)) throw new LibtorchError('LIBTORCH_NOT_FOUND', `there is no folder ${folder}`)
  const found = factsOf(folder)
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
        `the ${build} of libtorch ${found.version} in ${found.folder} lacks libraries that it needs: ${missing.join(', ')}`,
      )
    }
  }
  return found
}

/**
 * Version and variant, from a small file and the names of the libraries.
 *
 * @param folder one with `lib/`, or one whose `torch/` has it, as where CUDA's libraries lie beside it
 * @throws LibtorchError
 */
export function factsOf(folder: string): Inspected {
  const inner = join(folder, 'torch')
  if (!existsSync(join(folder, 'lib')) && existsSync(join(inner, 'lib'))) return factsOf(inner)
  const text = readVersion(folder)
  const version = /^\d+\.\d+\.\d+/.exec(text)?.[0] ?? ''
  const minor = minorOf(version)
  if (!SUPPORTED_MINORS.includes(minor)) {
    const supported = `${SUPPORTED_MINORS[0] ?? ''} to ${SUPPORTED_MINORS.at(-1) ?? ''}`
    throw new LibtorchError(
      'LIBTORCH_MISMATCH',
      `libtorch ${version} in ${folder} is not supported; ${supported} are`,
    )
  }
  const lib = join(folder, 'lib')
  const variant = existsSync(join(lib, platformFiles().cuda)) ? 'cuda' : 'cpu'
  return { folder, lib, version, minor, variant, build: text.split('+')[1] ?? '' }
}

/** The version that `torch/version.py` or `build-version` says, with what stands behind a `+`. */
export function versionIn(text: string): string | undefined {
  return /^(?:__version__ = ')?(\d+\.\d+\.\d+(?:\+[\w.]+)?)/m.exec(text)?.[1]
}

/** `build-version` is what the libtorch archives have, `version.py` what a Python torch has. */
function readVersion(folder: string): string {
  for (const name of ['build-version', 'version.py']) {
    const file = join(folder, name)
    if (!existsSync(file)) continue
    const version = versionIn(readFileSync(file, 'utf8'))
    if (version !== undefined) return version
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

/** Whether the loader would find a library of the system, such as `libcuda.so.1`. */
export function hasSystemLibrary(name: string): boolean {
  return systemLibraries()(name)
}

/** In the loader's cache, in a folder that every loader reads, or open in this process already. */
function systemLibraries(): (name: string) => boolean {
  const known = textOf('/etc/ld.so.cache') + textOf('/proc/self/maps').replaceAll('\n', '\0')
  return (name) =>
    known.includes(`/${name}\0`) || SYSTEM_FOLDERS.some((folder) => existsSync(join(folder, name)))
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'latin1') : ''
}
