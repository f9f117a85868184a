import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { createInflateRaw } from 'node:zlib'

/** Something that can be read at any place: a file, or an address that serves ranges. */
export interface Bytes {
  size: number
  /** Fewer bytes only where the end comes first. */
  read: (offset: number, length: number) => Promise<Buffer>
}

/** One file in a zip archive. */
export interface ZipEntry {
  name: string
  /** Bytes once it is unpacked. */
  size: number
  packed: number
  method: number
  /** Where its own header begins; its bytes come behind that. */
  offset: number
}

/** The archive is cut short or is none. */
export class NotZip extends Error {}

const END_64 = 0x06064b50
const LOCATOR_64 = 0x07064b50
const DIRECTORY = 0x02014b50
const LOCAL = 0x04034b50
const MAX_COMMENT = 0xffff
const STORED = 0
const DEFLATED = 8

/**
 * Reads the list of files at the end of a zip archive, and nothing else of it.
 *
 * @throws NotZip
 */
export async function readDirectory(bytes: Bytes): Promise<ZipEntry[]> {
  const length = Math.min(bytes.size, MAX_COMMENT + 22 + 20)
  const tail = await bytes.read(bytes.size - length, length)
  const end = tail.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'))
  if (end < 0 || end + 22 > tail.length) throw new NotZip('it has no end of a zip archive')
  let size = tail.readUInt32LE(end + 12)
  let offset = tail.readUInt32LE(end + 16)
  if (end >= 20 && tail.readUInt32LE(end - 20) === LOCATOR_64) {
    const record = await bytes.read(Number(tail.readBigUInt64LE(end - 12)), 56)
    if (record.length < 56 || record.readUInt32LE(0) !== END_64) throw new NotZip('its end is damaged')
    size = Number(record.readBigUInt64LE(40))
    offset = Number(record.readBigUInt64LE(48))
  }
  if (offset + size > bytes.size) throw new NotZip('it is cut short')
  const directory = await bytes.read(offset, size)
  try {
    return [...entriesOf(directory)]
  } catch (error) {
    // Reads past the end of a buffer.
    if (error instanceof RangeError) throw new NotZip('its list of files is damaged', { cause: error })
    throw error
  }
}

function* entriesOf(directory: Buffer): Generator<ZipEntry> {
  for (let at = 0; at < directory.length;) {
    if (directory.readUInt32LE(at) !== DIRECTORY) throw new NotZip('its list of files is damaged')
    const name_length = directory.readUInt16LE(at + 28)
    const extra_length = directory.readUInt16LE(at + 30)
    const extra = at + 46 + name_length
    const entry = {
      name: directory.toString('utf8', at + 46, extra),
      method: directory.readUInt16LE(at + 10),
      packed: directory.readUInt32LE(at + 20),
      size: directory.readUInt32LE(at + 24),
      offset: directory.readUInt32LE(at + 42),
    }
    yield { ...entry, ...largeNumbers(directory.subarray(extra, extra + extra_length), entry) }
    at = extra + extra_length + directory.readUInt16LE(at + 32)
  }
}

/** Numbers that need more than 32 bits stand in a field of their own, in this order, each only where needed. */
function largeNumbers(extra: Buffer, entry: ZipEntry): Partial<ZipEntry> {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue
    let next = at + 4
    const large = (key: 'size' | 'packed' | 'offset'): number => {
      if (entry[key] !== 0xffffffff) return entry[key]
      next += 8
      return Number(extra.readBigUInt64LE(next - 8))
    }
    return { size: large('size'), packed: large('packed'), offset: large('offset') }
  }
  return {}
}

/**
 * Unpacks one file of the archive into `sink`, a piece at a time.
 *
 * @throws NotZip where the bytes are damaged, and what the sink throws
 */
export async function unpackEntry(
  bytes: Bytes,
  entry: ZipEntry,
  sink: (pieces: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  const header = await bytes.read(entry.offset, 30)
  if (header.length < 30 || header.readUInt32LE(0) !== LOCAL) throw new NotZip(`${entry.name} is damaged`)
  const start = entry.offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28)
  const packed = Readable.from(pieces(bytes, start, entry.packed))
  const measured = async (source: AsyncIterable<Buffer>): Promise<void> => {
    let size = 0
    await sink(
      (async function* () {
        for await (const piece of source) {
          size += piece.length
          // What unpacks to more than was announced would fill the disk.
          if (size > entry.size) throw new NotZip(`${entry.name} is longer than the archive says`)
          yield piece
        }
      })(),
    )
    if (size !== entry.size) throw new NotZip(`${entry.name} is shorter than the archive says`)
  }
  if (entry.method === STORED) {
    await pipeline(packed, measured)
  } else if (entry.method === DEFLATED) {
    await pipeline(packed, createInflateRaw({ chunkSize: 1 << 18 }), measured).catch((error: unknown) => {
      throw isZlibError(error) ? new NotZip(`${entry.name} is damaged`, { cause: error }) : error
    })
  } else throw new NotZip(`${entry.name} is packed in a way that is not known here (${entry.method})`)
}

async function* pieces(bytes: Bytes, start: number, length: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < length;) {
    const piece = await bytes.read(start + done, Math.min(1 << 18, length - done))
    if (piece.length === 0) throw new NotZip('it is cut short')
    done += piece.length
    yield piece
  }
}

/** The text of a small file of the archive. */
export async function readEntry(bytes: Bytes, entry: ZipEntry): Promise<string> {
  const parts: Buffer[] = []
  await unpackEntry(bytes, entry, async (pieces) => {
    for await (const piece of pieces) parts.push(piece)
  })
  return Buffer.concat(parts).toString('utf8')
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^Z_|^ERR_ZLIB/.test(String(error.code))
}
