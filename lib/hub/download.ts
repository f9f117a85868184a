import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fetchBlob, isDiskFull, isFileError } from '../blob'
import { ElectraError } from '../errors'
import { withLock } from '../lock'
import type { DownloadProgress } from '../types'
import { sizeOf, type RepositoryCache } from './cache'
import type { HubClient, RemoteFile } from './client'

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
        if (!(await isThere())) await bring(download, file)
      })
    }
    await cache.point(sha, file.path, file.etag)
  } catch (error) {
    throw isFileError(error) ? diskError(error, cache, file) : error
  }
}

function bring({ client, cache, sha, signal, on_progress }: Download, file: RemoteFile): Promise<void> {
  return fetchBlob({
    name: file.path,
    size: file.size,
    hash: {
      value: file.etag,
      start: () =>
        file.etag.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${file.size}\0`),
    },
    path: cache.blob(file.etag),
    partial: cache.partial(file.etag),
    read: (from) => client.read(sha, file.path, from),
    signal,
    report: (loaded) => on_progress?.({ file: file.path, loaded, total: file.size }),
  })
}

function diskError(error: Error & { code: string }, cache: RepositoryCache, file: RemoteFile): ElectraError {
  const what = isDiskFull(error)
    ? `The disk that holds the cache ${cache.root} is full, and ${file.path} has ${file.size} bytes; make room and run it again`
    : `The cache ${cache.root} cannot be written (${error.message.replace(/\.$/, '')}); make it writable`
  return new ElectraError('DOWNLOAD_FAILED', `${what}, or set HF_HUB_CACHE to another folder.`, {
    cause: error,
  })
}
