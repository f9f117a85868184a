import { type Hash } from 'node:crypto'
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { ElectraError } from './errors'
import { reasonOf } from './fetch'

/** A file on the network, whose size and hash are known, and its place on the disk. */
export interface Blob {
  /** For messages. */
  name: string
  size: number
  /** Absent where nobody vouches for it. */
  hash?: { value: string; start: () => Hash }
  /** Where it comes to lie once it is whole. */
  path: string
  /** Where it grows until then; what is there already is gone on from. */
  partial: string
  /**
   * @param from where to begin
   * @returns `from`: where the bytes do begin, which is 0 where the server knows no ranges
   */
  read: (from: number) => Promise<{ from: number; chunks: AsyncIterable<Uint8Array> }>
  signal: AbortSignal | undefined
  /** Gets the bytes that are on the disk. */
  report: (loaded: number) => void
}

/**
 * Brings a file to its place. It gets its name only when all of it is on the disk and has the right hash; what came of
 * a download that was cut stays beside it, for the next one to go on from.
 *
 * @throws ElectraError `DOWNLOAD_FAILED` for a cut or a wrong hash; what `read` throws; the file system's own errors
 */
export async function fetchBlob(blob: Blob): Promise<void> {
  for (;;) {
    // Not for appending: where two processes are at it at once, both write the same bytes at the same place.
    const handle = await open(blob.partial, 'a+').then(async (made) => {
      await made.close()
      return open(blob.partial, 'r+')
    })
    try {
      let start = (await handle.stat()).size
      if (start > blob.size) {
        await handle.truncate(0)
        start = 0
      }
      await receive(blob, handle, start)
      const hash = blob.hash && (await hashOf(handle, blob.hash.start()))
      if (hash === blob.hash?.value) {
        await handle.sync()
        break
      }
      await rm(blob.partial, { force: true })
      // What was left from before may be what is damaged, so the whole file gets one more chance.
      if (start === 0) throw damaged(blob, hash ?? '')
    } finally {
      await handle.close()
    }
  }
  await rename(blob.partial, blob.path).catch(async (error: unknown) => {
    // Another process was first, with the same bytes.
    const there = await open(blob.path, 'r').catch(() => undefined)
    const size = (await there?.stat())?.size
    await there?.close()
    if (size !== blob.size) throw error
  })
}

/** Writes what is missing; a cut is mended as long as every attempt brings something. */
async function receive(blob: Blob, handle: FileHandle, start: number): Promise<void> {
  let position = start
  blob.report(position)
  while (position < blob.size) {
    const before = position
    let cut: unknown
    const { from, chunks } = await blob.read(position)
    if (from !== position) {
      await handle.truncate(from)
      position = from
    }
    const iterator = chunks[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await iterator.next().catch((error: unknown) => {
          cut = error
        })
        if (!next || next.done) break
        if (position + next.value.length > blob.size) throw tooLong(blob)
        await writeAll(handle, next.value, position)
        position += next.value.length
        blob.report(position)
      }
    } finally {
      await iterator.return?.().catch(() => undefined)
    }
    blob.signal?.throwIfAborted()
    if (position < blob.size && position <= before) throw cutShort(blob, position, cut)
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const left = bytes.length - written
    written += (await handle.write(bytes, written, left, position + written)).bytesWritten
  }
}

/** Read back from the disk: what is vouched for is what lies there. */
async function hashOf(handle: FileHandle, hash: Hash): Promise<string> {
  const bytes = Buffer.allocUnsafe(1 << 20)
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, position)
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(bytes.subarray(0, bytesRead))
    position += bytesRead
  }
}

function damaged({ name, hash }: Blob, got: string): ElectraError {
  return new ElectraError(
    'DOWNLOAD_FAILED',
    `${name} arrived damaged (its hash is ${got.slice(0, 12)}…, not ${hash?.value.slice(0, 12) ?? ''}…) and was thrown away; try again, and check the proxy if it happens again.`,
  )
}

function tooLong({ name, size }: Blob): ElectraError {
  return new ElectraError(
    'DOWNLOAD_FAILED',
    `More came for ${name} than its ${size} bytes; try again, and check the proxy if it happens again.`,
  )
}

function cutShort({ name, size }: Blob, position: number, cause: unknown): ElectraError {
  const why = cause === undefined ? 'the connection was closed' : reasonOf(cause)
  return new ElectraError(
    'DOWNLOAD_FAILED',
    `The download of ${name} was cut after ${position} of ${size} bytes (${why}); run it again to go on from there.`,
    { cause },
  )
}

/** An error of the file system, as opposed to one of the network or of this library. */
export function isFileError(error: unknown): error is Error & { code: string; syscall: string } {
  return error instanceof Error && !(error instanceof ElectraError) && 'syscall' in error && 'code' in error
}

/** Whether the disk takes no more, of this user or at all. */
export function isDiskFull({ code }: { code: string }): boolean {
  return code === 'ENOSPC' || code === 'EDQUOT'
}
