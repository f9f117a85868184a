/* Child processes whose end is looked at: exit code, signal, and everything that they wrote. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'

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

export const SILENT = /^$/
export const LEFT_BEHIND =
  /^electra-classifier: 1 inference thread did not stop within 5 s and was left behind\n$/

/** @param stderr all of it */
export function check(ending: Ending, code: number, stdout: string, stderr: RegExp): void {
  assert.equal(ending.signal, null, ending.stderr)
  assert.match(ending.stderr, stderr)
  assert.equal(ending.stdout, stdout, ending.stderr)
  assert.equal(ending.code, code)
}
