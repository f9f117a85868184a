import { closeSync, openSync, readSync } from 'node:fs'

/** What the dynamic loader reads of a Linux shared library before it maps it. */
export interface ElfLibrary {
  /** `process.arch` that it is built for. */
  arch: NodeJS.Architecture | 'other'
  /** Names of the libraries that it needs, such as `libc10.so`. */
  needed: string[]
  /** Folders, `$ORIGIN` unresolved, that it and the libraries under it are looked for in: DT_RPATH. */
  rpath: string[]
  /** Folders that only its own libraries are looked for in; where there are any, no DT_RPATH counts. */
  runpath: string[]
}

const DT_NEEDED = 1n
const DT_STRTAB = 5n
const DT_RPATH = 15n
const DT_RUNPATH = 29n
const PT_LOAD = 1
const PT_DYNAMIC = 2
const MACHINES = new Map<number, ElfLibrary['arch']>([
  [62, 'x64'],
  [183, 'arm64'],
])

/**
 * Reads a few kilobytes of a 64-bit little-endian ELF file, however large it is.
 *
 * @throws Error with one sentence where the file is missing, cut short or no such file
 */
export function readElf(path: string): ElfLibrary {
  const file = openSync(path, 'r')
  try {
    return read((offset, length) => {
      const bytes = Buffer.alloc(length)
      return bytes.subarray(0, readSync(file, bytes, 0, length, offset))
    })
  } catch (error) {
    if (error instanceof RangeError) throw new Error(`${path} is cut short or damaged`, { cause: error })
    throw error instanceof NotElf ? new Error(`${path} is not a 64-bit Linux library`) : error
  } finally {
    closeSync(file)
  }
}

class NotElf extends Error {}

// Reads past the end of a buffer are RangeErrors of Buffer's own, which is what a short file ends in.
function read(at: (offset: number, length: number) => Buffer): ElfLibrary {
  const header = at(0, 64)
  if (header.length < 64 || header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) {
    throw new NotElf()
  }
  const size = header.readUInt16LE(54)
  const count = header.readUInt16LE(56)
  const headers = at(Number(header.readBigUInt64LE(32)), size * count)

  const loads: { address: bigint; offset: bigint; size: bigint }[] = []
  let dynamic: Buffer = Buffer.alloc(0)
  for (let start = 0; start < size * count; start += size) {
    const type = headers.readUInt32LE(start)
    const offset = headers.readBigUInt64LE(start + 8)
    const address = headers.readBigUInt64LE(start + 16)
    const length = headers.readBigUInt64LE(start + 32)
    if (type === PT_LOAD) loads.push({ address, offset, size: length })
    if (type === PT_DYNAMIC) dynamic = at(Number(offset), Number(length))
  }

  const entries: { tag: bigint; value: bigint }[] = []
  for (let start = 0; start < dynamic.length; start += 16) {
    entries.push({ tag: dynamic.readBigUInt64LE(start), value: dynamic.readBigUInt64LE(start + 8) })
  }
  const table = entries.find(({ tag }) => tag === DT_STRTAB)?.value ?? 0n
  const load = loads.find(({ address, size }) => table >= address && table < address + size)
  if (!load) throw new RangeError('no string table')
  const strings = Number(table - load.address + load.offset)
  const texts = (wanted: bigint) =>
    entries.filter(({ tag }) => tag === wanted).map(({ value }) => text(at(strings + Number(value), 8192)))
  const folders = (wanted: bigint) => texts(wanted).flatMap((paths) => paths.split(':').filter(Boolean))
  return {
    arch: MACHINES.get(header.readUInt16LE(18)) ?? 'other',
    needed: texts(DT_NEEDED),
    rpath: folders(DT_RPATH),
    runpath: folders(DT_RUNPATH),
  }
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  if (end < 0) throw new RangeError('a string without an end')
  return bytes.toString('utf8', 0, end)
}
