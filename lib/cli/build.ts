import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { missingTools } from '../build-tools'
import { compileAddon } from '../compile-addon'
import { findLibtorch, type Libtorch } from '../libtorch'
import { CommandFailed, lastLine, runCommand } from '../run-command'
import { install } from './install-libtorch'

const PACKAGE_FOLDER = resolve(__dirname, '..', '..')

/** What npm brings for the compilation, at the versions that the package itself is built with. */
const TOOLS = ['cmake-js', 'node-addon-api', 'node-api-headers']

/** Something that compiling needs is not there, or the compilation failed; the message is for the user. */
class BuildError extends Error {}

/**
 * Compiles the addon, and the core for the libtorch at hand, from the sources in the package, into its
 * `build/Release/`, which is looked into before `prebuilds/`.
 *
 * @param signal stops it; what was there before stays
 * @throws BuildError that names what is missing
 */
export async function build(signal: AbortSignal): Promise<void> {
  const missing = await missingTools({ python: false })
  if (missing.length) throw new BuildError(missing.join('\n'))
  const libtorch = await libtorchWithHeaders(signal)
  const folder = mkdtempSync(join(tmpdir(), 'electra-build-'))
  try {
    say(`getting ${TOOLS.join(', ')} from npm`)
    await layOut(folder)
    signal.throwIfAborted()
    say(`compiling for libtorch ${libtorch.version} in ${libtorch.folder}, which takes a few minutes`)
    await compile(folder, libtorch)
    signal.throwIfAborted()
    process.stdout.write(`compiled ${putInPlace(join(folder, 'build', 'Release')).join('\n     and ')}\n`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The one that is found, else one is brought: whoever builds has asked for what that takes. */
async function libtorchWithHeaders(signal: AbortSignal): Promise<Libtorch> {
  const { found, tried } = await findLibtorch(undefined, { for_building: true })
  // Whoever names a folder means that one, and not what is found after it.
  const named = tried.find(({ source, path }) => source === 'LIBTORCH' && path !== undefined)
  if (named) throw new BuildError(`The libtorch to build for cannot be used: ${named.reason}.`)
  if (found) return found
  say('no libtorch with C++ headers is here yet')
  await install({ headers: true }, signal)
  const brought = await findLibtorch(undefined, { for_building: true })
  if (!brought.found) throw new BuildError('The libtorch that was installed cannot be used to build for.')
  return brought.found
}

/** Standard error, because the result is what standard output is for. */
function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function layOut(folder: string): Promise<void> {
  const { devDependencies } = JSON.parse(readFileSync(join(PACKAGE_FOLDER, 'package.json'), 'utf8')) as {
    devDependencies: Record<string, string>
  }
  const dependencies = Object.fromEntries(TOOLS.map((name) => [name, devDependencies[name] ?? '*']))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies }))
  for (const name of ['CMakeLists.txt', 'native']) {
    cpSync(join(PACKAGE_FOLDER, name), join(folder, name), { recursive: true })
  }
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error']
  try {
    await runCommand(npm, args, { cwd: folder })
  } catch (error) {
    const reason = error instanceof CommandFailed ? lastLine(error.output) : String(error)
    throw new BuildError(`npm could not get ${TOOLS.join(', ')}, which the build needs: ${reason}`)
  }
}

async function compile(folder: string, libtorch: Libtorch): Promise<void> {
  try {
    await compileAddon(folder, join(folder, 'build'), [`LIBTORCH=${libtorch.folder}`, 'ELECTRA_WERROR=OFF'])
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error
    throw new BuildError(`${error.output.trimEnd()}\n${error.message}; what the compiler said is above.`)
  }
}

/** Puts each file in place with one rename: another process may be opening the one that is there. */
function putInPlace(release: string): string[] {
  const target = join(PACKAGE_FOLDER, 'build', 'Release')
  const names = readdirSync(release).filter((name) => /electra_(?:classifier|core)/.test(name))
  try {
    mkdirSync(target, { recursive: true })
    for (const name of names) {
      const part = join(target, `${name}.${process.pid}.part`)
      cpSync(join(release, name), part)
      renameSync(part, join(target, name))
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new BuildError(
      `The compiled addon could not be put into the package (${reason}); build where ${PACKAGE_FOLDER} can be written.`,
    )
  }
  return names.map((name) => join(target, name))
}
