import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { buildCommand, isCheckout } from '../addon-failure'
import { addonPath, builtCores, INSTALL_LIBTORCH, openAddon, openBinding } from '../binding'
import { openCheckpoint, SHIPPED_MODEL } from '../checkpoint'
import { ElectraClassifier } from '../classifier'
import { cacheEntries, verifyEntry } from '../libtorch/cache'
import { describePlace, findLibtorch, type Libtorch } from '../libtorch/find'
import { librariesOf, probeLibraries } from '../libtorch/probe'
import { gpuCheck } from './doctor-gpu'

/** One thing that scoring needs. */
export interface Check {
  ok: boolean
  /** One line about what was found, or why it was not. */
  found: string
  /** Further lines, such as the places that were searched. */
  details?: readonly string[]
  /** The same, for programs. */
  facts?: object
  /** The command to run next; absent where all is well. */
  remedy?: string
}

const PACKAGE_FOLDER = join(__dirname, '..', '..')

/** Each check stands by itself: what is missing in one is no reason to leave out another. */
export async function* examine(): AsyncGenerator<[name: string, Check]> {
  yield ['Node', node()]
  yield ['platform', platform()]

  const addon = attempt(openAddon, prepare())
  const path = addonPath()
  if ('value' in addon) {
    yield ['addon', { ok: true, found: path ?? '', facts: { path } }]
    const cpu = addon.value.cpuInfo()
    const { model, features, threads, rule, cgroup_quota, cpu_affinity, physical_cores } = cpu
    yield [
      'CPU',
      { ok: true, found: `${model}; ${features.join(' ') || 'no AVX2'}`, facts: { model, features } },
    ]
    const limits = [
      ...(cgroup_quota === undefined ? [] : [`cgroup quota ${cgroup_quota}`]),
      `CPU affinity ${cpu_affinity}`,
      `physical cores ${physical_cores}`,
    ]
    const facts = { threads, rule, cgroup_quota, cpu_affinity, physical_cores }
    yield ['threads', { ok: true, found: `${threads}, by the ${rule} (${limits.join(', ')})`, facts }]
  } else yield ['addon', addon.failed]

  const cores = builtCores()
  // Without any core it is the libtorch that is of interest all the same.
  const { found: libtorch, tried } = await findLibtorch(undefined, {
    ...(cores.size && { minors: cores.keys() }),
    probe: true,
  })
  const searched = tried.map((place) => describePlace(SOURCES[place.source], place))
  if (libtorch) {
    const { version, variant, build, folder, source } = libtorch
    const kind = variant === 'cpu' ? 'CPU' : build || 'CUDA'
    const found = `${version} (${kind} build) from ${SOURCES[source]}: ${folder}`
    yield [
      'libtorch',
      { ok: true, found, details: searched.map((place) => `tried ${place}`), facts: { ...libtorch, tried } },
    ]
    yield ['libraries', await libraries(libtorch)]
    const core = cores.get(libtorch.minor)
    yield core === undefined
      ? [
          'core',
          {
            ok: false,
            found: `none is built for libtorch ${libtorch.minor}`,
            remedy: prepare(libtorch.folder),
          },
        ]
      : ['core', { ok: true, found: core, facts: { path: core } }]
    yield ['GPU', gpuCheck(libtorch)]
    if ('value' in addon && core !== undefined) yield ['devices', await devices()]
  } else {
    yield [
      'libtorch',
      { ok: false, found: 'none was found', details: searched, facts: { tried }, remedy: INSTALL_LIBTORCH },
    ]
    yield ['GPU', gpuCheck(undefined)]
  }

  yield ['default model', await defaultModel()]
  if ('value' in addon && libtorch) yield ['first text', await firstText()]
}

function node(): Check {
  const { engines } = packageJson()
  const wanted = /\d+(?:\.\d+)*/.exec(engines.node)?.[0] ?? ''
  const [major = 0, minor = 0] = wanted.split('.').map(Number)
  const [own_major = 0, own_minor = 0] = process.versions.node.split('.').map(Number)
  const ok = own_major > major || (own_major === major && own_minor >= minor)
  const facts = { version: process.versions.node, wanted: engines.node }
  if (ok) return { ok, found: process.version, facts }
  return {
    ok,
    found: `${process.version}, but ${engines.node} is needed`,
    facts,
    remedy: `npx --yes node@${major} "$(command -v electra-classifier)" doctor`,
  }
}

