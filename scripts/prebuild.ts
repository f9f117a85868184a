/* Fills prebuilds/<platform>-<arch>/: one Node-API addon, a core for each libtorch minor, CUDA libraries. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { compileAddon } from '../lib/compile-addon'
import { CommandFailed, runCommand } from '../lib/run-command'
import { REGISTRATION, addonName, checkPrebuild } from './check-prebuild'
import { fetchLibtorch } from './fetch-libtorch'

const ROOT = resolve(__dirname, '..')
const PREBUILDS = join(ROOT, 'prebuilds')

const USAGE = `Usage:
  tsx scripts/prebuild.ts native
      compiles the addon and the core for the libtorch at hand (LIBTORCH names it) and, where that has CUDA,
      the CUDA library; once for each minor and each CUDA major
  tsx scripts/prebuild.ts addon [--target linux-x64|linux-arm64|darwin-arm64|win32-x64]
      compiles the addon alone with zig (\`python3 -m pip install ziglang\`; ELECTRA_ZIG names another command)
  tsx scripts/prebuild.ts test
      runs the tests of models and of the native contract on what is in prebuilds/, with that libtorch

The first two put what they built, stripped, into prebuilds/<platform>-<arch>/, check it, and print its size.`

/** What zig calls a platform; glibc 2.28 and macOS 14 are what the wheels of libtorch ask for. */
const ZIG_TARGETS: ReadonlyMap<string, string> = new Map([
  ['linux-x64', 'x86_64-linux-gnu.2.28'],
  ['linux-arm64', 'aarch64-linux-gnu.2.28'],
  ['darwin-arm64', 'aarch64-macos.14.0'],
  ['win32-x64', 'x86_64-windows-gnu'],
])

/** What a prebuild consists of beside the addon: `libelectra_core-2.13.so`, `libelectra_cuda-2.13-cu13.so`. */
const TORCH_HALVES = /^(?:lib)?electra_(?:core-\d+\.\d+|cuda-\d+\.\d+-cu\d+)\.(?:so|dylib|dll)$/

/**
 * Copies what CMake built to where node-gyp-build looks for it in the package, and strips it there.
 *
 * @param release the folder with what was built
 * @param prebuilds the package's `prebuilds`
 * @returns the files, absolute
 */
export async function collect(release: string, prebuilds: string): Promise<string[]> {
  const target = `${process.platform}-${process.arch}`
  const folder = join(prebuilds, target)
  mkdirSync(folder, { recursive: true })
  const collected: string[] = []
  for (const name of readdirSync(release)) {
    const to =
      name === 'electra_classifier.node' ? addonName(target) : TORCH_HALVES.test(name) ? name : undefined
    if (to === undefined) continue
    const path = join(folder, to)
    copyFileSync(join(release, name), path)
    if (process.platform === 'linux') await runCommand('strip', ['--strip-unneeded', path])
    // Without its local symbols; the signature that arm64 demands is made anew by strip itself.
    if (process.platform === 'darwin') await runCommand('strip', ['-x', path])
    collected.push(path)
  }
  return collected
}

async function native(): Promise<string[]> {
  const libtorch = await fetchLibtorch()
  const folder = join(ROOT, 'build', `prebuild-${libtorch.minor}-${libtorch.variant}`)
  // What an earlier run left of another CUDA major must not be taken for this one's.
  rmSync(join(folder, 'Release'), { recursive: true, force: true })
  await compileAddon(ROOT, folder, [`LIBTORCH=${libtorch.folder}`])
  return collect(join(folder, 'Release'), PREBUILDS)
}

