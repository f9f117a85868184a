/**
 * `npx tsx scripts/fidelity.ts`: how near every way to score is to Python in fp32, written to docs/fidelity.md.
 *
 *   --texts FILE     CSV with a column `sentence` (default: the validation split beside the repository)
 *   --python P       with torch, transformers, electra-classifier (default: ELECTRA_TEST_PYTHON, else python3)
 *   --also P         another Python, with another major of transformers, which makes traces too
 *   --device D       cpu or cuda (default cpu)
 *   --rows N         at most N texts for each variant, for a quick look
 *   --only PATTERN   variants whose name matches; prints the tables instead of writing the document
 *
 * What Python makes (reference logits, random models of base and large size, traces) is kept in the cache, about
 * 6 GB, so that a second run only scores; a run that was cut off goes on where it was, unless native code was built
 * anew. Exits with 1 where a demand is missed.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { parse } from 'csv-parse/sync'
import { openAddon } from '../lib/binding'
import { SHIPPED_MODEL } from '../lib/checkpoint'
import { ElectraClassifier, ElectraError, exportArchive } from '../lib/index'
import { cacheFolder } from '../lib/libtorch'
import {
  compare,
  page,
  spellPath,
  type Comparison,
  type Group,
  type Measured,
  type Path,
} from './fidelity-page'

const ROOT = join(__dirname, '..')
const CHECKPOINTS = join(ROOT, 'test', 'fixtures', 'checkpoints')
const DOCUMENT = join(ROOT, 'docs', 'fidelity.md')
const DTYPES = ['fp32', 'bf16', 'fp16', 'int8'] as const
/** The large ones cost minutes for each thousand texts. */
const ROWS: Record<Group, number> = { shipped: 2000, small: 2000, base: 250, large: 200 }

const { values } = parseArgs({
  options: {
    texts: { type: 'string', default: join(ROOT, '..', 'shared', 'data', 'val_with_electra_preds.csv') },
    python: { type: 'string', default: process.env.ELECTRA_TEST_PYTHON ?? 'python3' },
    also: { type: 'string' },
    device: { type: 'string', default: 'cpu' },
    rows: { type: 'string', default: 'Infinity' },
    only: { type: 'string', default: '' },
  },
})
const device = chosenDevice()
const texts_file = resolve(values.texts)
if (!existsSync(texts_file)) {
  console.error(`fidelity: there is no file of texts at ${texts_file}; pass one with --texts FILE.`)
  process.exit(2)
}

function chosenDevice(): 'cpu' | 'cuda' {
  if (values.device === 'cpu' || values.device === 'cuda') return values.device
  console.error(`fidelity: --device must be cpu or cuda, not ${values.device}.`)
  process.exit(2)
}

interface Python {
  command: string
  transformers: string
  torch: string
}

function openPython(command: string): Python {
  const script = `from importlib.metadata import version as v; v("electra-classifier"); print(v("transformers"), v("torch"))`
  const { status, stdout } = spawnSync(command, ['-c', script], { encoding: 'utf8' })
  if (status !== 0) {
    console.error(
      `fidelity: ${command} has no torch, transformers and electra-classifier; name a Python that has them with --python.`,
    )
    process.exit(2)
  }
  const [transformers = '', torch = ''] = stdout.trim().split(' ')
  return { command, transformers, torch }
}

const major = (python: Python): number => Number.parseInt(python.transformers, 10)
const python = openPython(values.python)
const pythons = [python, ...(values.also === undefined ? [] : [openPython(values.also)])]

interface Variant {
  name: string
  group: Group
  checkpoint: string
  /** Where what is made of it lies, with config and tokenizer beside, as an archive needs them. */
  folder: string
  make?: { architecture: string; config: object; seed: number }
  paths: Path['kind'][]
  traces: { attn: 'sdpa' | 'eager'; python: Python }[]
}

const LABELS = { 0: 'negative', 1: 'neutral', 2: 'positive' }
const label2id = { negative: 0, neutral: 1, positive: 2 }
const BASE = { hidden_size: 768, num_hidden_layers: 12, num_attention_heads: 12, intermediate_size: 3072 }
const LARGE = { hidden_size: 1024, num_hidden_layers: 24, num_attention_heads: 16, intermediate_size: 4096 }
/** As the published models have it. */
const HEAD = {
  hidden_activation: 'SwishGLU',
  hidden_dim: 1024,
  num_layers: 2,
  dropout_rate: 0.3,
  pooling: 'mean',
}