function platform(): Check {
  // The network part of a report looks up host names, which can take seconds.
  Object.assign(process.report, { excludeNetwork: true })
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  const glibc = report.header?.glibcVersionRuntime
  const name = `${process.platform}-${process.arch}`
  const facts = { platform: process.platform, arch: process.arch, glibc }
  return { ok: true, found: glibc === undefined ? name : `${name}, glibc ${glibc}`, facts }
}

/**
 * Opens every library in a process of its own, those included that torch opens only when it needs them; where they lie
 * in the cache, compares their bytes with what was installed, too.
 */
async function libraries(libtorch: Libtorch): Promise<Check> {
  const remedy =
    libtorch.source === 'cache' && libtorch.variant === 'cuda'
      ? `${INSTALL_LIBTORCH} --variant ${libtorch.build}`
      : INSTALL_LIBTORCH
  const entry = cacheEntries().find((each) => libtorch.folder.startsWith(each))
  if (libtorch.source === 'cache' && entry !== undefined) {
    try {
      await verifyEntry(entry)
    } catch (error) {
      return failed(error, remedy)
    }
  }
  const { opened, failed: refused } = await probeLibraries(librariesOf(libtorch))
  const facts = { opened: opened.length, refused }
  if (!refused.length) return { ok: true, found: `all ${opened.length} can be opened`, facts }
  const reasons = refused.map(({ reason }) => reason)
  // What the driver brings is missing where there is none, and is no fault of the installation.
  if (reasons.every((reason) => NEEDS_DRIVER.test(reason))) {
    const details = reasons.map((reason) => `${reason} (part of NVIDIA's driver)`)
    return {
      ok: true,
      found: `${opened.length} can be opened, ${refused.length} need a driver`,
      details,
      facts,
    }
  }
  return { ok: false, found: `${refused.length} cannot be opened`, details: reasons, facts, remedy }
}

const NEEDS_DRIVER = /lib(?:cuda|nvidia-ml)\.so\.1: cannot open/

async function devices(): Promise<Check> {
  try {
    const { core } = await openBinding()
    const found = core.devices.map(({ name, description }) =>
      description ? `${name} (${description})` : name,
    )
    const details = core.cuda_unavailable === undefined ? [] : [`no CUDA: ${core.cuda_unavailable}`]
    return { ok: true, found: found.join(', '), details, facts: core }
  } catch (error) {
    return failed(error, prepare())
  }
}

async function defaultModel(): Promise<Check> {
  try {
    const { source, labels } = await openCheckpoint(SHIPPED_MODEL, () => Promise.resolve([]))
    return { ok: true, found: `${source} (${labels.join(', ')})`, facts: { path: source, labels } }
  } catch (error) {
    return failed(error, 'npm install electra-classifier')
  }
}

/** Nothing shows that all parts work together as well as a text that was scored. */
async function firstText(): Promise<Check> {
  try {
    const classifier = await ElectraClassifier.load()
    const { label } = await classifier.classify('I love this restaurant!')
    const { device, info } = classifier
    await classifier.close()
    const facts = { label, device, dtype: info.dtype, engine: info.engine }
    return { ok: true, found: `${label}, on ${device} in ${info.dtype}`, facts }
  } catch (error) {
    return failed(error, prepare())
  }
}

const SOURCES = {
  option: 'the option',
  LIBTORCH: 'LIBTORCH',
  cache: 'the cache',
  python: "Python's torch",
} as const

/** The command that builds what is not built, from wherever the user stands. */
function prepare(libtorch?: string): string {
  const folder = resolve(PACKAGE_FOLDER)
  const there = folder === process.cwd() ? '' : ` --prefix ${JSON.stringify(folder)}`
  const command = isCheckout(folder) ? `npm${there} run prepare` : buildCommand(folder)
  if (libtorch === undefined) return command
  // In the one way that both cmd and PowerShell understand.
  if (process.platform === 'win32') return `cmd /c "set LIBTORCH=${libtorch}&& ${command}"`
  return `LIBTORCH=${JSON.stringify(libtorch)} ${command}`
}

function attempt<T>(work: () => T, remedy: string): { value: T } | { failed: Check } {
  try {
    return { value: work() }
  } catch (error) {
    return { failed: failed(error, remedy) }
  }
}

function failed(error: unknown, remedy: string): Check {
  const [found = '', ...details] = (error instanceof Error ? error.message : String(error)).split('\n')
  return { ok: false, found, details, remedy }
}

function packageJson(): { engines: { node: string } } {
  return JSON.parse(readFileSync(join(PACKAGE_FOLDER, 'package.json'), 'utf8')) as {
    engines: { node: string }
  }
}
