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
