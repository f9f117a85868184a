import { readFile } from 'node:fs/promises'
import { ElectraError } from '../errors'
import { fetchAnywhere, readFrom, reasonOf } from '../fetch'
import { isSha, tokenFile } from './cache'

/** A file of a repository as the hub describes it. */
export interface RemoteFile {
  path: string
  size: number
  /** Git's SHA-1 of the file, or the SHA-256 of one in large file storage: 40 or 64 hex digits. */
  etag: string
}

/** What one request is about, for its errors. */
interface About {
  revision: string
  file?: string
}

/** There is no model of that id, as opposed to a revision or file of it. */
export class NoSuchModel extends ElectraError {
  constructor(message: string) {
    super('CHECKPOINT_NOT_FOUND', message)
  }
}

const DEFAULT_ENDPOINT = 'https://huggingface.co'

/** Python's variables: seconds until the hub has to answer, and until the next bytes of a file have to come. */
const ANSWER_TIMEOUT = 'HF_HUB_ETAG_TIMEOUT'
const BYTES_TIMEOUT = 'HF_HUB_DOWNLOAD_TIMEOUT'
const DEFAULT_TIMEOUT_SECONDS = 10

/**
 * Talks to the hub about one model: metadata through `@huggingface/hub`, files through its `fetch` of ours.
 * Every request goes through {@link HubClient.#request}, which adds the token and turns refusals into errors
 * of this library. The files' bytes do not go through the client's `downloadFile`, which makes a string of
 * every failure and does not notice a server that ignores `Range`.
 */
export class HubClient {
  readonly endpoint: string
  readonly #id: string
  readonly #token: string | undefined
  readonly #signal: AbortSignal | undefined

  private constructor(
    endpoint: string,
    id: string,
    token: string | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.endpoint = endpoint
    this.#id = id
    this.#token = token
    this.#signal = signal
  }

  /** @param token undefined for the one that Python would send; false for none */
  static async open(
    id: string,
    token: string | false | undefined,
    signal: AbortSignal | undefined,
  ): Promise<HubClient> {
    const sent = token === false ? undefined : (token ?? (await implicitToken()))
    return new HubClient(endpointOf(process.env.HF_ENDPOINT), id, sent, signal)
  }

