import { basename } from 'node:path'
import { ElectraError } from '../errors'
import { normalised } from './requirement'
import { NotZip, readDirectory, readEntry, type Bytes, type ZipEntry } from './zip'

/** A wheel as its name and whoever lists it describe it. */
export interface Wheel {
  /** Of the file, such as `torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl`. */
  name: string
  /** Normalised. */
  project: string
  version: string
  /** `file:`, `http:` or `https:`, without a fragment. */
  url: URL
  /** Of the whole file, where an index vouches for it. */
  sha256?: string
}

/** What a wheel's own lists say about it. */
export interface WheelContents {
  entries: ZipEntry[]
  /** Text of METADATA. */
  metadata: string
  /** SHA-256 in base64url of each file, by its name. */
  hashes: Map<string, string>
  /** Text of `torch/version.py`; empty in other wheels. */
  version_file: string
}

const PLATFORM_TAGS: Record<string, RegExp> = {
  'linux-x64': /(manylinux|linux)\w*_x86_64$/,
  'linux-arm64': /(manylinux|linux)\w*_aarch64$/,
  'darwin-arm64': /macosx\w*_arm64$/,
  'win32-x64': /win_amd64$/,
  'win32-arm64': /win_arm64$/,
}

/** @returns undefined for the address of anything else than a wheel */
export function wheelAt(address: URL): Wheel | undefined {
  const name = decodeURIComponent(basename(address.pathname))
  const [, project, version] = /^([\w.]+)-([\w.+!]+)(?:-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl$/.exec(name) ?? []
  if (project === undefined || version === undefined) return undefined
  const url = new URL(address)
  url.hash = ''
  const sha256 = /^#sha256=([0-9a-f]{64})$/i.exec(address.hash)?.[1]?.toLowerCase()
  return { name, project: normalised(project), version, url, ...(sha256 !== undefined && { sha256 }) }
}

/** Whether its libraries are built for this platform. */
export function fitsPlatform({ name }: Wheel): boolean {
  const tags = name.replace(/\.whl$/, '')
  return tags.endsWith('-any') || (PLATFORM_TAGS[`${process.platform}-${process.arch}`]?.test(tags) ?? false)
}

/**
 * Reads a wheel's lists, and no more of it.
 *
 * @throws ElectraError `DOWNLOAD_FAILED` where it is damaged or no wheel
 */
export async function readWheel(wheel: Wheel, bytes: Bytes): Promise<WheelContents> {
  try {
    const entries = await readDirectory(bytes)
    const text = async (name: RegExp): Promise<string> => {
      const entry = entries.find((each) => name.test(each.name))
      return entry ? readEntry(bytes, entry) : ''
    }
    const metadata = await text(/^[^/]+\.dist-info\/METADATA$/)
    const record = await text(/^[^/]+\.dist-info\/RECORD$/)
    if (metadata === '' || record === '') throw new NotZip('it has no METADATA or no RECORD')
    const version_file = wheel.project === 'torch' ? await text(/^torch\/version\.py$/) : ''
    const hashes = [...record.matchAll(/^(.+),sha256=([\w-]+),\d*\r?$/gm)]
    return {
      entries,
      metadata,
      version_file,
      hashes: new Map(hashes.map(([, name = '', hash = '']) => [name.replace(/^"(.*)"$/, '$1'), hash])),
    }
  } catch (error) {
    throw error instanceof NotZip ? notWheel(wheel, error) : error
  }
}

export function notWheel({ name }: Wheel, cause: Error): ElectraError {
  return new ElectraError(
    'DOWNLOAD_FAILED',
    `${name} is no wheel, or a damaged one (${cause.message}); get it again.`,
    { cause },
  )
}

const LIBRARY = /\.(?:so(?:\.\d+)*|dylib|dll|lib)$/
/** Opened by Python, by torch's tests and compilers, or by profilers alone. */
const UNUSED =
  /python|_test\b|backend_with_compiler|aoti_custom_ops|libshm|shm\.dll|global_deps|nvperf|pcsampl|libcheckpoint|cufftw|nvblas|cusolverMg|\.alt\.so|nvshmem_(?:bootstrap|transport)|cufile_rdma|\/stubs\//i

/**
 * The files of a wheel that are used at run time, and with `headers` those that building takes. They keep their places,
 * so that the search paths in them hold.
 */
export function usedFiles({ entries }: WheelContents, { headers = false } = {}): ZipEntry[] {
  return entries.filter(({ name }) => {
    if (name.split('/').includes('..') || name.startsWith('/') || name.includes('\\')) return false
    if (name.startsWith('torch/include/')) return headers
    const folder =
      /^(?:torch\/lib|torch\.libs|torch\/\.dylibs|nvidia(?:\/\w+)*\/(?:lib|bin)(?:\/\w+)*)\/[^/]+$/
    return folder.test(name) && LIBRARY.test(name) && !UNUSED.test(name)
  })
}
