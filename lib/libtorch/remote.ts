import { open } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { ElectraError } from '../errors'
import { fetchAnywhere, proxyOf, readFrom, reasonOf } from '../fetch'
import type { Bytes } from './zip'

/** How a server is waited for. */
export interface Patience {
  /** Until it has to answer, in ms. */
  answer_ms: number
  /** Until the next bytes have to come, in ms. */
  stall_ms: number
  signal: AbortSignal | undefined
}

/** The server sends files only as a whole. */
export class NoRanges extends Error {}

/** @throws ElectraError `DOWNLOAD_FAILED` with the remedy, and the signal's reason */
export async function request(
  url: URL,
  { answer_ms, signal }: Patience,
  headers: Record<string, string> = {},
): Promise<Response> {
  const limit = new AbortController()
  const timer = setTimeout(() => {
    limit.abort(new Error(`it did not answer within ${answer_ms / 1000} s`))
  }, answer_ms)
  let response: Response
  try {
    response = await fetchAnywhere(url, {
      // What is hashed is the file, not a packed form of it.
      headers: { 'user-agent': 'electra-classifier', 'accept-encoding': 'identity', ...headers },
      signal: signal ? AbortSignal.any([signal, limit.signal]) : limit.signal,
    })
  } catch (error) {
    signal?.throwIfAborted()
    throw new ElectraError(
      'DOWNLOAD_FAILED',
      `${url.origin} could not be reached${byProxy(url)} (${reasonOf(error)}); ${remedyFor(url)}.`,
      { cause: error },
    )
  } finally {
    clearTimeout(timer)
  }
  if (response.ok) return response
  await response.body?.cancel()
  const { status, statusText } = response
  throw new ElectraError(
    'DOWNLOAD_FAILED',
    `${url.href} answered ${status}${statusText ? ` ${statusText}` : ''}${byProxy(url)}; ${remedyFor(url)}.`,
  )
}

/** Without the password that it may hold. */
function byProxy(url: URL): string {
  const proxy = proxyOf(url)
  if (proxy === undefined) return ''
  return ` through the proxy ${URL.canParse(proxy) ? new URL(proxy).origin : proxy}`
}

function remedyFor(url: URL): string {
  return proxyOf(url) === undefined
    ? 'check the connection, set HTTPS_PROXY where there is a proxy, or name a mirror or a downloaded wheel with --from'
    : `check HTTPS_PROXY, add ${url.hostname} to NO_PROXY where it needs no proxy, or name a mirror or a downloaded wheel with --from`
}

/** A file's bytes from a place on, or from 0 where the server knows no ranges. */
export function readRemote(
  url: URL,
  from: number,
  patience: Patience,
): Promise<{ from: number; chunks: AsyncIterable<Uint8Array> }> {
  const { signal, stall_ms } = patience
  return readFrom(from, stall_ms / 1000, (headers, stalled) =>
    request(url, { ...patience, signal: signal ? AbortSignal.any([signal, stalled]) : stalled }, headers),
  )
}

/** Bytes of a file on the disk; to be closed. */
export async function openFile(url: URL): Promise<Bytes & AsyncDisposable> {
  const handle = await open(fileURLToPath(url), 'r')
  return {
    size: (await handle.stat()).size,
    read: async (offset, length) => {
      const bytes = Buffer.allocUnsafe(length)
      const { bytesRead } = await handle.read(bytes, 0, length, offset)
      return bytes.subarray(0, bytesRead)
    },
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

/**
 * Bytes of a file behind an address, asked for by range.
 *
 * @throws NoRanges
 */
export async function openRemote(url: URL, patience: Patience): Promise<Bytes> {
  // The end is where a zip archive's list of files stands.
  const tail = await ranged(url, `bytes=-${TAIL}`, patience)
  const { size, start, bytes } = tail
  return {
    size,
    read: async (offset, length) => {
      if (offset >= start) return bytes.subarray(offset - start, offset - start + length)
      return (await ranged(url, `bytes=${offset}-${offset + length - 1}`, patience)).bytes
    },
  }
}

const TAIL = 1 << 18

async function ranged(
  url: URL,
  range: string,
  patience: Patience,
): Promise<{ size: number; start: number; bytes: Buffer }> {
  const response = await request(url, patience, { range })
  const [, start, size] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? []
  if (response.status !== 206 || start === undefined) {
    await response.body?.cancel()
    throw new NoRanges(`${url.host} serves no ranges`)
  }
  const bytes = Buffer.from(await response.arrayBuffer())
  return { size: Number(size), start: Number(start), bytes }
}

/** Bytes of the whole file, before any of them is asked for. */
export async function sizeOfRemote(url: URL, patience: Patience): Promise<number> {
  const response = await request(url, patience, { range: 'bytes=0-0' })
  await response.body?.cancel()
  const size = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]
  const length = Number(size ?? response.headers.get('content-length') ?? Number.NaN)
  if (Number.isSafeInteger(length)) return length
  throw new ElectraError(
    'DOWNLOAD_FAILED',
    `${url.href} does not say how long it is; name another mirror with --from.`,
  )
}
