import { ElectraError } from '../errors'
import { versionIn } from './inspect'
import { compareVersions, requirementsOf, type Requirement } from './requirement'
import {
  checkPublished,
  minorOf,
  PINNED_VERSION,
  SUPPORTED_MINORS,
  variantOf,
  type Variant,
} from './variants'
import { fitsPlatform, usedFiles, type Wheel, type WheelContents } from './wheel'
import type { WheelSource } from './wheels'
import type { ZipEntry } from './zip'

/** A wheel to bring, and what of it is unpacked. */
export interface Part {
  wheel: Wheel
  contents: WheelContents
  files: ZipEntry[]
  /** Bytes of the whole wheel. */
  size: number
}

/** What an installation will bring. */
export interface Plan {
  /** Such as `2.13.0`. */
  version: string
  variant: Variant
  /** torch first, then the NVIDIA libraries that it needs. */
  parts: Part[]
}

/** Gets a wheel's lists, and its size, from wherever it is. */
export type Look = (wheel: Wheel) => Promise<{ contents: WheelContents; size: number }>

export interface Wanted {
  /** The CPU's where nothing is said and no wheel is named by itself. */
  variant: Variant | undefined
  headers: boolean
}

/**
 * Decides which wheels to bring, and reads what is in them before any of them is downloaded.
 *
 * @throws RangeError for a build that nobody publishes
 * @throws ElectraError `LIBTORCH_MISMATCH` where the source has another one, `DOWNLOAD_FAILED` where it lacks a wheel
 */
export async function makePlan(source: WheelSource, wanted: Wanted, look: Look): Promise<Plan> {
  if (!source.named) checkPublished(PINNED_VERSION, wanted.variant ?? 'cpu')
  const wheel = source.named ?? (await pinnedTorch(source, wanted.variant ?? 'cpu'))
  if (wheel.project !== 'torch') {
    throw new RangeError(`--from names ${wheel.name}, which is a wheel of ${wheel.project} and not of torch.`)
  }
  if (!fitsPlatform(wheel)) {
    throw mismatch(`${wheel.name} is for another platform than this ${process.platform}-${process.arch}`)
  }
  const { contents, size } = await look(wheel)
  const { version, variant } = checkTorch(wheel, contents, wanted.variant)
  const parts = [{ wheel, contents, size, files: usedFiles(contents, wanted) }]
  if (variant !== 'cpu') parts.push(...(await nvidiaParts(source, contents, look)))
  return { version, variant, parts }
}

async function pinnedTorch(source: WheelSource, variant: Variant): Promise<Wheel> {
  const all = await source.list('torch')
  const fitting = all.filter(({ version }) => version.split('+')[0] === PINNED_VERSION)
  const named = fitting.filter(({ version }) => variantOf(version) === variant)
  // Where a version names no build (PyPI's, and macOS's everywhere), what is inside will tell.
  const silent = fitting.filter(({ version }) => !version.includes('+'))
  const candidates = named.length ? named : silent
  // Only the C++ part is used, so any Python's serves; 3.11's is taken where there is a choice.
  const wheel = candidates.find(({ name }) => name.includes('-cp311-')) ?? candidates[0]
  if (wheel) return wheel
  const others = [...new Set(all.map(({ version }) => version))].join(', ')
  throw new ElectraError(
    'DOWNLOAD_FAILED',
    `${source.name} has no torch ${PINNED_VERSION} (${variant}) for ${process.platform}-${process.arch}${others ? `; it has ${others}` : ''}; name another source with --from.`,
  )
}

function checkTorch(
  { name }: Wheel,
  { version_file, entries }: WheelContents,
  wanted: Variant | undefined,
): { version: string; variant: Variant } {
  const full = versionIn(version_file) ?? ''
  const version = full.split('+')[0] ?? ''
  if (!SUPPORTED_MINORS.includes(minorOf(version))) {
    const supported = `${SUPPORTED_MINORS[0] ?? ''} to ${SUPPORTED_MINORS.at(-1) ?? ''}`
    throw mismatch(
      `${name} is torch ${version || 'of a version that cannot be read'}; ${supported} are supported`,
    )
  }
  const cuda = entries.some((entry) => /^torch\/lib\/(?:lib)?torch_cuda\./.test(entry.name))
  const variant = variantOf(full) ?? (cuda || full.includes('+') ? undefined : 'cpu')
  if (variant === undefined || (variant === 'cpu') === cuda) {
    throw mismatch(`${name} is torch ${full}, a build that is not known here`)
  }
  if (wanted !== undefined && wanted !== variant) {
    throw mismatch(
      `${name} is the ${variant} build of torch ${version}, not ${wanted}; say --variant ${variant}, or name another wheel`,
    )
  }
  return { version, variant }
}

/** The NVIDIA wheels that torch pins, and those that they need in turn. */
async function nvidiaParts(source: WheelSource, torch: WheelContents, look: Look): Promise<Part[]> {
  const parts = new Map<string, Part>()
  const queue = nvidiaRequirements(torch.metadata)
  const asked = new Set<string>()
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { project, extras, accepts, text } = next
    if (asked.has(text)) continue
    asked.add(text)
    let part = parts.get(project)
    if (part && !accepts(part.wheel.version)) {
      throw new ElectraError(
        'DOWNLOAD_FAILED',
        `${text} is required beside ${part.wheel.name}, which does not satisfy it; name another source with --from.`,
      )
    }
    if (!part) {
      const wheel = (await source.list(project))
        .filter(({ version }) => accepts(version))
        .sort((a, b) => compareVersions(b.version, a.version))[0]
      if (!wheel) {
        throw new ElectraError(
          'DOWNLOAD_FAILED',
          `${source.name} has no wheel of ${text} beside torch, which needs it; \`pip download\` brings both, and --from takes their folder.`,
        )
      }
      const { contents, size } = await look(wheel)
      part = { wheel, contents, size, files: usedFiles(contents) }
      parts.set(project, part)
    }
    queue.push(...nvidiaRequirements(part.contents.metadata, extras))
  }
  // Some only name others, or hold what compilers use.
  return [...parts.values()].filter(({ files }) => files.length > 0)
}

function nvidiaRequirements(metadata: string, extras: readonly string[] = []): Requirement[] {
  return requirementsOf(metadata, extras).filter(({ project }) => /^(?:nvidia-|cuda-toolkit$)/.test(project))
}

function mismatch(what: string): ElectraError {
  return new ElectraError('LIBTORCH_MISMATCH', `${what}.`)
}