function variants(): Variant[] {
  const cache = join(cacheFolder(), 'fidelity')
  const plain = { attn: 'sdpa' as const, python }
  const stored = (name: string, group: Group, checkpoint: string): Variant => {
    const weights = readdirSync(checkpoint).filter((file) => /\.(?:json|safetensors|bin)$/.test(file))
    const hash = createHash('sha256')
    for (const file of weights.sort()) hash.update(readFileSync(join(checkpoint, file)))
    const folder = join(cache, `${name}-${hash.digest('hex').slice(0, 12)}`)
    return {
      name,
      group,
      checkpoint,
      folder,
      paths: ['checkpoint', 'archive', 'trace'],
      traces: [major(python) < 5 ? { ...plain, attn: 'eager' } : plain],
    }
  }
  const random = (name: string, architecture: string, sizes: typeof BASE, group: Group): Variant => {
    const config = { ...sizes, vocab_size: 30522, id2label: LABELS, label2id }
    const electra = { ...HEAD, embedding_size: group === 'large' ? 1024 : 768 }
    const folder = join(cache, `${name.replaceAll(' ', '-')}-1`)
    const bert = architecture.startsWith('Bert')
    // transformers 4 has sdpa for BERT but not for ELECTRA.
    const attentions = (each: Python) =>
      bert ? ['sdpa' as const] : major(each) < 5 ? ['eager' as const] : (['sdpa', 'eager'] as const)
    const traces = pythons.flatMap((each) => attentions(each).map((attn) => ({ attn, python: each })))
    return {
      name,
      group,
      checkpoint: folder,
      folder,
      make: { architecture, config: bert ? config : { ...config, ...electra }, seed: 1 },
      paths: bert ? ['trace'] : ['checkpoint', 'archive', 'trace'],
      traces: group === 'large' ? traces.slice(0, 1) : traces,
    }
  }
  return [
    stored('sentiment-minilm-l6', 'shipped', SHIPPED_MODEL),
    ...readdirSync(CHECKPOINTS).map((name) => stored(name, 'small', join(CHECKPOINTS, name))),
    random('ELECTRA base', 'ElectraClassifier', BASE, 'base'),
    random('BERT base', 'BertForSequenceClassification', BASE, 'base'),
    random('ELECTRA large', 'ElectraClassifier', LARGE, 'large'),
  ].filter(({ name }) => new RegExp(values.only).test(name))
}

/** Evenly over the file, so that every source of texts is among them. */
function spread<T>(all: readonly T[], count: number): T[] {
  return Array.from(
    { length: Math.min(count, all.length) },
    (_, i) => all[Math.floor((i * all.length) / Math.min(count, all.length))] as T,
  )
}

/** The texts' ids, or random ids of their lengths where the vocabulary is another. */
function rowsOf(variant: Variant, encoded: readonly number[][]): number[][] {
  const rows = spread(encoded, Math.min(ROWS[variant.group], Number(values.rows)))
  if (variant.group !== 'small') return rows
  const config = JSON.parse(readFileSync(join(variant.checkpoint, 'config.json'), 'utf8')) as {
    vocab_size: number
    max_position_embeddings: number
  }
  let state = 1
  // Numerical Recipes' generator; its low bits are poor, so the high ones are taken.
  const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
  return rows.map(({ length }) =>
    Array.from({ length: Math.min(length, config.max_position_embeddings) }, () =>
      Math.floor(random() * config.vocab_size),
    ),
  )
}

const tracePath = (variant: Variant, { attn, python }: Variant['traces'][number]): string =>
  join(variant.folder, `trace-${python.transformers}-${attn}.pt`)

