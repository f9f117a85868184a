/* Gets a libtorch to build against: one that is installed, else the pinned CPU wheel into the per-user cache. */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import {
  CHECKED_MARKER,
  PINNED_VERSION,
  type Libtorch,
  type Tried,
  cacheEntry,
  findLibtorch,
  inspectLibtorch,
} from '../lib/libtorch'
import { CommandFailed, lastLine, runCommand } from '../lib/run-command'

export interface FetchOptions {
  env?: NodeJS.ProcessEnv
  /** How long a source may take to answer, in ms. */
  answer_ms?: number
  /** How long a download may stand still, in ms. */
  stall_ms?: number
  /** Gets each line that is to be shown. */
  log?: (line: string) => void
}

const PYTORCH_INDEX = 'https://download.pytorch.org/whl/cpu/'
const PYTHON = process.platform === 'win32' ? 'python' : 'python3'

/** A libtorch and, in words, the source that it came from. */
export interface Fetched extends Libtorch {
  from: string
}

/**
 * The first that works: `LIBTORCH`, the per-user cache, an installed Python torch, PyTorch's own CPU wheel
 * index (`ELECTRA_TORCH_INDEX` names another), `pip download`.
 *
 * @throws Error that lists each source with its reason, and the remedy
 */
export async function fetchLibtorch(options: FetchOptions = {}): Promise<Fetched> {
  const { env = process.env, log = (line: string) => void process.stderr.write(`${line}\n`) } = options
  const { found, tried } = await findLibtorch(undefined, { for_building: true, env })
  for (const { source, path, reason } of tried) {
    // An empty cache is no news; a libtorch that somebody named or installed and that is not used is.
    if (path !== undefined && source !== 'cache') log(`${sourceName(source)} is passed over: ${reason}`)
  }
  if (found) return { ...found, from: sourceName(found.source) }

  const entry = cacheEntry(env)
  const reasons = tried.map(({ source, reason }) => `${sourceName(source)}: ${reason}`)
  mkdirSync(dirname(entry), { recursive: true })
  removeLeftovers(entry)
  const index = env.ELECTRA_TORCH_INDEX ?? PYTORCH_INDEX
  const downloads = [
    { name: index, get: (folder: string) => downloadFromIndex(index, folder, { ...options, log }) },
    { name: 'pip download', get: (folder: string) => downloadWithPip(folder, env, log) },
  ]
  for (const { name, get } of downloads) {
    const workplace = `${entry}.${hostname()}.${process.pid}.${randomUUID().slice(0, 8)}.part`
    try {
      mkdirSync(workplace)
      const wheel = await get(workplace)
      const unpacked = await unpack(wheel, join(workplace, 'libtorch'), env)
      const checked = inspectLibtorch(unpacked)
      if (checked.version !== PINNED_VERSION || checked.variant !== 'cpu') {
        throw new Error(`it brought ${checked.version} (${checked.variant}), not ${PINNED_VERSION} (cpu)`)
      }
      enterCache(unpacked, entry)
      return { ...inspectLibtorch(entry), source: 'cache', from: name }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      log(`${name} is passed over: ${reason}`)
      reasons.push(`${name}: ${reason}`)
    } finally {
      rmSync(workplace, { recursive: true, force: true })
    }
  }
  throw new Error(
    [
      `No libtorch ${PINNED_VERSION} could be had:`,
      ...reasons.map((reason) => `  - ${reason}`),
      `Install one with \`${PYTHON} -m pip install torch==${PINNED_VERSION}\`, or set LIBTORCH to the folder of one.`,
    ].join('\n'),
  )
}

export function describeFetched({ version, variant, from, folder }: Fetched): string {
  return `libtorch ${version} (${variant}) from ${from}: ${folder}`
}

function sourceName(source: Tried['source']): string {
  return { option: 'the option', LIBTORCH: 'LIBTORCH', cache: 'the cache', python: 'Python' }[source]
}

