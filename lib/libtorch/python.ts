import { execFile } from 'node:child_process'
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

/** A torch package of a Python, or the reason why there is none. */
export type PythonTorch = { path: string } | { reason: string }

const WINDOWS = process.platform === 'win32'
const PYTHON = WINDOWS ? 'python.exe' : 'python3'
const ANSWER_MS = 5000

/**
 * Torch packages that Pythons of this machine have: of the active environment, of the environment that the first
 * `python3` on the path belongs to, then of that Python's own folders. None of it starts Python; only where all of
 * that finds nothing is it started and asked, for a few seconds at most.
 */
export async function* pythonTorches(env: NodeJS.ProcessEnv): AsyncGenerator<PythonTorch> {
  const seen = new Set<string>()
  for (const path of [...inEnvironments(env), ...inUserFolders(env)]) {
    if (seen.has(path) || !existsSync(path)) continue
    seen.add(path)
    yield { path }
  }
  const python = onPath(env)
  if (python === undefined) {
    if (seen.size === 0) yield { reason: `there is no ${PYTHON.replace('.exe', '')} on the path` }
    return
  }
  const asked = seen.size === 0 ? await ask(python, env) : undefined
  if (asked) yield asked
}

/** In the order in which Python itself would prefer them. */
function inEnvironments(env: NodeJS.ProcessEnv): string[] {
  const python = onPath(env)
  const prefixes = [env.VIRTUAL_ENV, env.CONDA_PREFIX]
  // A virtual environment's python3 is a link to another's; the folder that it lies in is what counts.
  if (python !== undefined) prefixes.push(prefixOf(python))
  return prefixes.flatMap((prefix) => (prefix ? sitePackages(prefix) : [])).map((site) => join(site, 'torch'))
}

/** `pip install --user`, and distributions that keep packages apart from Python's own. */
function inUserFolders(env: NodeJS.ProcessEnv): string[] {
  const python = onPath(env)
  if (python === undefined || WINDOWS) return []
  const prefix = prefixOf(python)
  // A virtual environment does not see those.
  if (existsSync(join(prefix, 'pyvenv.cfg')) || env.PYTHONNOUSERSITE) return []
  const version = /python3\.\d+$/.exec(realpathSync(python))?.[0]
  if (version === undefined) return []
  return [
    join(env.HOME ?? homedir(), '.local', 'lib', version, 'site-packages', 'torch'),
    join('/usr/local/lib', version, 'dist-packages', 'torch'),
    join('/usr/lib/python3/dist-packages', 'torch'),
  ]
}

function prefixOf(python: string): string {
  return WINDOWS ? dirname(python).replace(/[\\/]Scripts$/, '') : dirname(dirname(python))
}

function sitePackages(prefix: string): string[] {
  if (WINDOWS) return [join(prefix, 'Lib', 'site-packages')]
  const lib = join(prefix, 'lib')
  const pythons = existsSync(lib) ? readdirSync(lib).filter((name) => /^python3\.\d+$/.test(name)) : []
  return pythons.map((python) => join(lib, python, 'site-packages'))
}

function onPath(env: NodeJS.ProcessEnv): string | undefined {
  return (env.PATH ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, PYTHON))
    .find((path) => existsSync(path))
}

/** Asks a Python where its torch is, without importing it. */
function ask(python: string, env: NodeJS.ProcessEnv): Promise<PythonTorch> {
  const question = "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s else '')"
  return new Promise((settle) => {
    execFile(
      python,
      ['-c', question],
      { env, timeout: ANSWER_MS, killSignal: 'SIGKILL' },
      (error, stdout) => {
        const origin = stdout.trim()
        if (origin) settle({ path: dirname(origin) })
        else if (!error) settle({ reason: `${python} has no torch installed` })
        else if (error.killed)
          settle({ reason: `${python} did not say within ${ANSWER_MS / 1000} s whether it has torch` })
        else settle({ reason: `${python} could not say whether it has torch` })
      },
    )
  })
}
