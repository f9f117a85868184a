import { readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { MOST_FILE_BYTES } from '../checkpoint'
import { ElectraError } from '../errors'
import type { DownloadProgress } from '../types'
import { cacheFolder, isSha, RepositoryCache } from './cache'
import { HubClient, isTrue, NoSuchModel } from './client'
import { fetchFile, type Download } from './download'
import { isComplete, isIndex, isInside, shardsOf, wantedAmong } from './model-files'

/** How a model is found, checked. */
export interface HubSettings {
  revision: string
  cache_dir: string | undefined
  local_files_only: boolean
  /** Undefined: what Python would send. False: none. */
  token: string | false | undefined
  trust: 'archive' | undefined
  on_progress: ((progress: DownloadProgress) => void) | undefined
  signal: AbortSignal | undefined
}

/** A model on the disk. */
export interface Located {
  path: string
  /** What the user should know about how it was found. */
  notes: string[]
}

/** A model on the hub: `org/name` or `name`, or `org/name/file.pt` for an archive in it. */
interface HubSource {
  id: string
  archive: string | undefined
}

/**
 * Finds a model: an existing path, else the snapshot of a hub id, whose missing files are downloaded.
 *
 * @param ready what has to succeed before anything is downloaded
 * @throws ElectraError `CHECKPOINT_NOT_FOUND`, `HUB_UNREACHABLE`, `HUB_DENIED`, `DOWNLOAD_FAILED`
 * @throws RangeError for an archive on the hub without `trust`
 */
export async function locateModel(
  source: string,
  settings: HubSettings,
  ready: Promise<unknown>,
): Promise<Located> {
  const path = resolve(source)
  if (await stat(path).catch(() => undefined)) return { path, notes: [] }
  const hub = parseHubSource(source)
  if (!hub) {
    throw new ElectraError(
      'CHECKPOINT_NOT_FOUND',
      `There is no model at ${path}, and '${source}' is no hub id either (ORG/NAME, or ORG/NAME/FILE.pt for an archive); pass a folder, an archive or a hub id, or nothing for the model that ships.`,
    )
  }
  if (hub.archive !== undefined && settings.trust !== 'archive') {
    throw new RangeError(
      `${source} is a TorchScript archive on the hub, which can run any operator on this machine; if you trust who made it, pass trust: 'archive' (--trust-archive on the command line).`,
    )
  }
  await ready
  try {
    return await locateOnHub(hub, settings)
  } catch (error) {
    // Whoever mistyped a path gets an answer about the hub, and should see why.
    const mistyped =
      error instanceof NoSuchModel || (error instanceof ElectraError && error.code === 'HUB_UNREACHABLE')
    if (!mistyped) throw error
    const answer = error.message.replace(/^The /, 'the ')
    throw new ElectraError(
      error.code,
      `There is nothing at ${path}, so '${source}' was taken as a hub id: ${answer}`,
      { cause: error },
    )
  }
}

/** Reads a hub id as Python's client does; undefined for what is none. */
export function parseHubSource(source: string): HubSource | undefined {
  const parts = source.split('/')
  const file = /\.pth?$/.test(source)
  const id = (file ? parts.slice(0, 2) : parts).join('/')
  const archive = file ? parts.slice(2).join('/') : undefined
  const segment = String.raw`\w(?:[\w.-]{0,94}\w)?`
  if (!new RegExp(`^(?:${segment}/)?${segment}$`).test(id)) return undefined
  if (/--|\.\.|\.git$/.test(id)) return undefined
  if (archive !== undefined && !isInside(archive)) return undefined
  return { id, archive }
}

/** A revision becomes a path in the cache. */
export function isRevision(text: string): boolean {
  return isInside(text) && text.length <= 200
}

function isOffline(): boolean {
  const { HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE } = process.env
  return isTrue((HF_HUB_OFFLINE ?? '') || TRANSFORMERS_OFFLINE)
}

async function locateOnHub({ id, archive }: HubSource, settings: HubSettings): Promise<Located> {
  const { revision, signal } = settings
  const cache = new RepositoryCache(settings.cache_dir ?? cacheFolder(), id)
  const located = (sha: string, notes: string[] = []): Located => ({
    path: join(cache.snapshot(sha), archive ?? ''),
    notes,
  })
  const cached = async (): Promise<string | undefined> => {
    const sha = isSha(revision) ? revision : await cache.readRef(revision)
    return sha !== undefined && (await isComplete(cache.snapshot(sha), archive)) ? sha : undefined
  }

  const offline = settings.local_files_only || isOffline()
  if (offline || isSha(revision)) {
    const sha = await cached()
    if (sha !== undefined) return located(sha)
  }
  if (offline) {
    const why = settings.local_files_only ? 'local_files_only' : 'HF_HUB_OFFLINE'
    throw new NoSuchModel(
      `The cache ${cache.root} has no complete ${archive ?? 'model'} of ${id} at revision '${revision}', and ${why} forbids to download it; load it once without.`,
    )
  }

  const client = await HubClient.open(id, settings.token, signal)
  let head: { sha: string; files: string[] }
  try {
    head = await client.resolve(revision)
  } catch (error) {
    if (!(error instanceof ElectraError) || error.code !== 'HUB_UNREACHABLE') throw error
    const sha = await cached()
    if (sha === undefined) throw error
    return located(sha, [`${error.message} The copy in the cache is used: ${cache.snapshot(sha)}`])
  }
  const { sha, files } = head
  await fetchSnapshot({ client, cache, sha, signal, on_progress: settings.on_progress }, files, archive, id)
  // Last, so that a branch never stands for a snapshot that is not whole. A cache that cannot be written may
  // have everything all the same.
  await cache.writeRef(revision, sha).catch(() => undefined)
  return located(sha)
}

async function fetchSnapshot(
  download: Download,
  files: readonly string[],
  archive: string | undefined,
  id: string,
): Promise<void> {
  const { client, cache, sha } = download
  const wanted = wantedAmong(files, archive, `The model ${id}`)
  // Small ones first: where the weights are, everything is.
  const described = await client.describe(sha, [...wanted.small, wanted.weights])
  for (const { path, size } of described) {
    if (size <= MOST_FILE_BYTES || (path === wanted.weights && !isIndex(path))) continue
    throw new ElectraError(
      'CHECKPOINT_INVALID',
      `${path} of ${id} has ${size} bytes, which is far too many for such a file; do not use this model.`,
    )
  }
  for (const file of described) await fetchFile(download, file)
  if (!isIndex(wanted.weights)) return
  const index = await readFile(join(cache.snapshot(sha), wanted.weights), 'utf8')
  const shards = shardsOf(index, `${wanted.weights} of ${id}`)
  for (const file of await client.describe(sha, shards)) await fetchFile(download, file)
}
