/* The addon, the core and their native tests, built with clang's sanitizers. */
import { basename, dirname, join, resolve } from 'node:path'
import { availableParallelism } from 'node:os'
import type { Libtorch } from '../lib/libtorch'
import { cmakeJs } from './build-native'
import { fetchLibtorch } from './fetch-libtorch'
import { CommandFailed, runCommand } from './run-command'

const ROOT = resolve(__dirname, '..')

export type Sanitizer = 'address' | 'thread'

export interface SanitizedBuild {
  libtorch: Libtorch
  /** Where addon, cores and programs lie. */
  release: string
  /** What node-gyp-build takes in place of the package's folder. */
  prebuild: string
  /** The sanitizer's own library, which has to come first in a process. */
  runtime: string
  /** The core for that libtorch; only for addresses. */
  core: string
}

/** @throws CommandFailed, or where there is no clang the system's ENOENT */
export async function sanitizedBuild(sanitizer: Sanitizer): Promise<SanitizedBuild> {
  const name = { address: 'asan', thread: 'tsan' }[sanitizer]
  const library = `libclang_rt.${name}-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so`
  const runtime = (await runCommand('clang++', [`-print-file-name=${library}`])).trim()
  if (runtime === library) throw new Error(`clang++ has no ${library}; install its run-time libraries.`)
  const libtorch = await fetchLibtorch()
  const prebuild = join(ROOT, 'build', name)
  const out = join(prebuild, 'build')
  const definitions = ['--CDELECTRA_FAKE_CORE=ON', `--CDELECTRA_SANITIZE=${sanitizer}`]
  // How libtorch's own threads agree cannot be seen, so for races there is the fake core only.
  if (sanitizer === 'address') definitions.push(`--CDLIBTORCH=${libtorch.folder}`)
  await cmakeJs('configure', '--out', out, '--cxx', 'clang++', '--cc', 'clang', ...definitions)
  await cmakeJs('build', '--out', out, '--parallel', String(availableParallelism()))
  const release = join(out, 'Release')
  const core = join(release, `libelectra_core-${libtorch.minor}.so`)
  return { libtorch, release, prebuild, runtime, core }
}

/** What a process with the sanitizer's code in it is started with; the first report ends it with this code. */
export function sanitizedEnvironment(build: SanitizedBuild): NodeJS.ProcessEnv {
  const suppressions = join(ROOT, 'native', 'test')
  return {
    ...process.env,
    LD_LIBRARY_PATH: [dirname(build.runtime), build.libtorch.lib].join(':'),
    ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0',
    LSAN_OPTIONS: `suppressions=${join(suppressions, 'leaks.supp')}:print_suppressions=0`,
    UBSAN_OPTIONS: 'print_stacktrace=1',
    TSAN_OPTIONS: `suppressions=${join(suppressions, 'races.supp')}:halt_on_error=1:second_deadlock_stack=1`,
  }
}

/** Ends the process, where `work` fails, with what it printed. */
export function runScript(name: string, work: () => Promise<void>): void {
  work().catch((error: unknown) => {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    const said = error instanceof CommandFailed ? `${error.output}\n${error.message}` : String(error)
    console.error(
      absent
        ? `${basename(name)}: there is no clang++; install clang and llvm (Debian calls them so).`
        : said,
    )
    process.exitCode = 1
  })
}
