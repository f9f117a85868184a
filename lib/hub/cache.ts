import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'

/**
 * Python's rules for where its cache lies; a path may begin with `~` and hold `$NAME`, as it may there.
 *
 * @returns absolute path of the folder that holds a folder for each repository
 */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(expand(env.HF_HUB_CACHE ?? env.HUGGINGFACE_HUB_CACHE ?? join(homeFolder(env), 'hub'), env))
}

/** The file that `hf auth login` writes. */
export function tokenFile(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(expand(env.HF_TOKEN_PATH ?? join(homeFolder(env), 'token'), env))
}

function homeFolder(env: NodeJS.ProcessEnv): string {
  return expand(env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface'), env)
}

function expand(path: string, env: NodeJS.ProcessEnv): string {
  return path
    .replace(/^~(?=$|[\\/])/, homedir())
    .replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced?: string, bare?: string) => {
      return env[braced ?? bare ?? ''] ?? whole
    })
}

/**
 * One model's folder in the cache, laid out as Python's `huggingface_hub` does it:
 *
 * ```
 * models--org--name/blobs/<etag>                    a file's content, named by its hash
 *                   snapshots/<sha>/<file>          → ../../blobs/<etag>
 *                   refs/<revision>                 the sha that a branch or tag had last
 * .locks/models--org--name/                         locks, outside of what is looked at
 * ```
 */
export class RepositoryCache {
  /** Absolute path of the cache that this repository's folder lies in. */
  readonly root: string
  readonly #folder: string
  readonly #locks: string

  constructor(root: string, id: string) {
    const name = ['models', ...id.split('/')].join('--')
    this.root = resolve(root)
    this.#folder = join(this.root, name)
    this.#locks = join(this.root, '.locks', name)
  }

  blob(etag: string): string {
    return join(this.#folder, 'blobs', etag)
  }

  /**
   * What has come of a blob so far. The name is our own: older Pythons append to `<etag>.incomplete`, and
   * under a lock that Node cannot take. It ends as theirs do, so that `hf cache prune` knows it.
   */
  partial(etag: string): string {
    return join(this.#folder, 'blobs', `${etag}.electra.incomplete`)
  }

  lock(etag: string): string {
    return join(this.#locks, `${etag}.electra.lock`)
  }

  snapshot(sha: string): string {
    return join(this.#folder, 'snapshots', sha)
  }

  /** The sha that a branch or tag had when it was last asked for, or undefined. */
  async readRef(revision: string): Promise<string | undefined> {
    const text = await readFile(this.#ref(revision), 'utf8').catch(() => undefined)
    const sha = text?.trim() ?? ''
    return isSha(sha) ? sha : undefined
  }

  async writeRef(revision: string, sha: string): Promise<void> {
    if (revision === sha || (await this.readRef(revision)) === sha) return
    const path = this.#ref(revision)
    await mkdir(dirname(path), { recursive: true })
    const half = `${path}.${randomUUID().slice(0, 8)}.tmp`
    await writeFile(half, sha)
    await rename(half, path)
  }

  /** Makes `file` of a snapshot show a blob; relative, so that the cache can be moved. */
  async point(sha: string, file: string, etag: string): Promise<void> {
    const pointer = join(this.snapshot(sha), file)
    const blob = this.blob(etag)
    await mkdir(dirname(pointer), { recursive: true })
    const made = `${pointer}.${randomUUID().slice(0, 8)}.tmp`
    try {
      await symlink(relative(dirname(pointer), blob), made)
    } catch {
      // Windows lets few users make symbolic links; a hard link needs no more room either.
      await link(blob, made)
    }
    await rename(made, pointer)
  }

  #ref(revision: string): string {
    return join(this.#folder, 'refs', ...revision.split('/'))
  }
}

/** Bytes of a file, links followed; undefined where there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  const stats = await stat(path).catch(() => undefined)
  return stats?.isFile() ? stats.size : undefined
}

export function isSha(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text)
}
