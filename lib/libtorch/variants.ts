/** The libtorch minors that a core can be built for; 2.13 is the one that every test runs on. */
export const SUPPORTED_MINORS: readonly string[] = ['2.11', '2.12', '2.13', '2.14', '2.15']

/** The release that is fetched where none is installed. */
export const PINNED_VERSION = '2.13.0'

/** What PyTorch calls its builds: for the CPU, or for a version of CUDA. */
export const VARIANTS = ['cpu', 'cu126', 'cu128', 'cu130', 'cu132'] as const
export type Variant = (typeof VARIANTS)[number]

/** The builds that PyTorch publishes of each minor, on Linux and on Windows for x64. */
const PUBLISHED = new Map<string, readonly Variant[]>([
  ['2.11', ['cpu', 'cu126', 'cu128', 'cu130']],
  ['2.12', ['cpu', 'cu126', 'cu130', 'cu132']],
  ['2.13', ['cpu', 'cu126', 'cu130', 'cu132']],
  ['2.14', ['cpu', 'cu126', 'cu130', 'cu132']],
  ['2.15', ['cpu', 'cu130', 'cu132']],
])

const PLATFORMS_WITH_CUDA = new Set(['linux-x64', 'linux-arm64', 'win32-x64'])
const PLATFORMS = new Set([...PLATFORMS_WITH_CUDA, 'win32-arm64', 'darwin-arm64'])

/**
 * Refuses a build that nobody publishes, by its name.
 *
 * @param version such as `2.13.0`
 * @throws RangeError that says which builds there are
 */
export function checkPublished(version: string, variant: Variant): void {
  const minor = minorOf(version)
  const platform = `${process.platform}-${process.arch}`
  if (!PLATFORMS.has(platform)) {
    throw new RangeError(`PyTorch publishes no libtorch for ${platform}; set LIBTORCH to one of your own.`)
  }
  if (variant !== 'cpu' && !PLATFORMS_WITH_CUDA.has(platform)) {
    throw new RangeError(`PyTorch publishes no ${variant} build for ${platform}; choose cpu.`)
  }
  const published = PUBLISHED.get(minor) ?? []
  if (published.includes(variant)) return
  const others = [...PUBLISHED].filter(([, variants]) => variants.includes(variant)).map(([other]) => other)
  throw new RangeError(
    `PyTorch publishes no ${variant} build of torch ${minor} (of ${others.join(', ')} it does); choose ${published.join(', ')}.`,
  )
}

export function minorOf(version: string): string {
  return /^\d+\.\d+/.exec(version)?.[0] ?? ''
}

/** The variant that the local part of a version names, as in `2.13.0+cu130`; none where it has no such part. */
export function variantOf(version: string): Variant | undefined {
  const local = /\+(\w+)/.exec(version)?.[1]
  return VARIANTS.find((variant) => variant === local)
}
