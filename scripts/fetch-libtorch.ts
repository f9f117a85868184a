/* Gets a libtorch to build against: one that is installed, else the pinned CPU wheel into the per-user cache. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PINNED_VERSION, type Libtorch, type Tried, describePlace, findLibtorch } from '../lib/libtorch'
import { installLibtorch, type InstallOptions } from '../lib/libtorch/install'
import { CommandFailed, lastLine, runCommand } from '../lib/run-command'

export interface FetchOptions extends Pick<InstallOptions, 'answer_ms' | 'stall_ms'> {
  env?: NodeJS.ProcessEnv
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

  const reasons = tried.map((place) => describePlace(sourceName(place.source), place))
  const index = env.ELECTRA_TORCH_INDEX ?? PYTORCH_INDEX
  const downloads = mkdtempSync(join(tmpdir(), 'electra-torch-'))
  const sources = [
    { name: index, from: () => Promise.resolve(index) },
    { name: 'pip download', from: () => downloadWithPip(downloads, env, log) },
  ]
  try {
    for (const { name, from } of sources) {
      try {
        const { libtorch } = await installLibtorch({
          variant: 'cpu',
          from: await from(),
          headers: true,
          env,
          // What has no network is not to wait long before it is told so.
          answer_ms: options.answer_ms ?? 5000,
          ...(options.stall_ms !== undefined && { stall_ms: options.stall_ms }),
          on_plan: ({ wheels: [wheel = ''], download }) => {
            if (download > 0) log(`downloading ${wheel}`)
          },
        })
        return { ...libtorch, source: 'cache', from: name }
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        log(`${name} is passed over: ${reason}`)
        reasons.push(`${name}: ${reason}`)
      }
    }
  } finally {
    rmSync(downloads, { recursive: true, force: true })
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

/** @returns path of the wheel */
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
