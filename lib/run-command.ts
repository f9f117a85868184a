import { spawn } from 'node:child_process'
import { basename } from 'node:path'

/** A command that ended with another code than 0, and everything it printed. */
export class CommandFailed extends Error {
  constructor(
    command: string,
    readonly code: number | string,
    readonly output: string,
  ) {
    super(`${command} failed (${code})`)
  }
}

/**
 * Runs a command to its end without a shell or input.
 *
 * @param options `show`: its standard output goes to this process's standard error, as a progress bar wants
 * @returns what it printed on both streams; with `show`, on standard error alone
 * @throws CommandFailed, or the system's own error where it could not be started
 */
export function runCommand(
  command: string,
  args: string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; show?: boolean } = {},
): Promise<string> {
  const { show = false, ...rest } = options
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...rest, stdio: ['ignore', show ? 2 : 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
    }
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output)
      else reject(new CommandFailed(spoken(command, args), code ?? signal ?? 'unknown', output))
    })
  })
}

/** `cmake-js configure` rather than Node with a long path. */
function spoken(command: string, args: string[]): string {
  return (command === process.execPath ? args : [command, ...args])
    .slice(0, 2)
    .map((word) => basename(word))
    .join(' ')
}

/** The last thing that a command said, for a message of one sentence. */
export function lastLine(output: string): string {
  return output.trim().split('\n').at(-1)?.trim() ?? ''
}
