/*
 * Runs a Dockerfile of docker/ where there is no Docker: step by step in a Debian root with nothing but Node, and then
 * the service that it ends with. Takes root on Linux, and debootstrap.
 *
 *   npx tsx scripts/check-slim-root.ts [Dockerfile] TARBALL LIBTORCH_FILE
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { cacheFolder } from '../lib/libtorch'
import { CommandFailed, runCommand } from '../lib/run-command'
import { nodeBinary, npmTool } from './npm-tool'

/** What the Dockerfiles' base image `node:22-trixie-slim` has, as far as it can be had from Debian and npm. */
const RELEASE = 'trixie'
const NODE = '22.23.3'
const NPM = '10.9.9'

/** Why the check cannot be made here; undefined where it can. */
export function cannotCheck(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it takes root on Linux'
  return existsSync('/usr/sbin/debootstrap') ? undefined : 'there is no debootstrap here'
}

/**
 * The base image as a folder in the user's cache, made once. It has musl's loader beside glibc, which a Node built for
 * Alpine Linux runs on.
 */
export async function slimRoot(): Promise<string> {
  const root = join(cacheFolder(), `slim-root-${RELEASE}-node-${NODE}`)
  if (existsSync(root)) return root
  const [node, npm] = await Promise.all([nodeBinary(NODE), npmTool('npm', NPM)])
  if (node === undefined || npm === undefined) throw new Error(`npm has no Node ${NODE}, or is out of reach`)
  mkdirSync(cacheFolder(), { recursive: true })
  const part = mkdtempSync(`${root}.`)
  try {
    chmodSync(part, 0o755)
    const options = ['--variant=minbase', '--include=musl']
    await runCommand('debootstrap', [...options, RELEASE, part, await debianMirror()])
    const local = join(part, 'usr', 'local')
    cpSync(node, join(local, 'bin', 'node'))
    chmodSync(join(local, 'bin', 'node'), 0o755)
    cpSync(npm, join(local, 'lib', 'node_modules', 'npm'), { recursive: true })
    for (const name of ['npm', 'npx']) {
      symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(local, 'bin', name))
    }
    appendFileSync(join(part, 'etc', 'passwd'), 'node:x:1000:1000::/home/node:/bin/bash\n')
    appendFileSync(join(part, 'etc', 'group'), 'node:x:1000:\n')
    await runCommand('install', ['-d', '-o', '1000', '-g', '1000', join(part, 'home', 'node')])
    renameSync(part, root)
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
  return root
}

/** The one that this machine installs its own packages from. */
async function debianMirror(): Promise<string> {
  const format = '$(ORIGIN) $(CODENAME) $(REPO_URI)'
  const printed = await runCommand('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'])
  const mirror = /^Debian [a-z]+ (\S+)$/m.exec(printed)?.[1]
  if (mirror === undefined) throw new Error("apt's configuration names no Debian mirror")
  return mirror
}

/** A copy of the base image that takes writes, as a container is. */
export class Container {
  private readonly folder = mkdtempSync(join(tmpdir(), 'electra-container-'))
  private readonly upper = join(this.folder, 'upper')
  private readonly processes: ChildProcess[] = []
  env: Record<string, string> = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/root' }
  directory = '/'
  private user = '0:0'

  /**
   * @param root the base image
   * @param context folder that steps find under `/context`
   */
  constructor(
    private readonly root: string,
    readonly context: string,
  ) {
    for (const name of ['upper', 'work', 'merged']) mkdirSync(join(this.folder, name))
    this.copy('/etc/resolv.conf', '/etc/resolv.conf')
  }

  copy(from: string, to: string): void {
    cpSync(from, join(this.upper, to), { recursive: true, dereference: true })
  }

  become(uid: string): void {
    this.user = `${uid}:${uid}`
    this.env.HOME = uid === '0' ? '/root' : '/home/node'
  }

  /** The command in a mount namespace of its own, whose mounts end with it. */
  private wrapped(command: readonly string[]): [string, string[]] {
    const { root, upper, folder, context } = this
    const [work, merged] = [join(folder, 'work'), join(folder, 'merged')]
    const script = `
      set -e
      mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"
      mkdir -p "$4/context" "$4$6"
      mount -t proc proc "$4/proc" && mount --rbind /dev "$4/dev" && mount --bind "$5" "$4/context"
      merged=$4 directory=$6 user=$7
      shift 7
      exec chroot --userspec="$user" "$merged" /usr/bin/env -i -C "$directory" "$@"`
    const env = Object.entries(this.env).map(([name, value]) => `${name}=${value}`)
    const args = [root, upper, work, merged, context, this.directory, this.user, ...env, ...command]
    return ['unshare', ['--mount', 'sh', '-c', script, 'sh', ...args]]
  }

  /** @returns what it printed */
  run(command: readonly string[]): Promise<string> {
    return runCommand(...this.wrapped(command))
  }

  start(command: readonly string[]): ChildProcess {
    const child = spawn(...this.wrapped(command), { stdio: ['ignore', 'pipe', 'inherit'] })
    this.processes.push(child)
    return child
  }

