/**
 * `npm run bench`: what the library promises, measured on this machine, each trial in a process of its own.
 *
 *   --texts FILE   CSV with a column `sentence` (default: the validation split beside the repository)
 *   --runs N       repetitions of each trial, medians are printed (default 3)
 *   --json         one JSON object instead of text
 *
 * The peer, onnxruntime-node, is installed into bench/ on first use. Its ONNX file is made by Python with
 * torch, transformers, electra-classifier and onnx (BENCH_PYTHON, default python3) and kept in the cache.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { openAddon } from '../lib/binding'
import { SHIPPED_MODEL } from '../lib/checkpoint'
import { cacheFolder } from '../lib/libtorch'

const ROOT = join(__dirname, '..')
const { values } = parseArgs({
  options: {
    texts: { type: 'string', default: join(ROOT, '..', 'shared', 'data', 'val_with_electra_preds.csv') },
    runs: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})
const runs = Number(values.runs)
const texts = resolve(values.texts)
if (!existsSync(texts)) {
  console.error(`bench: there is no file of texts at ${texts}; pass one with --texts FILE.`)
  process.exit(2)
}

const { threads, rule, features, model } = openAddon().cpuInfo()
const BASE_ENV = { ...process.env, BENCH_TEXTS: texts, BENCH_THREADS: String(threads) }

/** Runs a trial in a fresh process and returns what it printed, and how long the whole process took. */
function trial(name: string, env: Record<string, string> = {}): { printed: unknown; seconds: number } {
  const started = performance.now()
  const printed = execFileSync(process.execPath, ['--expose-gc', join(__dirname, 'trials', `${name}.cjs`)], {
    encoding: 'utf8',
    env: { ...BASE_ENV, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return { printed: JSON.parse(printed), seconds: (performance.now() - started) / 1000 }
}

function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[middle]]
  return ((low ?? NaN) + (high ?? NaN)) / 2
}

function repeat<T>(run: () => T): T[] {
  return Array.from({ length: runs }, run)
}

/** The peer's model file, made once for these weights. */
function onnxModel(): string {
  const weights = createHash('sha256').update(readFileSync(join(SHIPPED_MODEL, 'model.safetensors')))
  const folder = join(cacheFolder(), 'bench')
  const path = join(folder, `sentiment-minilm-l6-${weights.digest('hex').slice(0, 12)}.onnx`)
  if (existsSync(path)) return path
  mkdirSync(folder, { recursive: true })
  const python = process.env.BENCH_PYTHON ?? 'python3'
  execFileSync(python, [join(ROOT, 'scripts', 'export_onnx.py'), SHIPPED_MODEL, path], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return path
}

function installPeers(): void {
  if (existsSync(join(__dirname, 'node_modules', 'onnxruntime-node'))) return
  // Its install script downloads CUDA libraries that a CPU comparison does not need.
  execFileSync('npm', ['ci', '--ignore-scripts'], { cwd: __dirname, stdio: ['ignore', 'ignore', 'inherit'] })
}

interface Throughput {
  texts_per_second: number
  labels: string
}

function throughput(name: string, env: Record<string, string>): Throughput {
  return trial(name, env).printed as Throughput
}

interface Row {
  what: string
  figure: string
  promise?: string
}

function firstResult(): Row {
  const seconds = median(repeat(() => trial('first-result').seconds))
  return {
    what: 'require to first result, whole process',
    figure: `${seconds.toFixed(2)} s`,
    promise: '≤ 1.0 s',
  }
}

function eventLoop(): Row[] {
  type Delays = Record<string, { p50_ms: number; p99_ms: number; max_ms: number; seconds: number }>
  const printed = repeat(() => trial('event-loop').printed as Delays)
  return Object.keys(printed[0] ?? {}).map((what) => {
    const p99 = median(printed.map((delays) => delays[what]?.p99_ms ?? NaN))
    const max = median(printed.map((delays) => delays[what]?.max_ms ?? NaN))
    return {
      what: `event-loop delay, ${what}`,
      figure: `p99 ${p99.toFixed(1)} ms (longest ${max.toFixed(1)} ms)`,
      promise: '≤ 10 ms',
    }
  })
}

function memory(): Row {
  const { after_5000, after_50000 } = trial('memory').printed as Record<string, number>
  const ratio = (after_50000 ?? NaN) / (after_5000 ?? NaN)
  const megabytes = (bytes = NaN): string => `${(bytes / 1e6).toFixed(0)} MB`
  return {
    what: 'resident memory after 50,000 texts against after 5,000',
    figure: `${ratio.toFixed(3)} × (${megabytes(after_50000)} / ${megabytes(after_5000)})`,
    promise: '≤ 1.02 ×',
  }
}

/** Ours and the peer's trials take turns, so that a machine that slows down slows both. */
function againstOnnxruntime(): Row[] {
  installPeers()
  const BENCH_ONNX = onnxModel()
  const trials = repeat(() => ({
    fp32: throughput('throughput-electra', { BENCH_DTYPE: 'fp32' }),
    auto: throughput('throughput-electra', { BENCH_DTYPE: 'auto' }),
    file: throughput('throughput-onnxruntime', { BENCH_ONNX, BENCH_ORDER: 'file' }),
    sorted: throughput('throughput-onnxruntime', { BENCH_ONNX, BENCH_ORDER: 'sorted' }),
  }))
  const rate = (name: 'fp32' | 'auto' | 'file' | 'sorted'): number =>
    median(trials.map((each) => each[name].texts_per_second))
  const [first] = trials
  const differing = Array.from(first?.fp32.labels ?? '').filter(
    (label, i) => label !== first?.file.labels[i],
  ).length
  const against = (ours: 'fp32' | 'auto', peer: 'file' | 'sorted'): Row => ({
    what: `throughput, ours ${ours} against onnxruntime-node fp32, ${peer === 'file' ? 'file order by 32' : 'sorted by length, by 32'}`,
    figure: `${(rate(ours) / rate(peer)).toFixed(2)} × (${rate(ours).toFixed(0)} / ${rate(peer).toFixed(0)} texts/s)`,
  })
  return [
    against('fp32', 'file'),
    against('fp32', 'sorted'),
    against('auto', 'file'),
    against('auto', 'sorted'),
    { what: 'labels that differ, ours fp32 against onnxruntime-node', figure: String(differing) },
  ]
}

const rows = [...againstOnnxruntime(), firstResult(), ...eventLoop(), memory()]
const machine = {
  cpu: model,
  cpus: cpus().length,
  threads,
  rule,
  features,
  node: process.version,
  runs,
}
if (values.json) {
  console.log(JSON.stringify({ machine, rows }, null, 2))
} else {
  console.log(
    `${machine.cpu}, ${machine.threads} threads (${rule}), ${features.join(' ')}, Node ${machine.node}`,
  )
  console.log(`medians of ${runs} runs, each in a process of its own\n`)
  for (const { what, figure, promise } of rows) {
    console.log(`${what}\n    ${figure}${promise === undefined ? '' : `   (promised: ${promise})`}`)
  }
}