  /** The commit that a revision is now, and the names of its files. */
  async resolve(revision: string): Promise<{ sha: string; files: string[] }> {
    const { modelInfo } = await import('@huggingface/hub')
    const info = await this.#ask(() =>
      modelInfo({
        name: this.#id,
        revision,
        hubUrl: this.endpoint,
        additionalFields: ['sha', 'filePaths'],
        fetch: this.#fetch({ revision }),
      }),
    )
    // From the network: the types say what should come.
    const { sha, filePaths } = info as { sha?: unknown; filePaths?: unknown }
    if (typeof sha !== 'string' || !isSha(sha) || !Array.isArray(filePaths)) throw this.#noHub()
    return { sha, files: filePaths.filter((name) => typeof name === 'string') }
  }

  /** Size and hash of files of a commit. */
  async describe(sha: string, paths: readonly string[]): Promise<RemoteFile[]> {
    const { pathsInfo } = await import('@huggingface/hub')
    const found = await this.#ask(() =>
      pathsInfo({
        repo: { type: 'model', name: this.#id },
        paths: [...paths],
        revision: sha,
        hubUrl: this.endpoint,
        fetch: this.#fetch({ revision: sha }),
      }),
    )
    return paths.map((path) => {
      const info = found.find((entry) => entry.path === path)
      if (!info) throw this.#notThere({ revision: sha, file: path })
      const { size, oid } = info.lfs ?? info
      // The hash names a file in the cache, so it must be one.
      if (!Number.isSafeInteger(size) || size < 0 || !/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(oid ?? '')) {
        throw this.#noHub()
      }
      return { path, size, etag: oid ?? '' }
    })
  }

  /**
   * A file's bytes.
   *
   * @param from where to begin
   * @returns `from`: where they do begin, which is 0 where the server knows no ranges; `chunks` throws what
   *   the network throws, and the signal's reason
   */
  async read(
    sha: string,
    file: string,
    from: number,
  ): Promise<{ from: number; chunks: AsyncIterable<Uint8Array> }> {
    const path = file.split('/').map(encodeURIComponent).join('/')
    return readFrom(from, timeoutOf(BYTES_TIMEOUT), (headers, stalled) =>
      this.#request(
        `${this.endpoint}/${this.#id}/resolve/${sha}/${path}`,
        { headers },
        { revision: sha, file },
        stalled,
      ),
    )
  }

  /** What the client makes of an answer that is not what a hub sends is no use to anybody. */
  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      return await question()
    } catch (error) {
      if (error instanceof ElectraError || this.#signal?.aborted) throw error
      throw this.#noHub(error)
    }
  }

  #fetch(about: About): typeof fetch {
    return (url, init) => {
      const answer = AbortSignal.timeout(timeoutOf(ANSWER_TIMEOUT) * 1000)
      return this.#request(url instanceof Request ? url.url : String(url), init ?? {}, about, answer)
    }
  }

  async #request(url: string, init: RequestInit, about: About, limit: AbortSignal): Promise<Response> {
    const headers = new Headers(init.headers)
    headers.set('user-agent', 'electra-classifier')
    // What is hashed is the file, not a packed form of it.
    headers.set('accept-encoding', 'identity')
    // Kept to the hub: `fetch` drops this header where a redirect leads to another origin.
    if (this.#token !== undefined && new URL(url).origin === new URL(this.endpoint).origin) {
      headers.set('authorization', `Bearer ${this.#token}`)
    }
    const signal = this.#signal ? AbortSignal.any([this.#signal, limit]) : limit
    let response: Response
    try {
      response = await fetchAnywhere(url, { ...init, headers, signal })
    } catch (error) {
      if (this.#signal?.aborted) throw this.#signal.reason
      throw new ElectraError(
        'HUB_UNREACHABLE',
        `The hub ${this.endpoint} could not be reached for ${this.#id} (${reasonOf(error)}); check the connection, the proxy and HF_ENDPOINT.`,
        { cause: error },
      )
    }
    if (response.ok) return response
    await response.body?.cancel()
    throw this.#refusal(response, about)
  }

  #refusal(response: Response, about: About): ElectraError {
    const { status, headers } = response
    const page = `${this.endpoint}/${this.#id}`
    const host = new URL(response.url).origin
    if (host !== new URL(this.endpoint).origin) {
      return new ElectraError(
        'DOWNLOAD_FAILED',
        `${about.file ?? this.#id} could not be fetched: ${host}, to which the hub sent us, answered ${status}; try again later.`,
      )
    }
    switch (headers.get('x-error-code')) {
      case 'RepoNotFound':
        return this.#noSuchModel()
      case 'RevisionNotFound':
        return new ElectraError(
          'CHECKPOINT_NOT_FOUND',
          `The model ${this.#id} has no revision '${about.revision}' (any more); ${page}/commits shows what it has.`,
        )
      case 'EntryNotFound':
        return this.#notThere(about)
      case 'GatedRepo':
        return new ElectraError(
          'HUB_DENIED',
          `The model ${this.#id} is gated: accept its terms at ${page}, and ${this.#token === undefined ? 'set HF_TOKEN to a token of the account that did' : 'make sure that the token is of the account that did'}.`,
        )
    }
    if (status === 404) return about.file === undefined ? this.#noSuchModel() : this.#notThere(about)
    if (status === 401 || status === 403) {
      return new ElectraError(
        'HUB_DENIED',
        this.#token === undefined
          ? `The hub answered ${status}: ${this.#id} wants a token; set HF_TOKEN to one that may read it.`
          : `The hub answered ${status}: the token that was sent may not read ${this.#id}; set HF_TOKEN to one that may (${this.endpoint}/settings/tokens).`,
      )
    }
    return new ElectraError(
      'HUB_UNREACHABLE',
      `The hub ${this.endpoint} answered ${status} for ${this.#id}; try again later.`,
    )
  }

  #noSuchModel(): ElectraError {
    return new NoSuchModel(
      `${this.endpoint} has no model ${this.#id}, or it is private and ${this.#token === undefined ? 'HF_TOKEN is not set' : 'the token that was sent may not read it'}; check the spelling and the token.`,
    )
  }

  #notThere({ revision, file }: About): ElectraError {
    return new ElectraError(
      'CHECKPOINT_NOT_FOUND',
      `The model ${this.#id} has no file ${file ?? ''} at ${revision}; see ${this.endpoint}/${this.#id}/tree/${revision}.`,
    )
  }

  #noHub(cause?: unknown): ElectraError {
    return new ElectraError(
      'HUB_UNREACHABLE',
      `${this.endpoint} did not answer as a hub does${cause === undefined ? '' : ` (${reasonOf(cause)})`}; check HF_ENDPOINT, and whether a proxy answers in its place.`,
      { cause },
    )
  }
}

/** The token that Python would send without being asked: the environment's, else the one of `hf auth login`. */
async function implicitToken(): Promise<string | undefined> {
  const { HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_HUB_DISABLE_IMPLICIT_TOKEN } = process.env
  if (isTrue(HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined
  const set = (HF_TOKEN ?? '') || (HUGGING_FACE_HUB_TOKEN ?? '')
  const token = (set || (await readFile(tokenFile(), 'utf8').catch(() => ''))).trim()
  if (token === '') return undefined
  if (isToken(token)) return token
  throw new ElectraError(
    'HUB_DENIED',
    `The token in ${set ? 'HF_TOKEN' : tokenFile()} has characters that no token has; set HF_TOKEN anew.`,
  )
}

/** Whether a text can be sent as a token: visible ASCII. */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text)
}

/** Python's reading of a switch in the environment. */
export function isTrue(value: string | undefined): boolean {
  return /^(?:1|on|yes|true)$/i.test(value ?? '')
}

function endpointOf(given: string | undefined): string {
  const endpoint = (given ?? '').replace(/\/+$/, '') || DEFAULT_ENDPOINT
  if (URL.canParse(endpoint) && /^https?:/.test(endpoint)) return endpoint
  throw new ElectraError(
    'HUB_UNREACHABLE',
    `HF_ENDPOINT is '${endpoint}', which is no address; set it to one like ${DEFAULT_ENDPOINT}, or unset it.`,
  )
}

function timeoutOf(variable: string): number {
  const seconds = Number(process.env[variable])
  return seconds > 0 ? seconds : DEFAULT_TIMEOUT_SECONDS
}
