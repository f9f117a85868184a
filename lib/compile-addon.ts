import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { CommandFailed, runCommand } from './run-command'

/**
 * Compiles the addon, and the core for one libtorch, with the cmake-js that is installed in a folder.
 *
 * @param folder has `CMakeLists.txt`, `native/` and cmake-js; the result is in its `build/Release/`
 * @param libtorch folder of a libtorch with its C++ headers
 * @param definitions further CMake variables, such as `ELECTRA_FAKE_CORE=ON`
 * @throws CommandFailed with all that the compiler printed
 */
export async function compileAddon(
  folder: string,
  libtorch: string,
  definitions: readonly string[],
): Promise<void> {
  const main = join(folder, 'node_modules', 'cmake-js', 'bin', 'cmake-js')
  const cmakeJs = (...args: string[]) => runCommand(process.execPath, [main, ...args], { cwd: folder })
  const given = [`LIBTORCH=${libtorch}`, ...definitions].map((definition) => `--CD${definition}`)
  try {
    await cmakeJs('configure', ...given)
  } catch (error) {
    // What an earlier configuration left (another place of this folder, another generator) may be in its way.
    if (!(error instanceof CommandFailed)) throw error
    await cmakeJs('reconfigure', ...given)
  }
  await cmakeJs('build', '--parallel', String(availableParallelism()))
}
