import { existsSync } from 'node:fs'
import { arch, platform, release } from 'node:os'
import { join } from 'node:path'
import { addonPath, builtCores, openAddon, openBinding } from '../binding'
import { SHIPPED_MODEL } from '../checkpoint'
import { ElectraClassifier } from '../classifier'
import { findLibtorch } from '../libtorch'

interface Check {
  what: string
  found: string
  /** What to do where it is missing; absent where all is well. */
  remedy?: string
}

/** `electra-classifier doctor`: what was found, what is missing, and what to do about it. */
export async function doctor(format: 'table' | 'json'): Promise<boolean> {
  const checks: Check[] = []
  for await (const check of examine()) {
    checks.push(check)
    if (format === 'table') process.stdout.write(line(check))
  }
  const remedy = checks.find((check) => check.remedy !== undefined)?.remedy
  if (format === 'json') {
    const found = Object.fromEntries(checks.map((check) => [check.what, check.found]))
    const missing = checks
      .filter((check) => check.remedy !== undefined)
      .map(({ what, remedy }) => ({ what, remedy }))
    process.stdout.write(`${JSON.stringify({ ready: remedy === undefined, found, missing }, null, 2)}\n`)
  } else {
    process.stdout.write(remedy === undefined ? '\nready\n' : `\nnot ready: ${remedy}\n`)
  }
  return remedy === undefined
}

function line({ what, found, remedy }: Check): string {
  const mark = remedy === undefined ? 'ok     ' : 'missing'
  return `${mark}  ${what.padEnd(10)}  ${found.replaceAll('\n', `\n${' '.repeat(21)}`)}\n`
}

async function* examine(): AsyncGenerator<Check> {
  yield { what: 'node', found: process.version }
  yield { what: 'platform', found: `${platform()}-${arch()}, ${release()}${glibc()}` }

  const path = addonPath()
  if (path === undefined) {
    yield { what: 'addon', found: 'not built', remedy: 'npm run prepare' }
  } else {
    try {
      const cpu = openAddon().cpuInfo()
      yield { what: 'addon', found: path }
      yield { what: 'cpu', found: `${cpu.model}; ${cpu.features.join(' ') || 'no features that matter'}` }
      const quota = cpu.cgroup_quota === undefined ? 'none' : String(cpu.cgroup_quota)
      yield {
        what: 'threads',
        found: `${cpu.threads}, decided by ${cpu.rule} (cgroup quota ${quota}, cpu affinity ${cpu.cpu_affinity}, physical cores ${cpu.physical_cores})`,
      }
    } catch (error) {
      yield { what: 'addon', found: messageOf(error), remedy: 'npm run prepare' }
    }
  }

  const { found: libtorch, tried } = await findLibtorch()
  if (!libtorch) {
    const reasons = tried.map(
      ({ source, path: at, reason }) => `${source}${at === undefined ? '' : ` ${at}`}: ${reason}`,
    )
    yield {
      what: 'libtorch',
      found: ['none', ...reasons].join('\n'),
      remedy: 'npm run prepare, or pip install torch==2.13.0, or set LIBTORCH to the folder of one',
    }
  } else {
    const where = `${libtorch.version} (${libtorch.variant}) in ${libtorch.folder}, from ${SOURCES[libtorch.source]}`
    yield { what: 'libtorch', found: where }
    const core = builtCores().get(libtorch.minor)
    const missing = { what: 'core', found: `none for libtorch ${libtorch.minor}`, remedy: 'npm run prepare' }
    yield core === undefined ? missing : { what: 'core', found: core }
    if (path !== undefined && core !== undefined) yield* examineDevices()
  }

  const weights = join(SHIPPED_MODEL, 'model.safetensors')
  yield existsSync(weights)
    ? { what: 'model', found: SHIPPED_MODEL }
    : { what: 'model', found: `not in ${SHIPPED_MODEL}`, remedy: 'install the package anew' }
}

async function* examineDevices(): AsyncGenerator<Check> {
  try {
    const { core } = await openBinding()
    const devices = core.devices.map(({ name, description }) =>
      description === '' ? name : `${name} (${description})`,
    )
    const no_cuda = core.cuda_unavailable === undefined ? '' : `; no CUDA: ${core.cuda_unavailable}`
    yield { what: 'devices', found: `${devices.join(', ')}${no_cuda}` }
    const classifier = await ElectraClassifier.load()
    const { label } = await classifier.classify('I love this restaurant!')
    const { device, info } = classifier
    await classifier.close()
    yield { what: 'first text', found: `${label}, on ${device} in ${info.dtype}` }
  } catch (error) {
    yield { what: 'devices', found: messageOf(error), remedy: 'npm run prepare' }
  }
}

const SOURCES = {
  option: 'the option',
  LIBTORCH: 'the environment (LIBTORCH)',
  cache: 'the cache',
  python: "Python's torch",
} as const

function glibc(): string {
  // The network part of a report looks up host names, which can take seconds.
  Object.assign(process.report, { excludeNetwork: true })
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  const version = report.header?.glibcVersionRuntime
  return version === undefined ? '' : `, glibc ${version}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
