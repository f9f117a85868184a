import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { CommandFailed, runCommand } from './run-command'

/**
 * Compiles the addon, and the core for one libtorch, with the cmake-js that is installed beside the sources.
 *
 * @param source has `CMakeLists.txt`, `native/` and cmake-js
 * @param out gets what is built, in `Release/`
 * @param definitions CMake variables, such as `LIBTORCH=/opt/libtorch`
 * @throws CommandFailed with all that the compiler printed
 */
export async function compileAddon(
  source: string,
  out: string,
  definitions: readonly string[],
): Promise<void> {
  const main = join(source, 'node_modules', 'cmake-js', 'bin', 'cmake-js')
  const options = ['--out', out, ...definitions.map((definition) => `--CD${definition}`)]
  const cmakeJs = (command: string, ...more: string[]) =>
    runCommand(process.execPath, [main, command, ...options, ...more], { cwd: source })
  try {
    await cmakeJs('configure')
  } catch (error) {
    // What an earlier configuration left (another place of this folder, another generator) may be in its way.
    if (!(error instanceof CommandFailed)) throw error
    await cmakeJs('reconfigure')
  }
  await cmakeJs('build', '--parallel', String(availableParallelism()))
}
