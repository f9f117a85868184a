import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { cacheFolder } from './cache'
import { LibtorchError, type Inspected } from './inspect'

/** What came of opening libraries in a process of their own. */
export interface Probe {
  /** Paths that could be opened. */
  opened: string[]
  /** Paths that could not, with what the loader said. */
  failed: { path: string; reason: string }[]
}

const PROBE_MS = 120_000

// A library that is no addon is opened all the same; what Node misses in it comes after that.
const SCRIPT = `
for (const path of process.argv.slice(1)) {
  process.stdout.write(JSON.stringify({ path }) + '\\n')
  let reason
  try { process.dlopen({ exports: {} }, path, ${constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL}) }
  catch (error) { if (!/self-register|node_register_module|version mismatch/i.test(error.message)) reason = error.message }
  process.stdout.write(JSON.stringify({ path, done: true, reason }) + '\\n')
}
process.kill(process.pid, 'SIGKILL')`

/**
 * Opens libraries one after the other in a child process, so that one that crashes takes nothing with it.
 *
 * @param paths absolute; what one brings in serves those behind it
 */
export async function probeLibraries(paths: readonly string[]): Promise<Probe> {
  const child = spawn(process.execPath, ['-e', SCRIPT, ...paths], {
    stdio: ['ignore', 'pipe', 'ignore'],
    // Electron's binary is a browser otherwise.
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '' },
    timeout: PROBE_MS,
    killSignal: 'SIGKILL',
  })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
  const end = await new Promise<string>((settle) => {
    child.once('error', (error) => {
      settle(error.message)
    })
    child.once('close', (code, signal) => {
      settle(signal === null ? `exit code ${code ?? 0}` : `signal ${signal}`)
    })
  })
  const results = new Map<string, { done?: boolean; reason?: string }>()
  for (const line of printed.split('\n').filter(Boolean)) {
    const { path, ...result } = JSON.parse(line) as { path: string; done?: boolean; reason?: string }
    results.set(path, result)
  }
  const probe: Probe = { opened: [], failed: [] }
  for (const path of paths) {
    const { done = false, reason } = results.get(path) ?? {}
    if (done && reason === undefined) probe.opened.push(path)
    else if (reason !== undefined) probe.failed.push({ path, reason })
    else if (results.has(path))
      probe.failed.push({ path, reason: `the process that opened it ended with ${end}` })
    else probe.failed.push({ path, reason: 'it was not reached' })
  }
  return probe
}

/** Every library of a libtorch, `libtorch` itself first, then NVIDIA's beside it where it is built for CUDA. */
export function librariesOf({ lib, folder, variant }: Inspected): string[] {
  const nvidia = join(dirname(folder), 'nvidia')
  const own = librariesIn(lib).sort((a, b) => rank(a) - rank(b))
  return variant === 'cuda' && existsSync(nvidia) ? [...own, ...librariesIn(nvidia)] : own
}

const LIBRARY = /\.(?:so(?:\.\d+)*|dylib|dll)$/

function librariesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && LIBRARY.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

function rank(path: string): number {
  return /[/\\](?:lib)?torch\.\w+$/.test(path) ? 0 : 1
}

/** A build that somebody else's Python has, for a card or of a kind that is not known here. */
export function isRisky({ variant, build }: Inspected): boolean {
  return variant === 'cuda' || (build !== '' && build !== 'cpu')
}

/**
 * Opens `libtorch` in a child process before it is opened in this one. A success is remembered, for as long as the
 * library stays the same.
 *
 * @throws LibtorchError
 */
export async function requireOpens(libtorch: Inspected, env: NodeJS.ProcessEnv): Promise<void> {
  const first = librariesOf(libtorch)[0] ?? ''
  const memo = join(cacheFolder(env), 'probed', fingerprint(libtorch.lib))
  if (existsSync(memo)) return
  const { failed } = await probeLibraries([first])
  if (failed[0]) {
    throw new LibtorchError(
      'LIBTORCH_NOT_FOUND',
      `the ${libtorch.build || libtorch.variant} build of libtorch ${libtorch.version} in ${libtorch.folder} could not be opened when it was tried in another process (${failed[0].reason})`,
    )
  }
  try {
    mkdirSync(dirname(memo), { recursive: true })
    writeFileSync(memo, '')
  } catch {
    // Where nothing can be remembered, it is tried each time.
  }
}

function fingerprint(lib: string): string {
  const files = librariesIn(lib).map((path) => {
    const { size, mtimeMs } = statSync(path)
    return `${path} ${size} ${mtimeMs}`
  })
  return createHash('sha256').update(files.join('\n')).digest('hex').slice(0, 24)
}
