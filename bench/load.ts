/**
 * `npm run bench:load`: the classifier under the requests of a service, on the model that ships, beside one forward for
 * each request and onnxruntime-node; each trial in a process of its own, engines taking turns. About eight minutes.
 *
 *   --quick        short trials and a small array: under two minutes, for trying it out
 *   --json         one JSON object instead of text
 *   --write        write the load section of docs/performance.md from the last results; measures nothing
 *   --texts FILE   CSV with a column `sentence` (default: the validation split beside the repository)
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { markdownTable, withSection } from './document'
import { capacityOf, ENGINES, tables, targetsOf, trialOf, type Engine, type LoadResults } from './load-report'
import { machine, runTrial } from './machine'
import { SIZES } from './plan'
import { filesOf, preparePeers } from './prepare'
import { machineLines } from './print'

const ROOT = join(__dirname, '..')
const RESULTS = join(__dirname, 'results', 'load.json')
const CALLERS = [1, 8, 64, 512]
const SHARES = [0.5, 0.9, 1.5]
/** Requests of an open loop at most. */
const MOST_REQUESTS = 50_000
/**
 * What may wait under an open loop. When it is full, each batch is what the queue held, and a text waits for the two
 * batches in flight and its own: three times as long as so many tokens take.
 */
const QUEUE_TOKENS = 320

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    texts: { type: 'string', default: join(ROOT, '..', 'shared', 'data', 'val_with_electra_preds.csv') },
  },
})
const { rounds, closed_s, open_s, array } = options.quick
  ? { rounds: 1, closed_s: 1, open_s: 4, array: 5000 }
  : { rounds: 2, closed_s: 4, open_s: 20, array: 100_000 }

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function measure(): Promise<LoadResults> {
  const [size] = SIZES
  if (!size) throw new Error('there is no size to measure')
  const missing = preparePeers([size], say)
  const no_peer = missing.npm ?? missing.files.get(size.name)
  const { model, peers } = filesOf(size)
  const results: LoadResults = { machine: await machine(options.quick), outcomes: [] }
  say(machineLines(results.machine).join('\n'))
  const run = (
    loop: 'closed' | 'open' | 'large',
    engine: Engine,
    how: number | string,
    env: Record<string, string>,
    round = 1,
  ): void => {
    const trial = trialOf(loop, engine, how)
    const outcome =
      engine === 'onnxruntime' && no_peer !== undefined
        ? { at: new Date().toISOString(), load: NaN, seconds: 0, failure: no_peer }
        : runTrial(
            'load-generator.cjs',
            {
              BENCH_TEXTS: resolve(options.texts),
              BENCH_THREADS: String(results.machine.threads),
              BENCH_MODEL: model,
              BENCH_ONNX: join(peers, 'onnx', 'model.onnx'),
              BENCH_ENGINE: engine,
              BENCH_LOOP: loop,
              BENCH_SAMPLE: '300',
              ...env,
            },
            600,
          )
    results.outcomes.push({ trial, round, ...outcome })
    say(`${trial}: ${outcome.failure ?? `${outcome.seconds.toFixed(1)} s`}`)
  }
  for (let round = 1; round <= rounds; round++) {
    for (const callers of CALLERS) {
      // Full batches have no callers; beside 64 of them they show how much there is to gain.
      const engines = ENGINES.filter((engine) => engine !== 'packed' || callers === 64)
      for (const engine of engines) {
        run('closed', engine, callers, { BENCH_CALLERS: `${callers}`, BENCH_SECONDS: `${closed_s}` }, round)
      }
    }
  }
  const capacity = capacityOf(results, CALLERS)
  for (const share of SHARES) {
    for (const engine of ['scheduler', 'forward', 'onnxruntime'] as const) {
      run('open', engine, share, {
        BENCH_RATE: String(capacity * share),
        BENCH_SECONDS: String(engine === 'scheduler' ? open_s : open_s / 4),
        BENCH_COUNT: String(MOST_REQUESTS),
        BENCH_QUEUE_TOKENS: String(QUEUE_TOKENS),
      })
    }
  }
  run('large', 'scheduler', 'array', { BENCH_COUNT: String(array) })
  return results
}

function asText(results: LoadResults): string {
  const blocks = tables(results, CALLERS, SHARES).map(({ title, head, rows }) => {
    const widths = head.map((cell, column) =>
      Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
    )
    const line = (cells: readonly string[]) =>
      `  ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd()
    return [title, line(head), ...rows.map(line)].join('\n')
  })
  const targets = targetsOf(results).map(
    ({ what, figure, limit, verdict }) => `${what}: ${figure}   ${limit} ${verdict}`,
  )
  return [...blocks, targets.join('\n')].join('\n\n')
}

function asMarkdown(results: LoadResults): string {
  const loads = results.outcomes.flatMap(({ load }) => (Number.isFinite(load) ? [load] : []))
  const range = `${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}`
  const targets = targetsOf(results).map(({ what, figure, limit, verdict }) => [what, figure, limit, verdict])
  return [
    `Machine: ${machineLines(results.machine).join('. ')}. Load average ${range}.`,
    markdownTable(['what', 'measured', 'target', ''], targets),
    ...tables(results, CALLERS, SHARES).flatMap(({ title, head, rows }) => [
      `### ${title}`,
      markdownTable(head, rows),
    ]),
  ].join('\n\n')
}

async function main(): Promise<void> {
  if (options.write) {
    const results = JSON.parse(readFileSync(RESULTS, 'utf8')) as LoadResults
    if (results.machine.quick)
      throw new Error('the last results are of a quick run; run `npm run bench:load`')
    const document = join(ROOT, 'docs', 'performance.md')
    writeFileSync(document, withSection(readFileSync(document, 'utf8'), 'load', asMarkdown(results)))
    say(`docs/performance.md was written from ${RESULTS}`)
    return
  }
  if (!existsSync(options.texts)) {
    throw new Error(`there is no file of texts at ${options.texts}; pass one with --texts FILE`)
  }
  const results = await measure()
  mkdirSync(join(__dirname, 'results'), { recursive: true })
  writeFileSync(RESULTS, JSON.stringify(results))
  console.log(options.json ? JSON.stringify(results, null, 2) : `\n${asText(results)}`)
}

main().catch((error: unknown) => {
  say(`bench: ${error instanceof Error ? error.message : String(error)}.`)
  process.exitCode = 2
})