/** One command: the addon half is a few files that need no torch, and zig brings the C++ library along. */
async function addon(target: string): Promise<string[]> {
  const zig_target = ZIG_TARGETS.get(target)
  if (zig_target === undefined)
    throw new Error(`--target must be one of ${[...ZIG_TARGETS.keys()].join(', ')}`)
  const folder = join(PREBUILDS, target)
  mkdirSync(folder, { recursive: true })
  const scratch = mkdtempSync(join(tmpdir(), 'electra-prebuild-'))
  try {
    const headers = join(ROOT, 'node_modules', 'node-api-headers')
    const sources = readdirSync(join(ROOT, 'native', 'addon'))
      .filter((name) => name.endsWith('.cpp'))
      .map((name) => join('native', 'addon', name))
    const built = join(scratch, addonName(target))
    await zig([
      ...['c++', '-target', zig_target, '-shared', '-o', built, '-std=c++20', '-O2', '-DNDEBUG', '-s'],
      ...[
        '-fPIC',
        '-fvisibility=hidden',
        '-fvisibility-inlines-hidden',
        '-Wall',
        '-Wextra',
        '-Wpedantic',
        '-Werror',
      ],
      ...[
        '-DNAPI_VERSION=8',
        '-DNODE_ADDON_API_CPP_EXCEPTIONS_ALL',
        '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      ...[
        '-Inative',
        '-isystem',
        join(ROOT, 'node_modules', 'node-addon-api'),
        '-isystem',
        join(headers, 'include'),
      ],
      ...(await linkerOptions(target, headers, scratch)),
      ...[...sources, join('native', 'platform.cpp'), join('native', 'platform_cpu.cpp')],
    ])
    const path = join(folder, addonName(target))
    copyFileSync(built, path)
    return [path]
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

async function linkerOptions(target: string, headers: string, scratch: string): Promise<string[]> {
  if (target.startsWith('darwin-')) return ['-Wl,-undefined,dynamic_lookup']
  if (target.startsWith('linux-')) {
    const map = join(scratch, 'exports.map')
    writeFileSync(map, `{ global: ${REGISTRATION.join('; ')}; local: *; };\n`)
    return ['-Wl,-z,nodelete', `-Wl,--version-script=${map}`, await unwinder(target, scratch)]
  }
  // Windows links by import library; node.exe has none in the headers, but a list of its symbols.
  const library = join(scratch, 'node.lib')
  await zig(['dlltool', '-m', 'i386:x86-64', '-d', join(headers, 'def', 'node_api.def'), '-l', library])
  return [library]
}

/**
 * The system's libgcc_s as the linker needs it: its name, and functions with nothing in them. Zig would put an unwinder
 * of its own into the addon, which crashes on an exception that comes from a library with the system's.
 */
async function unwinder(target: string, scratch: string): Promise<string> {
  const [code, library] = [join(scratch, 'unwind.c'), join(scratch, 'libgcc_s.so.1')]
  const names = [
    'RaiseException',
    'Resume',
    'Resume_or_Rethrow',
    'DeleteException',
    'ForcedUnwind',
    'Backtrace',
  ]
  const of_context = [
    'IP',
    'IPInfo',
    'GR',
    'CFA',
    'LanguageSpecificData',
    'RegionStart',
    'TextRelBase',
    'DataRelBase',
  ]
  names.push(...of_context.map((name) => `Get${name}`), 'SetIP', 'SetGR', 'FindEnclosingFunction')
  writeFileSync(code, names.map((name) => `void _Unwind_${name}(void) {}\n`).join(''))
  const zig_target = ZIG_TARGETS.get(target) ?? ''
  await zig(['cc', '-target', zig_target, '-shared', '-Wl,-soname,libgcc_s.so.1', '-o', library, code])
  return library
}

async function zig(args: string[]): Promise<void> {
  const [command = '', ...first] = (process.env.ELECTRA_ZIG ?? 'python3 -m ziglang').split(' ')
  await runCommand(command, [...first, ...args], { cwd: ROOT })
}

/** node-gyp-build passes over build/Release where this variable is set. */
async function test(): Promise<void> {
  const mocha = join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js')
  const tests = ['test/binding/**/*.test.ts', 'test/model/**/*.test.ts', 'test/package/prebuild.test.ts']
  console.log(
    await runCommand(process.execPath, [mocha, ...tests], {
      cwd: ROOT,
      env: { ...process.env, PREBUILDS_ONLY: '1' },
    }),
  )
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { target: { type: 'string', default: `${process.platform}-${process.arch}` } },
  })
  const [what] = positionals
  if (positionals.length !== 1 || (what !== 'native' && what !== 'addon' && what !== 'test')) {
    throw new Error(USAGE)
  }
  if (what === 'test') return test()
  const files = what === 'native' ? await native() : await addon(values.target)
  if (!files.length) throw new Error('CMake built nothing that belongs into a prebuild')
  const problems = await checkPrebuild(files)
  for (const path of files)
    console.log(`${path.slice(ROOT.length + 1)}  ${(statSync(path).size / 1e6).toFixed(2)} MB`)
  if (problems.length) throw new Error(problems.join('\n'))
}

if (require.main === module) {
  main().catch((error: unknown) => {
    if (error instanceof CommandFailed) console.error(error.output)
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
}