/** What runs that were killed left beside the entry. Those of live ones stay; another machine's age out. */
function removeLeftovers(entry: string): void {
  const folder = dirname(entry)
  const workplaces = /^\.(.+)\.(\d+)\.[0-9a-f]{8}\.part$/
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(basename(entry))) continue
    const [, host, pid] = workplaces.exec(name.slice(basename(entry).length)) ?? []
    if (host === undefined) continue
    const old = Date.now() - statSync(join(folder, name)).mtimeMs > 24 * 3600 * 1000
    if (old || (host === hostname() && !isAlive(Number(pid)))) {
      rmSync(join(folder, name), { recursive: true, force: true })
    }
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return true
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** A rename is atomic: other processes see the whole entry or none. Of two at once, one's stays. */
function enterCache(unpacked: string, entry: string): void {
  writeFileSync(join(unpacked, CHECKED_MARKER), '')
  try {
    renameSync(unpacked, entry)
  } catch (error) {
    if (isUsable(entry)) return
    if (!existsSync(entry)) throw error
    // A damaged entry is in the way.
    renameSync(entry, join(dirname(unpacked), 'damaged'))
    renameSync(unpacked, entry)
  }
}

function isUsable(entry: string): boolean {
  try {
    inspectLibtorch(entry)
    return existsSync(join(entry, CHECKED_MARKER))
  } catch {
    return false
  }
}

/** Reads the index page, downloads the wheel that it lists for this platform, and compares its SHA-256. */
async function downloadFromIndex(
  index: string,
  folder: string,
  { answer_ms = 5000, stall_ms = 60_000, log }: FetchOptions,
): Promise<string> {
  const page = new URL('torch/', index.endsWith('/') ? index : `${index}/`)
  const answer = await request(page, answer_ms)
  const { url, name, sha256 } = chooseWheel(await withinTime(answer, answer.response.text(), stall_ms), page)

  log?.(`downloading ${name} from ${url.host}`)
  const download = await request(url, answer_ms)
  const total = Number(download.response.headers.get('content-length') ?? 0)
  const path = join(folder, name)
  const file = await open(path, 'w')
  try {
    const hash = createHash('sha256')
    let received = 0
    const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = download.response.body?.getReader()
    if (!reader) throw new Error(`${url.href} has no content`)
    for (;;) {
      const { done, value } = await withinTime(download, reader.read(), stall_ms)
      if (done) break
      hash.update(value)
      await file.write(value)
      received += value.length
      showProgress(received, total)
    }
    if (total && received !== total) throw new Error(`the download ended after ${received} of ${total} bytes`)
    const got = hash.digest('hex')
    if (got !== sha256) throw new Error(`${name} has the SHA-256 ${got}, not ${sha256} as the index says`)
  } finally {
    await file.close()
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
  }
  return path
}

interface Answer {
  response: Response
  abort: AbortController
}

