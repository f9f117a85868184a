import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readElf } from './libtorch/elf'
import { ElectraError } from './errors'

/** What `npx electra-classifier build` cannot do without. */
const NEEDS = 'a C++20 compiler, cmake, and make or ninja'

/**
 * The command that compiles the addon on this machine.
 *
 * @param package_folder the package, as installed or as a checkout of its repository
 */
export function buildCommand(package_folder: string): string {
  return isCheckout(package_folder) ? 'npm run prepare' : 'npx electra-classifier build'
}

function isCheckout(package_folder: string): boolean {
  return existsSync(join(package_folder, 'scripts', 'prepare.ts'))
}

/** False where a bundler copied this code into a file that lies elsewhere. */
function isPackage(folder: string): boolean {
  const file = join(folder, 'package.json')
  return existsSync(file) && /"name": "electra-classifier"/.test(readFileSync(file, 'utf8'))
}

/** There is no addon for this platform. */
export function addonMissing(package_folder: string): ElectraError {
  const platform = `${process.platform}-${process.arch}`
  if (!isPackage(package_folder)) {
    return new ElectraError(
      'BINDING_NOT_FOUND',
      `The code of electra-classifier was bundled into a file near ${package_folder}, where neither its addon nor its model is; keep the package out of the bundle (esbuild: --external:electra-classifier, webpack: externals, Next.js: serverExternalPackages).`,
    )
  }
  if (isMusl()) return new ElectraError('BINDING_NOT_FOUND', MUSL)
  const prebuilds = join(package_folder, 'prebuilds')
  const others = existsSync(prebuilds) ? readdirSync(prebuilds).sort().join(', ') : ''
  const had = others ? ` (there is one for ${others})` : ''
  return new ElectraError(
    'BINDING_NOT_FOUND',
    `There is no addon for ${platform} in ${package_folder}${had}; compile one with \`${buildCommand(package_folder)}\`, which needs ${NEEDS}.`,
  )
}

/** There is an addon, and this process could not open it. */
export function addonUnopened(package_folder: string, path: string, cause: unknown): ElectraError {
  return new ElectraError('BINDING_NOT_FOUND', unopened(package_folder, path, cause), { cause })
}

function unopened(package_folder: string, path: string, cause: unknown): string {
  const said = cause instanceof Error ? cause.message : String(cause)
  const compile = `\`${buildCommand(package_folder)}\` (it needs ${NEEDS})`
  if (isMusl()) return MUSL

  const version = /version [`'"](\w+_[\d.]+)['"] not found/.exec(said)?.[1]
  if (version !== undefined) {
    const glibc = glibcVersion()
    return `The addon ${path} needs ${version}, which this system${glibc === undefined ? '' : ` (glibc ${glibc})`} does not have; use a newer one (Debian 10, Ubuntu 20.04, RHEL 8 or later), or compile the addon here with ${compile}.`
  }
  const wrong = whatIsWrong(path)
  if (wrong !== undefined) {
    const remedy = isCheckout(package_folder)
      ? `build it anew with ${compile}`
      : 'install the package anew on this machine: npm install electra-classifier'
    return `The addon ${path} ${wrong}; ${remedy}.`
  }
  return `The addon ${path} could not be opened (${said}); compile it here with ${compile}.`
}

/** Read from the file, because the loader calls a library of another processor one that does not exist. */
function whatIsWrong(path: string): string | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const { arch } = readElf(path)
    return arch === process.arch
      ? undefined
      : `is built for another processor (${arch}) than this ${process.arch}`
  } catch {
    return 'is damaged'
  }
}

const MUSL =
  'This system has musl instead of glibc, as Alpine Linux does, and libtorch is built for glibc only; use a system with glibc, such as the image node:22-slim instead of node:22-alpine.'

/** Undefined where this is no Linux with glibc. */
function glibcVersion(): string | undefined {
  // The network part of a report looks up host names, which can take seconds.
  Object.assign(process.report, { excludeNetwork: true })
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return report.header?.glibcVersionRuntime
}

/** Asked only once opening has failed, for a report takes a few milliseconds. */
function isMusl(): boolean {
  return process.platform === 'linux' && glibcVersion() === undefined
}
