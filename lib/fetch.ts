/** The proxy that the environment names for an address, as curl and pip read it; `NO_PROXY` is not looked at. */
export function proxyOf(url: URL, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const named =
    url.protocol === 'https:'
      ? [env.https_proxy, env.HTTPS_PROXY, env.all_proxy, env.ALL_PROXY]
      : [env.http_proxy, env.HTTP_PROXY, env.all_proxy, env.ALL_PROXY]
  return named.find(Boolean)
}

/** `fetch`, through the proxy that the environment names: Node's own knows none before Node 24. */
export async function fetchAnywhere(url: string | URL, init: RequestInit): Promise<Response> {
  if (proxyOf(new URL(url)) === undefined) return fetch(url, init)
  const { fetchByProxy } = await import('./proxy.js')
  return fetchByProxy(url, init)
}

/** What the network said, without the wrapping that `fetch` puts around it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return reasonOf(error.cause)
  // Several addresses were tried: the code says it for all.
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return (error.message || code || error.name).replace(/\.$/, '')
}

/**
 * The body of a file from a place on, given up when it stalls.
 *
 * @param seconds until the first bytes, and then the next ones, have to come
 * @param ask sends the request with these headers, under this signal
 * @returns `from`: where the bytes do begin, which is 0 where the server knows no ranges; `chunks` throws what the network
 *   throws, and that nothing came
 */
export async function readFrom(
  from: number,
  seconds: number,
  ask: (headers: Record<string, string>, stalled: AbortSignal) => Promise<Response>,
): Promise<{ from: number; chunks: AsyncIterable<Uint8Array> }> {
  const stalled = new AbortController()
  const timer = setTimeout(() => {
    stalled.abort(new Error(`nothing came for ${seconds} s`))
  }, seconds * 1000)
  try {
    const response = await ask(from > 0 ? { range: `bytes=${from}-` } : {}, stalled.signal)
    const range = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]
    return {
      from: response.status === 206 ? Number(range ?? from) : 0,
      chunks: (async function* () {
        try {
          for await (const chunk of response.body ?? []) {
            timer.refresh()
            yield chunk as Uint8Array
          }
        } finally {
          clearTimeout(timer)
        }
      })(),
    }
  } catch (error) {
    clearTimeout(timer)
    throw error
  }
}