async function request(url: URL, answer_ms: number): Promise<Answer> {
  const abort = new AbortController()
  const timer = setTimeout(() => {
    abort.abort(new Error(`${url.host} did not answer within ${answer_ms / 1000} s`))
  }, answer_ms)
  try {
    const response = await fetch(url, { signal: abort.signal })
    if (!response.ok) throw new Error(`${url.href} answered ${response.status} ${response.statusText}`)
    return { response, abort }
  } catch (error) {
    const cause = error instanceof TypeError && error.cause instanceof Error ? error.cause.message : undefined
    throw cause === undefined
      ? error
      : new Error(`${url.host} could not be reached (${cause})`, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

/** Gives up on a body that brings nothing for a while; one that is slow but moves is waited for. */
async function withinTime<T>({ abort }: Answer, work: Promise<T>, stall_ms: number): Promise<T> {
  const timer = setTimeout(() => {
    abort.abort(new Error(`the download stood still for ${stall_ms / 1000} s`))
  }, stall_ms)
  try {
    return await work
  } catch (error) {
    if (error instanceof TypeError) throw new Error('the connection was cut', { cause: error })
    throw error
  } finally {
    clearTimeout(timer)
  }
}

const PLATFORM_TAGS: Record<string, RegExp> = {
  'linux-x64': /(manylinux|linux)\w*_x86_64$/,
  'linux-arm64': /(manylinux|linux)\w*_aarch64$/,
  'darwin-arm64': /macosx\w*_arm64$/,
  'win32-x64': /win_amd64$/,
}

/** Only the C++ part of a wheel is used, so any Python's serves; 3.11's is taken where there is a choice. */
function chooseWheel(html: string, page: URL): { url: URL; name: string; sha256: string } {
  const platform = PLATFORM_TAGS[`${process.platform}-${process.arch}`]
  if (!platform) throw new Error(`PyTorch has no wheels for ${process.platform} ${process.arch}`)
  const wheels = [...html.matchAll(/href="([^"]+)"/g)]
    .map(([, href = '']) => new URL(href.replaceAll('&amp;', '&'), page))
    .map((url) => ({ url, name: decodeURIComponent(basename(url.pathname)) }))
    .filter(({ name }) => /^torch-([\d.]+)(\+cpu)?-/.exec(name)?.[1] === PINNED_VERSION)
    .filter(({ name }) => platform.test(name.replace(/\.whl$/, '')))
  const wheel = wheels.find(({ name }) => name.includes('-cp311-')) ?? wheels[0]
  if (!wheel) {
    throw new Error(`it lists no torch ${PINNED_VERSION} for ${process.platform} ${process.arch}`)
  }
  const sha256 = /^#sha256=([0-9a-f]{64})$/.exec(wheel.url.hash)?.[1]
  if (!sha256) throw new Error(`it gives no SHA-256 for ${wheel.name}`)
  return { ...wheel, sha256 }
}

let shown = 0

function showProgress(received: number, total: number): void {
  if (!process.stderr.isTTY || (received < total && Date.now() - shown < 200)) return
  shown = Date.now()
  const of = total ? ` of ${megabytes(total)} (${Math.floor((100 * received) / total)} %)` : ''
  process.stderr.write(`\r  ${megabytes(received)}${of}\u001b[K`)
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

async function downloadWithPip(
  folder: string,
  env: NodeJS.ProcessEnv,
  log: (line: string) => void,
): Promise<string> {
  log(`downloading torch ${PINNED_VERSION} with pip`)
  const show = process.stderr.isTTY
  const quiet = show ? [] : ['--quiet', '--progress-bar', 'off']
  try {
    // pip waits 15 s and tries six times of itself; what the machine's owner has set is left alone.
    const patience = (await pip(['config', 'list'], env)).includes('timeout') ? [] : ['--timeout', '5']
    const wheel = [`torch==${PINNED_VERSION}`, '--no-deps', '--only-binary', ':all:', '--dest', folder]
    await pip(['download', ...wheel, '--retries', '1', ...patience, ...quiet], env, show)
  } catch (error) {
    if (error instanceof CommandFailed) throw new Error(lastLine(error.output), { cause: error })
    throw new Error(`there is no ${PYTHON} on the path`, { cause: error })
  }
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'))
  if (!wheel) throw new Error('pip brought no wheel')
  return join(folder, wheel)
}

function pip(args: string[], env: NodeJS.ProcessEnv, show = false): Promise<string> {
  return runCommand(PYTHON, ['-m', 'pip', '--disable-pip-version-check', '--no-input', ...args], {
    env,
    show,
  })
}

// Python's own parts, and libraries that only its tests or its interpreter open, stay in the wheel.
const UNPACK = `
import re, sys, zipfile
from pathlib import Path
wheel, folder = zipfile.ZipFile(sys.argv[1]), Path(sys.argv[2])
unused = re.compile(r'python|_test\\b|backend_with_compiler|aoti_custom_ops|libshm|global_deps')
for member in wheel.infolist():
    name = member.filename
    if '..' in name.split('/') or name.endswith('/'):
        continue
    if re.fullmatch(r'torch/lib/[^/]+|torch\\.libs/[^/]+', name) and not unused.search(name):
        target = folder / 'lib' / name.rsplit('/', 1)[1]
    elif name.startswith('torch/include/') or name == 'torch/version.py':
        target = folder / name[len('torch/'):]
    else:
        continue
    target.parent.mkdir(parents=True, exist_ok=True)
    with wheel.open(member) as source, open(target, 'wb') as out:
        while block := source.read(1 << 20):
            out.write(block)
version = (folder / 'version.py').read_text()
(folder / 'build-version').write_text(re.search(r"__version__ = '([^']+)'", version)[1] + '\\n')
(folder / 'version.py').unlink()
`

async function unpack(wheel: string, folder: string, env: NodeJS.ProcessEnv): Promise<string> {
  try {
    await runCommand(PYTHON, ['-c', UNPACK, wheel, folder], { env })
  } catch (error) {
    const reason =
      error instanceof CommandFailed ? lastLine(error.output) : `there is no ${PYTHON} on the path`
    throw new Error(`${basename(wheel)} could not be unpacked (${reason})`, { cause: error })
  }
  rmSync(wheel)
  return folder
}

if (require.main === module) {
  fetchLibtorch().then(
    (fetched) => {
      console.error(describeFetched(fetched))
    },
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error)
      process.exitCode = 1
    },
  )
}