/** Lays out what Python needs, runs each Python once for all that is missing, and gives the reference logits. */
function prepare(
  all: readonly Variant[],
  encoded: readonly number[][],
): Map<Variant, { rows: number[][]; reference: string; logits: number[][] }> {
  const prepared = all.map((variant) => {
    mkdirSync(variant.folder, { recursive: true })
    const source = variant.make === undefined ? variant.checkpoint : SHIPPED_MODEL
    for (const file of ['config.json', 'tokenizer.json', 'vocab.txt', 'tokenizer_config.json']) {
      if (variant.make !== undefined && file === 'config.json') continue
      if (existsSync(join(source, file))) copyFileSync(join(source, file), join(variant.folder, file))
    }
    const rows = rowsOf(variant, encoded)
    const text = JSON.stringify(rows)
    const key = createHash('sha256').update(text).digest('hex').slice(0, 12)
    const rows_file = join(variant.folder, `rows-${key}.json`)
    if (!existsSync(rows_file)) writeFileSync(rows_file, text)
    return { variant, rows, rows_file, reference: join(variant.folder, `reference-${key}.json`) }
  })
  for (const each of pythons) {
    const jobs = prepared.flatMap(({ variant, rows_file, reference }) => {
      const traces = variant.traces
        .filter((trace) => trace.python === each)
        .map((trace) => ({ attn: trace.attn, out: tracePath(variant, trace) }))
      const own = each === python ? { rows: rows_file, reference } : {}
      const missing = [...traces.map(({ out }) => out), ...(each === python ? [reference] : [])]
      if (missing.every((path) => existsSync(path))) return []
      const make = variant.make === undefined ? {} : { make: variant.make }
      return [{ name: variant.name, checkpoint: variant.checkpoint, ...make, ...own, traces }]
    })
    if (jobs.length === 0) continue
    const file = join(cacheFolder(), 'fidelity', 'jobs.json')
    writeFileSync(file, JSON.stringify(jobs))
    execFileSync(each.command, [join(__dirname, 'fidelity_reference.py'), file], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
  }
  return new Map(
    prepared.map(({ variant, rows, reference }) => {
      const { logits } = JSON.parse(readFileSync(reference, 'utf8')) as { logits: number[][] }
      return [variant, { rows, reference, logits }]
    }),
  )
}

/** Where each path to the model's logits begins. */
async function sources(variant: Variant): Promise<{ path: Path; source: string | ElectraError }[]> {
  const found: { path: Path; source: string | ElectraError }[] = []
  for (const kind of variant.paths) {
    if (kind === 'checkpoint') found.push({ path: { kind }, source: variant.checkpoint })
    if (kind === 'archive') {
      const out = join(variant.folder, 'exported.pt')
      try {
        await exportArchive(variant.checkpoint, out)
        found.push({ path: { kind }, source: out })
      } catch (error) {
        if (!(error instanceof ElectraError)) throw error
        found.push({ path: { kind }, source: error })
      }
    }
    if (kind === 'trace') {
      for (const trace of variant.traces) {
        const path = { kind, transformers: trace.python.transformers, attn: trace.attn }
        found.push({ path, source: tracePath(variant, trace) })
      }
    }
  }
  return found
}

async function score(source: string, dtype: (typeof DTYPES)[number], rows: number[][]): Promise<number[][]> {
  const classifier = await ElectraClassifier.load(source, { dtype, device })
  try {
    return await classifier.forward(rows)
  } finally {
    await classifier.close()
  }
}

/** What an earlier run of the same native code has measured. */
class Memory {
  readonly #file = join(cacheFolder(), 'fidelity', 'measured.json')
  readonly #stamp = readFileSync(join(ROOT, 'build', 'native.stamp'), 'utf8')
  #known: Record<string, Comparison> = {}

  constructor() {
    if (!existsSync(this.#file)) return
    const { stamp, known } = JSON.parse(readFileSync(this.#file, 'utf8')) as {
      stamp: string
      known: Record<string, Comparison>
    }
    if (stamp === this.#stamp) this.#known = known
  }

  async recall(key: string, measure: () => Promise<Comparison>): Promise<Comparison> {
    const known = this.#known[key]
    if (known) return known
    const measured = await measure()
    // NaN is no JSON, and what failed is worth another look.
    if (Number.isFinite(measured.largest)) this.#known[key] = measured
    writeFileSync(this.#file, JSON.stringify({ stamp: this.#stamp, known: this.#known }))
    return measured
  }
}

async function main(): Promise<void> {
  const records: { sentence: string }[] = parse(readFileSync(texts_file), { columns: true })
  const texts = records.map(({ sentence }) => sentence)
  const shipped = await ElectraClassifier.load(undefined, { device })
  const { torch_version } = shipped.info
  const max_length = shipped.config.max_position_embeddings
  const encoded = texts.map((text) => shipped.tokenize(text).ids.slice(0, max_length))
  await shipped.close()

  const all = variants()
  const references = prepare(all, encoded)
  const memory = new Memory()
  const measured: Measured[] = []
  for (const variant of all) {
    const { rows, reference, logits } = references.get(variant) ?? { rows: [], reference: '', logits: [] }
    for (const { path, source } of await sources(variant)) {
      for (const dtype of DTYPES) {
        // It is the CPU encoder's alone.
        if (dtype === 'int8' && (path.kind === 'trace' || device !== 'cpu')) continue
        const started = performance.now()
        const row = { variant: variant.name, group: variant.group, path, dtype, rows: rows.length }
        try {
          if (typeof source !== 'string') throw source
          const key = [device, reference, spellPath(path), dtype].join(' ')
          const compared = await memory.recall(key, async () =>
            compare(logits, await score(source, dtype, rows)),
          )
          measured.push({ ...row, ...compared })
        } catch (error) {
          if (!(error instanceof ElectraError)) throw error
          measured.push({ ...row, refused: error.message.replaceAll(`${variant.folder}/`, '') })
        }
        const seconds = ((performance.now() - started) / 1000).toFixed(1)
        console.error(`${variant.name}, ${spellPath(path)}, ${dtype}: ${seconds} s`)
      }
    }
  }

  const cpu = openAddon().cpuInfo()
  const machine = `${device} (${cpu.model.trim()}; ${cpu.features.join(' ')}), libtorch ${torch_version}`
  const versions = `torch ${python.torch}, transformers ${python.transformers}`
  const before = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8') : ''
  const { document, missed } = page(measured, { machine, reference: versions }, before)
  if (values.only === '') writeFileSync(DOCUMENT, document)
  else console.log(document)
  for (const line of missed) console.error(`missed: ${line}`)
  process.exitCode = missed.length ? 1 : 0
}

void main()
