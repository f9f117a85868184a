import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ElectraError } from '../errors'
import { reasonOf } from '../fetch'
import { request, type Patience } from './remote'
import type { Variant } from './variants'
import { fitsPlatform, wheelAt, type Wheel } from './wheel'

/** Where wheels are to be had. */
export interface WheelSource {
  /** In words, for messages. */
  name: string
  /** The wheel that was named by itself, if one was. */
  named?: Wheel
  /** Those of a project that are for this platform. */
  list: (project: string) => Promise<Wheel[]>
}

/** PyTorch's own index of a build; NVIDIA's wheels are in it, too. */
export function pytorchIndex(variant: Variant): string {
  return `https://download.pytorch.org/whl/${variant}/`
}

/**
 * What `--from` names: a wheel or a folder of wheels on the disk, also as `file://`; a wheel's address; or the address
 * of an index that has a page for each project (PEP 503), such as a mirror of PyTorch's.
 *
 * @throws RangeError where it names nothing of that kind
 */
export function openSource(from: string, patience: Patience): WheelSource {
  if (/^https?:\/\//i.test(from)) return remoteSource(new URL(from), patience)
  const path = /^file:\/\//i.test(from) ? fileURLToPath(from) : resolve(from)
  if (!existsSync(path)) throw new RangeError(`--from names ${path}, where there is nothing.`)
  if (statSync(path).isDirectory()) return folderSource(path)
  const named = wheelAt(pathToFileURL(path))
  if (!named) throw new RangeError(`--from names ${path}, whose name is not that of a wheel (torch-….whl).`)
  return { ...folderSource(dirname(path)), name: path, named }
}

function folderSource(folder: string): WheelSource {
  return {
    name: folder,
    list: (project) => {
      const wheels = readdirSync(folder)
        .map((name) => wheelAt(pathToFileURL(join(folder, name))))
        .filter((wheel) => wheel?.project === project && fitsPlatform(wheel))
      return Promise.resolve(wheels.filter((wheel) => wheel !== undefined))
    },
  }
}

function remoteSource(address: URL, patience: Patience): WheelSource {
  const named = wheelAt(address)
  const index = new URL(named ? './' : address.href.replace(/[?#].*$|\/*$/g, '') + '/', address)
  return {
    name: named ? named.url.href : index.href,
    ...(named && { named }),
    list: async (project) => {
      const page = new URL(`${project}/`, index)
      const html = await readPage(page, patience)
      return [...html.matchAll(/href="([^"]+)"/g)]
        .map(([, href = '']) => wheelAt(new URL(href.replaceAll('&amp;', '&'), page)))
        .filter((wheel) => wheel !== undefined)
        .filter((wheel) => wheel.project === project && fitsPlatform(wheel))
        .map((wheel) => {
          if (wheel.sha256 !== undefined) return wheel
          throw new ElectraError(
            'DOWNLOAD_FAILED',
            `${page.href} gives no SHA-256 for ${wheel.name}, so nobody could tell whether it came whole; name another mirror with --from.`,
          )
        })
    },
  }
}

async function readPage(page: URL, patience: Patience): Promise<string> {
  const limit = AbortSignal.timeout(patience.stall_ms)
  const signal = patience.signal ? AbortSignal.any([patience.signal, limit]) : limit
  const response = await request(page, { ...patience, signal }, { accept: 'text/html' })
  return response.text().catch((error: unknown) => {
    patience.signal?.throwIfAborted()
    throw new ElectraError(
      'DOWNLOAD_FAILED',
      `${page.href} could not be read to its end (${reasonOf(error)}); try again later.`,
      { cause: error },
    )
  })
}
