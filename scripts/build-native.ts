/* Compiles the addon and the core for the libtorch at hand; does nothing where nothing native has changed. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { compileAddon } from '../lib/compile-addon'
import type { Libtorch } from '../lib/libtorch'
import { fetchLibtorch } from './fetch-libtorch'
import { CommandFailed, runCommand } from '../lib/run-command'

const ROOT = resolve(__dirname, '..')
const RELEASE = join(ROOT, 'build', 'Release')
const STAMP = join(ROOT, 'build', 'native.stamp')

/**
 * @param starts called before anything is compiled
 * @returns whether anything was
 */
export async function buildNative(libtorch: Libtorch, starts?: () => void): Promise<boolean> {
  const stamp = await fingerprint(libtorch)
  const built = ['electra_classifier.node', coreName(libtorch.minor)]
  if (built.every((name) => existsSync(join(RELEASE, name))) && read(STAMP) === stamp) return false

  starts?.()
  rmSync(STAMP, { force: true })
  const definitions = [`LIBTORCH=${libtorch.folder}`, 'ELECTRA_FAKE_CORE=ON']
  await compileAddon(ROOT, join(ROOT, 'build'), definitions)
  writeFileSync(STAMP, stamp)
  return true
}

/** As CMake names a MODULE library. */
function coreName(minor: string): string {
  return process.platform === 'win32' ? `electra_core-${minor}.dll` : `libelectra_core-${minor}.so`
}

/** Everything that a compiled file depends on. */
async function fingerprint(libtorch: Libtorch): Promise<string> {
  const hash = createHash('sha256')
  const sources = readdirSync(join(ROOT, 'native'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(h|cpp|cmake)$/.test(name))
    .map((name) => join('native', name))
    .sort()
  for (const name of ['CMakeLists.txt', ...sources]) {
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(ROOT, name)))
      .update('\0')
  }
  const packages = ['cmake-js', 'node-addon-api', 'node-api-headers'].map((name) =>
    readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8'),
  )
  const compiler = await runCommand(process.env.CXX ?? 'c++', ['--version']).catch(() => '')
  hash.update([libtorch.folder, libtorch.version, process.arch, compiler, ...packages].join('\0'))
  return hash.digest('hex')
}

function read(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

if (require.main === module) {
  void (async () => {
    try {
      const compiled = await buildNative(await fetchLibtorch())
      console.error(compiled ? 'The addon is built.' : 'The addon is up to date.')
    } catch (error) {
      console.error(
        error instanceof CommandFailed ? error.output : error instanceof Error ? error.message : error,
      )
      process.exitCode = 1
    }
  })()
}
