/* Whether what is in prebuilds/ runs where it is to run: the oldest glibc and C++ library, no paths, no symbols more. */
import { closeSync, openSync, readSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { SUPPORTED_MINORS } from '../lib/libtorch'
import { runCommand } from '../lib/run-command'

/** What manylinux_2_28 offers, and thus every system that libtorch itself runs on. */
const AT_MOST: ReadonlyMap<string, readonly number[]> = new Map([
  ['GLIBC', [2, 28]],
  ['GLIBCXX', [3, 4, 25]],
  ['CXXABI', [1, 3, 11]],
  ['GCC', [8, 0, 0]],
])

/** What Node looks for in an addon. */
export const REGISTRATION: readonly string[] = [
  'napi_register_module_v1',
  'node_api_module_get_api_version_v1',
]
/** What each kind of library may export. */
const EXPORTS: readonly [RegExp, readonly string[]][] = [
  [/\.node$/, REGISTRATION],
  [/electra_core-/, ['electra_core_get']],
  [/electra_cuda-/, ['electra_cuda_get']],
]

/** What a Linux library asks of the system, as the dynamic loader sees it. */
interface Demands {
  machine: string
  needed: string[]
  search: string[]
  /** Of each kind the newest version asked for, such as `GLIBC_2.28`. */
  newest: string[]
  exports: string[]
  has_debug: boolean
}

/**
 * @param files absolute paths below `<platform>-<arch>/`
 * @returns one sentence for each thing that is wrong
 */
export async function checkPrebuild(files: readonly string[]): Promise<string[]> {
  const problems: string[] = []
  for (const path of files) {
    const target = basename(dirname(path))
    const wrong = target.startsWith('linux-') ? await checkElf(path, target) : checkOther(path, target)
    problems.push(...wrong.map((sentence) => `${target}/${basename(path)} ${sentence}`))
  }
  return problems
}

const MACHINES = new Map([
  ['linux-x64', 'Advanced Micro Devices X86-64'],
  ['linux-arm64', 'AArch64'],
])

async function checkElf(path: string, target: string): Promise<string[]> {
  const { machine, needed, search, newest, exports, has_debug } = await demands(path)
  const problems: string[] = []
  if (machine !== MACHINES.get(target)) problems.push(`is built for ${machine}`)
  for (const folder of search) {
    if (!folder.startsWith('$ORIGIN')) problems.push(`has the search path ${folder}`)
  }
  for (const name of needed) if (name.includes('/')) problems.push(`needs ${name} by its path`)
  for (const version of newest) {
    const [kind = '', number = ''] = version.split(/_(?=\d)/)
    const limit = AT_MOST.get(kind)
    if (limit && compare(number.split('.').map(Number), limit) > 0) {
      problems.push(`needs ${version}, newer than ${kind}_${limit.join('.')}`)
    }
  }
  const allowed = EXPORTS.find(([name]) => name.test(basename(path)))?.[1] ?? []
  const others = exports.filter((name) => !allowed.includes(name))
  if (others.length) problems.push(`exports ${others.length} symbols too many, such as ${others[0] ?? ''}`)
  if (!exports.length) problems.push('exports nothing')
  if (has_debug) problems.push('is not stripped')
  return problems
}

async function demands(path: string): Promise<Demands> {
  const text = await runCommand('readelf', ['--wide', '-h', '-d', '-S', '-V', '--dyn-syms', path], {
    env: { ...process.env, LC_ALL: 'C' },
  })
  const all = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, found = '']) => found)
  const versions = new Map<string, string>()
  for (const version of all(/Name: ([A-Z]+_\d[\d.]*) +Flags/g)) {
    const kind = version.replace(/_[\d.]*$/, '')
    const numbers = (name = '') =>
      name
        .replace(/^[A-Z]+_/, '')
        .split('.')
        .map(Number)
    if (compare(numbers(version), numbers(versions.get(kind) ?? `${kind}_0`)) > 0) versions.set(kind, version)
  }
  return {
    machine: all(/Machine: +(.+)/g)[0] ?? '',
    needed: all(/\(NEEDED\).*\[(.+)\]/g),
    search: all(/\((?:RPATH|RUNPATH)\).*\[(.+)\]/g).flatMap((paths) => paths.split(':')),
    newest: [...versions.values()].sort(),
    // Of a defined symbol the section is a number; @@ stands before its version.
    exports: all(/ (?:GLOBAL|WEAK|UNIQUE) +DEFAULT +\d+ ([^\s@]+)/g),
    has_debug: /\.(?:symtab|debug_info)\b/.test(text),
  }
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let place = 0; place < Math.max(a.length, b.length); ++place) {
    const difference = (a[place] ?? 0) - (b[place] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** The first bytes of a 64-bit macOS library for arm64, and of a Windows one; the rest is their linkers' matter. */
function checkOther(path: string, target: string): string[] {
  const file = openSync(path, 'r')
  const bytes = Buffer.alloc(4096)
  try {
    readSync(file, bytes, 0, bytes.length, 0)
  } finally {
    closeSync(file)
  }
  if (target === 'darwin-arm64') {
    const arm64 = bytes.readUInt32LE(0) === 0xfeedfacf && bytes.readUInt32LE(4) === 0x0100000c
    return arm64 ? [] : ['is no macOS library for arm64']
  }
  const header = bytes.readUInt16LE(0) === 0x5a4d ? bytes.readUInt32LE(60) : bytes.length
  const x64 =
    header + 6 <= bytes.length &&
    bytes.readUInt32LE(header) === 0x4550 &&
    bytes.readUInt16LE(header + 4) === 0x8664
  return x64 ? [] : ['is no Windows library for x64']
}

/** node-gyp-build takes a file with `glibc` in its name for no musl system. */
export function addonName(target: string): string {
  return target.startsWith('linux-') ? 'electra-classifier.glibc.node' : 'electra-classifier.node'
}

const CORE: ReadonlyMap<string, [string, string]> = new Map([
  ['linux-x64', ['libelectra_core-', '.so']],
  ['linux-arm64', ['libelectra_core-', '.so']],
  ['darwin-arm64', ['libelectra_core-', '.so']],
  ['win32-x64', ['electra_core-', '.dll']],
])

/** The CUDA majors that PyTorch builds each minor for. */
const CUDA_MAJORS: ReadonlyMap<string, readonly number[]> = new Map([
  ['2.11', [12, 13]],
  ['2.12', [12, 13]],
  ['2.13', [12, 13]],
  ['2.14', [12, 13]],
  ['2.15', [13]],
])

/** @returns what a release holds, as paths below `prebuilds/` */
export function completePrebuilds(): string[] {
  const names: string[] = []
  for (const [target, [before, after]] of CORE) {
    names.push(`${target}/${addonName(target)}`)
    for (const minor of SUPPORTED_MINORS) names.push(`${target}/${before}${minor}${after}`)
  }
  for (const minor of SUPPORTED_MINORS) {
    for (const major of CUDA_MAJORS.get(minor) ?? [])
      names.push(`linux-x64/libelectra_cuda-${minor}-cu${major}.so`)
  }
  return names
}

/** Some lines for a file: what it asks of the system. */
async function describe(path: string): Promise<string> {
  const name = `${basename(dirname(path))}/${basename(path)}  ${(statSync(path).size / 1e6).toFixed(2)} MB`
  if (!path.includes('linux-')) return name
  const { needed, newest, exports } = await demands(path)
  return [name, newest.join(' '), `needs ${needed.join(' ')}`, `exports ${exports.join(' ')}`].join('\n    ')
}

const USAGE = `Usage: tsx scripts/check-prebuild.ts [--complete] [FOLDER]
  Prints what the libraries in FOLDER (prebuilds/) ask of a system, and fails where that is too much. With --complete
  also where one is missing that a release must have.`

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { complete: { type: 'boolean', default: false } },
  })
  if (positionals.length > 1) throw new Error(USAGE)
  const folder = resolve(positionals[0] ?? join(__dirname, '..', 'prebuilds'))
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => /\.(node|so|dylib|dll)$/.test(path))
    .sort()
  if (!files.length) throw new Error(`${folder} holds no prebuilds`)
  for (const path of files) console.log(await describe(path))
  const total = files.reduce((sum, path) => sum + statSync(path).size, 0)
  console.log(`${files.length} files, ${(total / 1e6).toFixed(2)} MB`)
  const problems = await checkPrebuild(files)
  if (values.complete) {
    const missing = completePrebuilds().filter((name) => !files.includes(join(folder, name)))
    problems.push(...missing.map((name) => `${name} is missing`))
  }
  if (problems.length) throw new Error(problems.join('\n'))
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
}
