/* Child processes whose end is looked at: exit code, signal, and everything that they wrote. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'

export interface Ending {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface Options {
  /** For Node. */
  flags?: string[]
  env?: NodeJS.ProcessEnv
}

/** Runs a script to its end; one that does not end is killed, which shows as its signal. */
export function run(script: string, args: string[], { flags = [], env = {} }: Options = {}): Promise<Ending> {
  const child = spawn(process.execPath, [...flags, script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    timeout: 110_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += String(chunk)))
  child.stderr.on('data', (chunk) => (stderr += String(chunk)))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr })
    })
  })
}

/** Skips a suite, and says why, where no address space can be limited. */
export function needsPrlimit(): void {
  before(function () {
    if (spawnSync('prlimit', ['--version']).status === 0) return
    console.log('      skipped: there is no prlimit (Debian has it in util-linux)')
    this.skip()
  })
}

export const SILENT = /^$/
export const LEFT_BEHIND =
  /^electra-classifier: 1 inference thread did not stop within 5 s and was left behind\n$/

/** Both streams are all that was printed. */
export function check(ending: Ending, code: number, stdout: string | RegExp, stderr: RegExp): void {
  assert.equal(ending.signal, null, ending.stderr)
  assert.match(ending.stderr, stderr)
  if (typeof stdout === 'string') assert.equal(ending.stdout, stdout, ending.stderr)
  else assert.match(ending.stdout, stdout, ending.stderr)
  assert.equal(ending.code, code)
}
