/* Which of the tools that setting up needs are not on the path, and the command that installs each. */
import { existsSync } from 'node:fs'
import { runCommand } from './run-command'

interface Tool {
  what: string
  /** Any one of these serves; each with the arguments that make it print its version. */
  commands: { command: string; args?: string[]; at_least?: string }[]
  packages: { apt: string; dnf: string; brew: string }
}

const NODE_AT_LEAST = '20.19'
const PYTHON = process.platform === 'win32' ? 'python' : 'python3'

const COMPILER: Tool = {
  what: 'a C++20 compiler (g++ 11 or clang 13, or newer)',
  commands: process.env.CXX
    ? [{ command: process.env.CXX }]
    : [
        { command: 'g++', args: ['-dumpfullversion', '-dumpversion'], at_least: '11' },
        { command: 'clang++', args: ['-dumpversion'], at_least: '13' },
      ],
  packages: { apt: 'g++', dnf: 'gcc-c++', brew: 'llvm' },
}

const CMAKE: Tool = {
  what: 'cmake 3.18 or newer',
  commands: [{ command: 'cmake', at_least: '3.18' }],
  packages: { apt: 'cmake', dnf: 'cmake', brew: 'cmake' },
}

const MAKE: Tool = {
  what: 'make or ninja',
  commands: [{ command: 'ninja' }, { command: 'make' }],
  packages: { apt: 'make', dnf: 'make', brew: 'ninja' },
}

const PIP: Tool = {
  what: 'Python 3 with pip, which fetches libtorch',
  commands: [{ command: PYTHON, args: ['-m', 'pip', '--version'] }],
  packages: { apt: 'python3 python3-pip', dnf: 'python3 python3-pip', brew: 'python' },
}

/**
 * @param options `python`: whether libtorch must be fetched, which takes Python and pip
 * @returns one sentence for each tool that is missing, then the command that installs them all
 */
export async function missingTools({ python }: { python: boolean }): Promise<string[]> {
  const lines: string[] = []
  if (!reaches(process.versions.node, NODE_AT_LEAST)) {
    lines.push(
      `Node ${process.versions.node} is too old: ${NODE_AT_LEAST} or newer is needed (https://nodejs.org).`,
    )
  }
  // On Windows, CMake finds Visual Studio's tools, which are on no path.
  const tools = [
    ...(process.platform === 'win32' ? [CMAKE] : [COMPILER, CMAKE, MAKE]),
    ...(python ? [PIP] : []),
  ]
  const missing: Tool[] = []
  for (const tool of tools) {
    const found = await Promise.all(tool.commands.map(look))
    if (found.some(({ good }) => good)) continue
    missing.push(tool)
    const reasons = found.map(({ reason }) => reason).join(', ')
    lines.push(`Missing: ${tool.what} (${reasons}).`)
  }
  if (missing.length) lines.push(`Install with: ${installCommand(missing)}`)
  return lines
}

async function look({ command, args = ['--version'], at_least = '0' }: Tool['commands'][number]) {
  try {
    const version = /\d+(\.\d+)*/.exec(await runCommand(command, args))?.[0] ?? '0'
    return reaches(version, at_least) ? { good: true } : { good: false, reason: `${command} is ${version}` }
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    const called = [command, ...args].join(' ')
    return { good: false, reason: absent ? `no ${command} on the path` : `\`${called}\` fails` }
  }
}

function reaches(version: string, at_least: string): boolean {
  const [have, want] = [version, at_least].map((text) => text.split('.').map(Number))
  for (const [place, number] of (want ?? []).entries()) {
    const difference = (have?.[place] ?? 0) - number
    if (difference !== 0) return difference > 0
  }
  return true
}

/** The package manager is looked for in its own place, because the path may be what is wrong. */
function installCommand(tools: Tool[]): string {
  const sudo = process.getuid?.() === 0 ? '' : 'sudo '
  const packages = (manager: keyof Tool['packages']) => tools.map((tool) => tool.packages[manager]).join(' ')
  if (process.platform === 'darwin') return `xcode-select --install; brew install ${packages('brew')}`
  if (existsSync('/usr/bin/apt-get')) return `${sudo}apt-get install -y ${packages('apt')}`
  if (existsSync('/usr/bin/dnf')) return `${sudo}dnf install -y ${packages('dnf')}`
  return `your system's package manager (Debian calls them ${packages('apt')})`
}
