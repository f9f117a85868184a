import { execFileSync, spawnSync } from 'node:child_process'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { openAddon } from '../lib/binding'
import { findLibtorch } from '../lib/libtorch'
import { lastLines, peerVersions, python } from './prepare'
import type { Machine, Outcome } from './results'
import { machineClass } from './targets'

export const TRIALS = join(__dirname, 'trials')

/** What is measured, and on what. */
export async function machine(quick: boolean): Promise<Machine> {
  const { threads, rule, features, model } = openAddon().cpuInfo()
  const { found } = await findLibtorch()
  return {
    cpu: model,
    class: machineClass(features),
    features,
    threads,
    threads_rule: rule,
    cpus: cpus().length,
    versions: { Node: process.version, libtorch: found?.version ?? 'none', ...peerVersions() },
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
    quick,
  }
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      cwd: __dirname,
      encoding: 'utf8',
    }).trim()
  } catch {
    return 'unknown'
  }
}

/** Runs a trial's script in a fresh process; whatever goes wrong is its outcome. */
export function runTrial(
  name: string,
  env: Record<string, string>,
  timeout_s: number,
): Omit<Outcome, 'trial' | 'round'> {
  const script = join(TRIALS, name)
  const [command, args] = script.endsWith('.py')
    ? [python(), [script]]
    : [process.execPath, ['--expose-gc', script]]
  const [load = NaN] = loadavg()
  const about = { at: new Date().toISOString(), load }
  const started = performance.now()
  const ended = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeout_s * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
  })
  const outcome = { ...about, seconds: (performance.now() - started) / 1000 }
  if (ended.error && 'code' in ended.error && ended.error.code === 'ETIMEDOUT') {
    return { ...outcome, failure: `it took longer than ${timeout_s} s` }
  }
  if (ended.error) return { ...outcome, failure: ended.error.message }
  if (ended.status !== 0) {
    const how = ended.signal ?? `exit code ${ended.status ?? '?'}`
    return { ...outcome, failure: lastLines(ended.stderr) || how }
  }
  try {
    const printed = ended.stdout.trim().split('\n').at(-1) ?? ''
    return { ...outcome, result: JSON.parse(printed) as Record<string, unknown> }
  } catch {
    return { ...outcome, failure: `it printed no JSON: ${lastLines(ended.stdout)}` }
  }
}
