import { EnvHttpProxyAgent, fetch as fetchWith, type Dispatcher } from 'undici'

const agents = new Map<string, Dispatcher>()

/** `fetch` by the environment's `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`. */
export function fetchByProxy(url: string | URL, init: RequestInit): Promise<Response> {
  const all = setTo('all_proxy')
  const settings = {
    httpProxy: setTo('http_proxy') ?? all ?? '',
    httpsProxy: setTo('https_proxy') ?? all ?? '',
    noProxy: setTo('no_proxy') ?? '',
  }
  const key = JSON.stringify(settings)
  const dispatcher = agents.get(key) ?? new EnvHttpProxyAgent(settings)
  agents.set(key, dispatcher)
  // Node's own fetch was made from this package; only its types are declared apart.
  const fetchHere = fetchWith as unknown as (url: string | URL, init: object) => Promise<Response>
  return fetchHere(url, { ...init, dispatcher })
}

/** The name in lower case wins, as it does in curl; an empty one is none. */
function setTo(name: string): string | undefined {
  return [process.env[name], process.env[name.toUpperCase()]].find(Boolean)
}
