/* The addon, the core and their native tests, built with clang's sanitizers. */
import { dirname, join, resolve } from 'node:path'
import { compileAddon } from '../lib/compile-addon'
import type { Libtorch } from '../lib/libtorch'
import { fetchLibtorch } from './fetch-libtorch'
import { CommandFailed, runCommand } from '../lib/run-command'

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

/** libFuzzer is clang's; clang 14's shared library for threads crashes where it starts, and GCC's does not. */
const TOOLS = {
  address: { folder: 'asan', compiler: 'clang++', runtime: `libclang_rt.asan-${machine()}.so` },
  thread: { folder: 'tsan', compiler: 'g++', runtime: 'libtsan.so' },
} as const

function machine(): string {
  return process.arch === 'arm64' ? 'aarch64' : 'x86_64'
}

/** @throws CommandFailed, or an error that says what is missing */
export async function sanitizedBuild(sanitizer: Sanitizer): Promise<SanitizedBuild> {
  const { folder, compiler, runtime: library } = TOOLS[sanitizer]
  const runtime = await runCommand(compiler, [`-print-file-name=${library}`]).then(
    (output) => output.trim(),
    () => library,
  )
  if (runtime === library) {
    throw new Error(
      `There is no ${compiler} with its ${library}; install clang, llvm and g++ (Debian's names).`,
    )
  }
  const libtorch = await fetchLibtorch()
  const prebuild = join(ROOT, 'build', folder)
  const out = join(prebuild, 'build')
  const definitions = [
    `CMAKE_CXX_COMPILER=${compiler}`,
    'ELECTRA_FAKE_CORE=ON',
    `ELECTRA_SANITIZE=${sanitizer}`,
  ]
  // How libtorch's own threads agree cannot be seen, so for races there is the fake core only.
  if (sanitizer === 'address') definitions.push(`LIBTORCH=${libtorch.folder}`)
  await compileAddon(ROOT, out, definitions)
  const release = join(out, 'Release')
  const core = join(release, `libelectra_core-${libtorch.minor}.so`)
  return { libtorch, release, prebuild, runtime, core }
}

/** What a process with the sanitizer's code in it is started with; the first report ends it with this code. */
export function sanitizedEnvironment(build: SanitizedBuild): NodeJS.ProcessEnv {
  const leaks = join(ROOT, 'native', 'test', 'leaks.supp')
  return {
    ...process.env,
    LD_LIBRARY_PATH: [dirname(build.runtime), build.libtorch.lib].join(':'),
    ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0',
    LSAN_OPTIONS: `suppressions=${leaks}:print_suppressions=0`,
    UBSAN_OPTIONS: 'print_stacktrace=1',
    // What Node and V8 do among themselves cannot be seen, and would look like races.
    TSAN_OPTIONS: 'ignore_noninstrumented_modules=1:halt_on_error=1:second_deadlock_stack=1',
  }
}

/** Ends the process with 1 where `work` fails, and says why. */
export function runScript(work: () => Promise<void>): void {
  work().catch((error: unknown) => {
    if (error instanceof CommandFailed) console.error(error.output)
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
}
