import { createHash } from 'node:crypto'
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ElectraError } from '../errors'
import type { DownloadProgress } from '../types'
import { sizeOf, type RepositoryCache } from './cache'
import { reasonOf, type HubClient, type RemoteFile } from './client'
import { withLock } from './lock'

export interface Download {
  client: HubClient
  cache: RepositoryCache
  sha: string
  signal: AbortSignal | undefined
  on_progress: ((progress: DownloadProgress) => void) | undefined
}

/**
 * Brings a file into the snapshot, from the hub unless the cache has its blob. A blob gets its name only when
 * all of it is on the disk and has the right hash; what came of a download that was cut stays beside it, under
 * another name, for the next one to go on from.
 *
 * @throws ElectraError `DOWNLOAD_FAILED` for a cut, a wrong hash and a disk that takes no more; and what the
 *   client throws
 */
export async function fetchFile(download: Download, file: RemoteFile): Promise<void> {
  const { cache, sha, signal } = download
  const blob = cache.blob(file.etag)
  const isThere = async (): Promise<boolean> => (await sizeOf(blob)) === file.size
  try {
    if ((await sizeOf(`${cache.snapshot(sha)}/${file.path}`)) === file.size) return
    if (!(await isThere())) {
      await mkdir(dirname(blob), { recursive: true })
      const waiting = async (): Promise<boolean> => {
        if (await isThere()) return true
        const loaded = (await sizeOf(cache.partial(file.etag))) ?? 0
        if (loaded < file.size) download.on_progress?.({ file: file.path, loaded, total: file.size })
        return false
      }
      await withLock(cache.lock(file.etag), signal, waiting, async () => {
        if (!(await isThere())) await fetchBlob(download, file)
      })
    }
    await cache.point(sha, file.path, file.etag)
  } catch (error) {
    throw isFileError(error) ? diskError(error, cache, file) : error
  }
}

async function fetchBlob(download: Download, file: RemoteFile): Promise<void> {
  const { cache } = download
  const partial = cache.partial(file.etag)
  for (;;) {
    // Not for appending: where two processes hold the lock at once, both write the same bytes at the same place.
    const handle = await open(partial, 'a+').then(async (made) => {
      await made.close()
      return open(partial, 'r+')
    })
    try {
      let start = (await handle.stat()).size
      if (start > file.size) {
        await handle.truncate(0)
        start = 0
      }
      await receive(download, file, handle, start)
      const hash = await hashOf(handle, file)
      if (hash === file.etag) {
        await handle.sync()
        break
      }
      await rm(partial, { force: true })
      // What was left from before may be what is damaged, so the whole file gets one more chance.
      if (start === 0) throw damaged(file, hash)
    } finally {
      await handle.close()
    }
  }
  const blob = cache.blob(file.etag)
  await rename(partial, blob).catch(async (error: unknown) => {
    // Another holder of the lock was first, with the same bytes.
    if ((await sizeOf(blob)) !== file.size) throw error
  })
}

/** Writes what is missing; a cut is mended as long as every attempt brings something. */
async function receive(
  { client, sha, signal, on_progress }: Download,
  file: RemoteFile,
  handle: FileHandle,
  start: number,
): Promise<void> {
  let position = start
  const report = (): void => on_progress?.({ file: file.path, loaded: position, total: file.size })
  report()
  while (position < file.size) {
    const before = position
    let cut: unknown
    const { from, chunks } = await client.read(sha, file.path, position)
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
        if (position + next.value.length > file.size) throw tooLong(file)
        await writeAll(handle, next.value, position)
        position += next.value.length
        report()
      }
    } finally {
      await iterator.return?.().catch(() => undefined)
    }
    signal?.throwIfAborted()
    if (position < file.size && position <= before) throw cutShort(file, position, cut)
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
async function hashOf(handle: FileHandle, { etag, size }: RemoteFile): Promise<string> {
  const hash = createHash(etag.length === 64 ? 'sha256' : 'sha1')
  if (etag.length === 40) hash.update(`blob ${size}\0`)
  const bytes = Buffer.allocUnsafe(1 << 20)
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, position)
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(bytes.subarray(0, bytesRead))
    position += bytesRead
  }
}

function damaged(file: RemoteFile, hash: string): ElectraError {
  return new ElectraError(
    'DOWNLOAD_FAILED',
    `${file.path} arrived damaged (its hash is ${hash.slice(0, 12)}…, not ${file.etag.slice(0, 12)}…) and was thrown away; try again, and check the proxy if it happens again.`,
  )
}

function tooLong(file: RemoteFile): ElectraError {
  return new ElectraError(
    'DOWNLOAD_FAILED',
    `More came for ${file.path} than its ${file.size} bytes; try again, and check the proxy if it happens again.`,
  )
}

function cutShort(file: RemoteFile, position: number, cause: unknown): ElectraError {
  const why = cause === undefined ? 'the connection was closed' : reasonOf(cause)
  return new ElectraError(
    'DOWNLOAD_FAILED',
    `The download of ${file.path} was cut after ${position} of ${file.size} bytes (${why}); run it again to go on from there.`,
    { cause },
  )
}

type FileError = Error & { code: string; syscall: string }

function isFileError(error: unknown): error is FileError {
  return error instanceof Error && !(error instanceof ElectraError) && 'syscall' in error && 'code' in error
}

function diskError(error: FileError, cache: RepositoryCache, file: RemoteFile): ElectraError {
  const full = error.code === 'ENOSPC' || error.code === 'EDQUOT'
  const what = full
    ? `The disk that holds the cache ${cache.root} is full, and ${file.path} has ${file.size} bytes; make room and run it again`
    : `The cache ${cache.root} cannot be written (${error.message.replace(/\.$/, '')}); make it writable`
  return new ElectraError('DOWNLOAD_FAILED', `${what}, or set HF_HUB_CACHE to another folder.`, {
    cause: error,
  })
}
