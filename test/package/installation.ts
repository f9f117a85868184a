/* The package as others get it: packed once for a run of the tests, and the package managers and runtimes it meets. */
import { execFileSync, spawnSync, type SpawnSyncReturns } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { addonPath } from '../../lib/binding'
import { findLibtorch } from '../../lib/libtorch'

export const ROOT = resolve(__dirname, '..', '..')
export const PLATFORM = `${process.platform}-${process.arch}`

export interface Packed {
  /** Absolute path of the .tgz. */
  tarball: string
  /** Its bytes. */
  size: number
  /** The bytes of what it holds. */
  unpacked_size: number
  /** Paths in the package, in order. */
  files: string[]
}

let packed: Packed | undefined

/**
 * Packs the package with its prebuilt binaries: those of `prebuilds/` where it was built, else what the last
 * compilation left, laid out in the same way.
 */
export function pack(): Packed {
  if (packed) return packed
  const folder = mkdtempSync(join(tmpdir(), 'electra-packed-'))
  process.once('exit', () => {
    rmSync(folder, { recursive: true, force: true })
  })
  const prebuilt = existsSync(join(ROOT, 'prebuilds', PLATFORM))
  const source = prebuilt ? ROOT : stage(join(folder, 'package'))
  const { filename, size, unpackedSize, files } = npmPack(source, ['--pack-destination', folder])
  packed = {
    tarball: join(folder, filename),
    size,
    unpacked_size: unpackedSize,
    files: files.map(({ path }) => path),
  }
  return packed
}

interface PackReport {
  filename: string
  size: number
  unpackedSize: number
  files: { path: string }[]
}

function npmPack(folder: string, args: string[]): PackReport {
  const printed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', ...args], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  // An array before npm 11, an object by package name since.
  const [report] = Object.values(JSON.parse(printed) as Record<string, PackReport>)
  if (!report) throw new Error('npm pack reported nothing')
  return report
}

function stage(folder: string): string {
  for (const { path } of npmPack(ROOT, ['--dry-run']).files) cpSync(join(ROOT, path), join(folder, path))
  layOutPrebuilds(folder)
  return folder
}

/** Copies what the last compilation left into the package's folder as `prebuilds/` has it. */
function layOutPrebuilds(folder: string): void {
  const built = dirname(addonPath() ?? '')
  const prebuilds = join(folder, 'prebuilds', PLATFORM)
  mkdirSync(prebuilds, { recursive: true })
  for (const file of readdirSync(built).filter((name) => /electra_(?:classifier|core-\d)/.test(name))) {
    cpSync(join(built, file), join(prebuilds, file))
  }
}

/** An empty folder with a package.json, whose name has a space and letters beyond ASCII, as somebody's has. */
export function emptyProject(manifest: object = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'a consumér '))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, ...manifest }))
  return folder
}

/** Where the package lies once npm, pnpm or yarn has put it into a project's `node_modules`. */
export function installedIn(project: string): string {
  return join(project, 'node_modules', 'electra-classifier')
}

/** A project with the tarball in it, installed by npm, and the scripts of `consumers/`. */
export function npmProject(others: readonly string[] = []): string {
  const project = emptyProject()
  const args = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', ...others]
  execFileSync('npm', [...args, pack().tarball], { cwd: project, stdio: ['ignore', 'ignore', 'inherit'] })
  cpSync(join(__dirname, 'consumers'), project, { recursive: true })
  return project
}

/**
 * What an ordinary machine has on its path, and no compiler, cmake or make: the environment of whoever installs.
 *
 * @param folder where the folder for the path is made
 */
export function withoutCompiler(folder: string): NodeJS.ProcessEnv {
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  // npm and npx are scripts that stand beside node, wherever that is.
  const found = ['npm', 'npx', 'sh', 'env', 'ls', 'sed', 'uname', 'dirname', 'basename', 'readlink']
  for (const name of found) {
    const path = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim()
    if (path.startsWith('/')) symlinkSync(path, join(bin, name))
  }
  symlinkSync(process.execPath, join(bin, 'node'))
  return { ...process.env, PATH: bin }
}

/** The environment in which a project finds the libtorch of this machine, whatever its home is. */
export async function withLibtorch(env: NodeJS.ProcessEnv = process.env): Promise<NodeJS.ProcessEnv> {
  const { found } = await findLibtorch()
  if (!found) throw new Error('there is no libtorch on this machine')
  return { ...env, LIBTORCH: found.folder }
}

export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): SpawnSyncReturns<string> {
  return spawnSync(command, args, { encoding: 'utf8', ...options })
}

/**
 * A project with the tarball unpacked in it, which takes no network: what the package depends on is found through
 * `NODE_PATH`.
 */
export function unpackedProject(): { project: string; env: NodeJS.ProcessEnv } {
  const project = emptyProject()
  mkdirSync(installedIn(project), { recursive: true })
  execFileSync('tar', ['-xzf', pack().tarball, '--strip-components=1', '-C', installedIn(project)])
  cpSync(join(__dirname, 'consumers'), project, { recursive: true })
  return { project, env: { ...process.env, NODE_PATH: join(ROOT, 'node_modules') } }
}

/** Says why a test is left out, and leaves it out. */
export function skip(test: Mocha.Context, reason: string): never {
  console.log(`      skipped: ${reason}`)
  return test.skip()
}
