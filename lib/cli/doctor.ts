import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { addonPath, builtCores, openAddon, openBinding } from '../binding'
import { openCheckpoint, SHIPPED_MODEL } from '../checkpoint'
import { ElectraClassifier } from '../classifier'
import { findLibtorch } from '../libtorch/find'

/** One thing that scoring needs. */
interface Check {
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

/**
 * Prints what was found and what is missing.
 *
 * @returns whether texts can be scored
 */
export async function doctor(format: 'text' | 'json'): Promise<boolean> {
  const checks = new Map<string, Check>()
  for await (const [name, check] of examine()) {
    checks.set(name, check)
    if (format === 'text') process.stdout.write(lines(name, check))
  }
  const missing = [...checks.values()].find(({ ok }) => !ok)
  if (format === 'json') {
    const found = [...checks].map(([name, { ok, found: line, facts, remedy }]) => [
      name.toLowerCase().replaceAll(' ', '_'),
      { ok, found: line, ...facts, ...(remedy !== undefined && { remedy }) },
    ])
    const report = {
      ready: !missing,
      ...(missing?.remedy !== undefined && { next: missing.remedy }),
      checks: Object.fromEntries(found) as object,
    }
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  } else {
    process.stdout.write(missing ? `\nnot ready; run next: ${missing.remedy ?? ''}\n` : '\nready\n')
  }
  return !missing
}

const NAME_WIDTH = 'default model'.length

function lines(name: string, { ok, found, details = [] }: Check): string {
  const indent = ' '.repeat('missing'.length + NAME_WIDTH + 4)
  const rest = details.map((detail) => `${indent}${detail}\n`).join('')
  return (ok ? 'ok' : 'missing').padEnd(9) + name.padEnd(NAME_WIDTH + 2) + `${found}\n${rest}`
}

/** Each check stands by itself: what is missing in one is no reason to leave out another. */
async function* examine(): AsyncGenerator<[name: string, Check]> {
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

  const { found: libtorch, tried } = await findLibtorch()
  const searched = tried.map(
    ({ source, path: at, reason }) => `${SOURCES[source]}${at === undefined ? '' : ` ${at}`}: ${reason}`,
  )
  if (libtorch) {
    const { version, variant, folder, source } = libtorch
    const found = `${version} (${variant === 'cpu' ? 'CPU' : 'CUDA'} build) from ${SOURCES[source]}: ${folder}`
    yield [
      'libtorch',
      { ok: true, found, details: searched.map((place) => `tried ${place}`), facts: { ...libtorch, tried } },
    ]
    const core = builtCores().get(libtorch.minor)
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
    if ('value' in addon && core !== undefined) yield ['devices', await devices()]
  } else {
    yield [
      'libtorch',
      { ok: false, found: 'none was found', details: searched, facts: { tried }, remedy: prepare() },
    ]
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

/** The command that gets libtorch and builds what is not built, from wherever the user stands. */
function prepare(libtorch?: string): string {
  const folder = resolve(PACKAGE_FOLDER)
  const there = folder === process.cwd() ? '' : ` --prefix ${JSON.stringify(folder)}`
  return `${libtorch === undefined ? '' : `LIBTORCH=${JSON.stringify(libtorch)} `}npm${there} run prepare`
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
