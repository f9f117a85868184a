/* clang-format over everything in native/: fails where a file would change, or with `--write` changes it. */
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CommandFailed, runCommand } from '../lib/run-command'

const ROOT = resolve(__dirname, '..')
// Its own launcher knows which platforms it has a binary for, and says so for the others.
const CLANG_FORMAT = join(ROOT, 'node_modules', 'clang-format', 'index.js')

async function main(): Promise<void> {
  const files = readdirSync(join(ROOT, 'native'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(h|cpp)$/.test(name))
    .map((name) => join('native', name))
  const mode = process.argv.includes('--write') ? ['-i'] : ['--dry-run', '--Werror']
  await runCommand(process.execPath, [CLANG_FORMAT, ...mode, ...files], { cwd: ROOT })
}

main().catch((error: unknown) => {
  console.error(error instanceof CommandFailed ? error.output.split('\nError: clang-format')[0] : error)
  console.error('The C++ files are not as clang-format wants them; `npm run format` changes them.')
  process.exitCode = 1
})