  async remove(): Promise<void> {
    for (const child of this.processes) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    }
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export interface Step {
  instruction: string
  rest: string
}

/** The steps of a Dockerfile, without comments, with continued lines joined. */
export function steps(text: string): Step[] {
  const lines = text.replace(/^\s*#.*\n/gm, '').replace(/\\\n\s*/g, '')
  return lines
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [, instruction = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
      return { instruction, rest }
    })
}

/**
 * Does what the steps say.
 *
 * @param given values of `ARG`s
 * @param each called with each step before it is done
 * @returns what `CMD` says
 */
export async function runSteps(
  container: Container,
  all: readonly Step[],
  given: Record<string, string>,
  each: (step: Step) => void,
): Promise<string[]> {
  // They exist while an image is built, and not in its service.
  const args: Record<string, string> = {}
  let command: string[] = []
  for (const step of all) {
    const { instruction, rest } = step
    each(step)
    const assignments = [...rest.matchAll(/(\w+)=("[^"]*"|\S+)/g)].map(
      ([, name = '', value = '']) => [name, value.replace(/^"|"$/g, '')] as const,
    )
    if (instruction === 'ENV') for (const [name, value] of assignments) container.env[name] = value
    else if (instruction === 'ARG') for (const [name, value] of assignments) args[name] = given[name] ?? value
    else if (instruction === 'WORKDIR') container.directory = rest
    else if (instruction === 'USER') container.become(rest)
    else if (instruction === 'CMD') command = JSON.parse(rest) as string[]
    else if (instruction === 'COPY') {
      const [name = ''] = rest.split(' ')
      container.copy(join(container.context, name), join(container.directory, name))
    } else if (instruction === 'RUN') {
      const shell = rest.replace(/^(?:--\S+\s+)*/, '')
      const env = Object.entries(args).map(([name, value]) => `${name}=${value}`)
      try {
        await container.run(['env', ...env, '/bin/sh', '-c', shell])
      } catch (error) {
        if (!(error instanceof CommandFailed)) throw error
        throw new Error(`${error.output}\nThe step failed: RUN ${rest}`, { cause: error })
      }
    } else if (!['FROM', 'EXPOSE'].includes(instruction)) throw new Error(`${instruction} is not known here`)
  }
  return command
}

/**
 * Builds what a Dockerfile of `docker/` says, and asks its service one thing.
 *
 * @param tarball the package, in place of the one on npm
 * @param libtorch a file for `install-libtorch --from`
 * @param each called with each step before it is done
 * @returns the label that the service gave
 */
export async function checkDockerfile(
  file: string,
  tarball: string,
  libtorch: string,
  each: (step: Step) => void = () => undefined,
): Promise<{ label: string; device: string }> {
  const context = mkdtempSync(join(tmpdir(), 'electra-context-'))
  const container = new Container(await slimRoot(), context)
  try {
    chmodSync(context, 0o755)
    cpSync(join(file, '..'), context, { recursive: true })
    cpSync(tarball, join(context, 'electra-classifier.tgz'))
    cpSync(libtorch, join(context, basename(libtorch)))
    const dependencies = { 'electra-classifier': 'file:/context/electra-classifier.tgz' }
    writeFileSync(join(context, 'package.json'), JSON.stringify({ private: true, dependencies }))
    await lendNetwork(container)
    const given = { LIBTORCH_FROM: `/context/${basename(libtorch)}` }
    const command = await runSteps(container, steps(readFileSync(file, 'utf8')), given, each)
    container.env.PORT = '0'
    return await ask(container.start(command))
  } finally {
    await container.remove()
    rmSync(context, { recursive: true, force: true })
  }
}

/** The registry and the certificates that npm uses on this machine; what fails is not tried for minutes. */
async function lendNetwork(container: Container): Promise<void> {
  Object.assign(container.env, {
    npm_config_registry: (await runCommand('npm', ['config', 'get', 'registry'])).trim(),
    npm_config_fetch_retries: '1',
  })
  const certificates = process.env.NODE_EXTRA_CA_CERTS
  if (certificates === undefined) return
  container.copy(certificates, '/etc/ssl/lent.pem')
  container.env.NODE_EXTRA_CA_CERTS = '/etc/ssl/lent.pem'
}

async function ask(service: ChildProcess): Promise<{ label: string; device: string }> {
  const exited = once(service, 'exit') as Promise<[number | null, string | null]>
  if (!service.stdout) throw new Error('the service has no output')
  for await (const line of createInterface({ input: service.stdout })) {
    const [, device, port] = /^(\S+), listening on port (\d+)$/.exec(line) ?? []
    if (device === undefined || port === undefined) continue
    const response = await fetch(`http://127.0.0.1:${port}/sentiment`, {
      method: 'POST',
      body: JSON.stringify({ text: 'I love this restaurant!' }),
    })
    const { label } = (await response.json()) as { label: string }
    service.kill('SIGTERM')
    const [code, signal] = await exited
    if (code !== 0) throw new Error(`the service ended with ${code ?? signal ?? 'nothing'} on SIGTERM`)
    return { label, device }
  }
  throw new Error('the service ended before it listened')
}

if (require.main === module) {
  void (async () => {
    const [libtorch, tarball, file = join(__dirname, '..', 'docker', 'Dockerfile')] = process.argv
      .slice(2)
      .reverse()
    const reason = cannotCheck()
    try {
      if (reason !== undefined) throw new Error(`This cannot be checked here: ${reason}.`)
      if (tarball === undefined || libtorch === undefined) throw new Error('Give TARBALL and LIBTORCH_FILE.')
      const { label, device } = await checkDockerfile(
        resolve(file),
        tarball,
        libtorch,
        ({ instruction, rest }) => {
          console.error(`${instruction} ${rest}`)
        },
      )
      console.log(`the service runs on ${device} and answers ${label}`)
    } catch (error) {
      console.error(error instanceof Error ? error.message : error)
      process.exitCode = 1
    }
  })()
}
