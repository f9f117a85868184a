/**
 * `npm run bench`: what the library promises, measured on this machine beside its peers, each trial in a process of
 * its own. Finished trials are kept in `bench/results/`, so a run that was cut short goes on where it was.
 *
 *   --quick        the model that ships alone, one round: under three minutes
 *   --json         one JSON object instead of text
 *   --fresh        forget what this build has measured on this machine
 *   --only TEXT    only trials whose name contains it, such as `large:` or `ours bf16`
 *   --prepare      install the peers and make their files, and measure nothing
 *   --write        write docs/performance.md and docs/performance.svg from the last results; measures nothing
 *   --texts FILE   CSV with a column `sentence` (default: the validation split beside the repository)
 *
 * Peers are installed on first use: npm packages into bench/, Python's into the cache folder (or BENCH_PYTHON).
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { parse } from 'csv-parse/sync'
import { addonPath } from '../lib/binding'
import { SHIPPED_MODEL } from '../lib/checkpoint'
import { chart } from './chart'
import { withMeasured } from './document'
import { plan, QUICK_SPEED, SIZES, type Step } from './plan'
import { machine, runTrial, TRIALS } from './machine'
import { filesOf, preparePeers, type Missing } from './prepare'
import { asText, machineLines } from './print'
import { report, type Report } from './report'
import { fingerprint, newest, Results, type Machine, type Outcome } from './results'

const ROOT = join(__dirname, '..')
const RESULTS = join(__dirname, 'results')
const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
    prepare: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    texts: { type: 'string', default: join(ROOT, '..', 'shared', 'data', 'val_with_electra_preds.csv') },
  },
})
const texts = resolve(options.texts)
const sizes = options.quick ? SIZES.slice(0, 1) : SIZES

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Results belong to one build of the library and the bench, on one machine, over one file of texts. */
function resultsPath(about: Machine): string {
  const binaries = dirname(addonPath() ?? '')
  const code = [
    ...readdirSync(join(ROOT, 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.js'))
      .map((name) => join(ROOT, 'dist', name)),
    ...readdirSync(binaries)
      .filter((name) => /\.(node|so|dylib|dll)$/.test(name))
      .map((name) => join(binaries, name)),
    ...readdirSync(TRIALS)
      .filter((name) => /\.(cjs|py)$/.test(name))
      .map((name) => join(TRIALS, name)),
    texts,
  ]
  const { cpu, features, threads, versions } = about
  const facts = [cpu, features.join(' '), String(threads), JSON.stringify(versions)]
  return join(RESULTS, `${about.quick ? 'quick' : 'full'}-${fingerprint(code, facts)}.jsonl`)
}

/** Gold labels of the shipped model's stream, a digit each; undefined where the file has none. */
function goldLabels(quick: boolean): string | undefined {
  if (!existsSync(texts)) return undefined
  const rows = parse<{ label?: string }>(readFileSync(texts), { columns: true })
  const { label2id } = JSON.parse(readFileSync(join(SHIPPED_MODEL, 'config.json'), 'utf8')) as {
    label2id: Record<string, number>
  }
  const count = quick ? Math.min(QUICK_SPEED.sample, rows.length) : rows.length
  const sample = Array.from({ length: count }, (_, index) => rows[Math.floor((index * rows.length) / count)])
  const labels = sample.map((row) => label2id[row?.label ?? ''])
  return labels.includes(undefined) ? undefined : labels.join('')
}

function whyNot({ trial }: Step, missing: Missing): string | undefined {
  if (!trial.peer) return undefined
  return missing.files.get(trial.size) ?? (trial.script.endsWith('.cjs') ? missing.npm : undefined)
}

/** Runs a trial in a fresh process; whatever goes wrong is its outcome. */
function measure({ trial, round }: Step, threads: number): Outcome {
  const size = SIZES.find(({ name }) => name === trial.size)
  const env = {
    BENCH_TEXTS: texts,
    BENCH_THREADS: String(threads),
    ...(size && { BENCH_MODEL: filesOf(size).model }),
    // OpenMP's default would be every CPU that it sees.
    OMP_NUM_THREADS: String(threads),
    ...trial.env,
  }
  return { trial: trial.id, round, ...runTrial(trial.script, env, trial.timeout_s) }
}

function runAll(steps: readonly Step[], results: Results, missing: Missing): void {
  const begun = performance.now()
  const wanted = steps.filter(({ trial }) => trial.id.includes(options.only))
  const open = wanted.filter(({ trial, round }) => !results.has(trial.id, round))
  say(`${open.length} steps to run, ${wanted.length - open.length} are in ${results.path}`)
  open.forEach((step, index) => {
    const { trial, round } = step
    const minutes = ((performance.now() - begun) / 60_000).toFixed(1)
    const head = `[${index + 1}/${open.length}, ${minutes} min, load ${loadavg()[0]?.toFixed(1) ?? '?'}] ${trial.id}, round ${round} of ${trial.rounds}`
    const reason = whyNot(step, missing)
    const outcome =
      reason === undefined
        ? measure(step, results.machine.threads)
        : { trial: trial.id, round, at: new Date().toISOString(), load: NaN, seconds: 0, failure: reason }
    results.add(outcome)
    say(
      `${head}: ${outcome.failure === undefined ? `${outcome.seconds.toFixed(1)} s` : `failed: ${outcome.failure}`}`,
    )
  })
}

function write(): void {
  const path = newest(RESULTS, options.quick)
  if (path === undefined) throw new Error('there are no results of a whole run; run `npm run bench` first')
  const results = Results.read(path)
  const done = reportOf(results)
  const docs = join(ROOT, 'docs')
  const document = join(docs, 'performance.md')
  writeFileSync(document, withMeasured(readFileSync(document, 'utf8'), done))
  writeFileSync(join(docs, 'performance.svg'), chart(done))
  say(`docs/performance.md and docs/performance.svg were written from ${path}`)
}

function reportOf(results: Results): Report {
  const { quick, class: kind } = results.machine
  const steps = plan(kind, quick, () => ({ model: '', peers: '' }))
  return report(results, steps, goldLabels(quick))
}

async function main(): Promise<void> {
  if (options.write) {
    write()
    return
  }
  if (!existsSync(texts)) {
    throw new Error(`there is no file of texts at ${texts}; pass one with --texts FILE`)
  }
  const missing = preparePeers(sizes, say)
  if (options.prepare) {
    if (missing.npm !== undefined || missing.files.size) process.exitCode = 1
    return
  }
  const about = await machine(options.quick)
  say(machineLines(about).join('\n'))
  const results = Results.open(resultsPath(about), about, options.fresh)
  const steps = plan(about.class, about.quick, (name) => {
    const size = SIZES.find((each) => each.name === name)
    if (!size) throw new Error(`there is no size ${name}`)
    return filesOf(size)
  })
  runAll(steps, results, missing)
  const done = reportOf(results)
  console.log(options.json ? JSON.stringify(done, null, 2) : `\n${asText(done)}`)
}

main().catch((error: unknown) => {
  say(`bench: ${error instanceof Error ? error.message : String(error)}.`)
  process.exitCode = 2
})
