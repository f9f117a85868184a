import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { scoreFunctionOf } from './classification'
import { ElectraError } from './errors'
import { Tokenizer, type TokenizerFiles } from './tokenizer'
import type { ModelConfig, ScoreFunction } from './types'

/** A model on disk whose config and tokenizer were read and agree; the weights are read natively. */
export interface Checkpoint {
  kind: 'checkpoint' | 'archive'
  /** Absolute path that was opened: the folder or the archive. */
  source: string
  /** Absolute path of the weights. */
  weights: string
  config: ModelConfig
  /** `config.json` as it stands, for the native side. */
  config_text: string
  /** Names of the logits, in order. */
  labels: string[]
  /** What makes scores of logits. */
  score_function: ScoreFunction
  /** Token types that its embeddings tell apart. */
  token_types: number
  tokenizer: Tokenizer
  /** Longest row the model takes, in tokens. */
  max_length: number
  /** Config and tokenizer files by name, as text. */
  files: ReadonlyMap<string, string>
}

/** Extra files of an archive by name; the native side reads them. */
export type ReadArchive = (path: string) => Promise<readonly { name: string; bytes: Uint8Array }[]>

/** The model that ships with the package. */
export const SHIPPED_MODEL = join(__dirname, '..', 'models', 'sentiment-minilm-l6')

/** Where a folder's weights may be, in the order of preference; the native side knows each by its name. */
const WEIGHTS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
] as const

/** What the electra engine runs: the class that `architectures` names, and its `model_type`. */
const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ['ElectraClassifier', 'electra'],
  ['ElectraForSequenceClassification', 'electra'],
  ['BertForSequenceClassification', 'bert'],
])

export const CONFIG = 'config.json'
/** Files beside the weights that are read. */
export const MODEL_FILES = [CONFIG, 'tokenizer.json', 'vocab.txt', 'tokenizer_config.json'] as const

/** Bytes that one of them may have: more than any tokenizer, and what the native side takes from an archive. */
export const MOST_FILE_BYTES = 256 * 2 ** 20

/** Opens a folder in Hugging Face layout, or a TorchScript archive. */
export async function openCheckpoint(source: string, readArchive: ReadArchive): Promise<Checkpoint> {
  const path = resolve(source)
  const stats = await stat(path).catch(() => undefined)
  if (!stats) {
    throw new ElectraError(
      'CHECKPOINT_NOT_FOUND',
      `There is no model at ${path}; pass a folder with ${CONFIG} and ${WEIGHTS[0]}, or a TorchScript archive (.pt), or nothing for the model that ships.`,
    )
  }
  if (stats.isDirectory()) return openFolder(path)
  if (path.endsWith('.pt') || path.endsWith('.pth')) return openArchive(path, readArchive)
  throw new ElectraError(
    'CHECKPOINT_INVALID',
    `${path} is not a model; pass the folder that holds ${CONFIG} and ${WEIGHTS[0]}, or a TorchScript archive whose name ends in .pt.`,
  )
}

async function openFolder(folder: string): Promise<Checkpoint> {
  const files = await readFiles(folder)
  if (!files.has(CONFIG)) {
    throw new ElectraError(
      'CHECKPOINT_INVALID',
      `${folder} has no ${CONFIG}; a model folder holds ${CONFIG}, ${WEIGHTS[0]} and tokenizer.json or vocab.txt.`,
    )
  }
  return build('checkpoint', folder, await findWeights(folder), files)
}

/** Absolute path of a folder's weights: one file, or the index of several. */
export async function findWeights(folder: string): Promise<string> {
  for (const name of WEIGHTS) {
    const path = join(folder, name)
    if (await isFile(path)) return path
  }
  throw new ElectraError(
    'CHECKPOINT_NOT_FOUND',
    `${folder} has no ${WEIGHTS.join(', no ')}; save the model with \`save_pretrained(folder)\`.`,
  )
}

async function openArchive(path: string, readArchive: ReadArchive): Promise<Checkpoint> {
  const inside = await readArchive(path)
  const decoder = new TextDecoder()
  const known: ReadonlySet<string> = new Set(MODEL_FILES)
  const files = new Map(
    inside.filter(({ name }) => known.has(name)).map(({ name, bytes }) => [name, decoder.decode(bytes)]),
  )
  // What the archive lacks may lie beside it; what it holds itself wins as a whole, never file by file, so
  // that a stray vocab.txt in the folder cannot replace the archive's own.
  const beside = files.has(CONFIG) ? undefined : await readFiles(dirname(path))
  const chosen = beside ?? files
  if (!chosen.has(CONFIG)) {
    throw new ElectraError(
      'CHECKPOINT_INVALID',
      `${path} holds no ${CONFIG} and there is none beside it; put the model's ${CONFIG} and tokenizer.json (or vocab.txt) into the archive's folder.`,
    )
  }
  return build('archive', path, path, chosen)
}

function build(
  kind: Checkpoint['kind'],
  source: string,
  weights: string,
  files: ReadonlyMap<string, string>,
): Checkpoint {
  const config_text = files.get(CONFIG) ?? ''
  const config = parseConfig(config_text, `${CONFIG} of ${source}`)
  const labels = labelsOf(config, `${CONFIG} of ${source}`)
  const problem_type = problemTypeOf(config, `${CONFIG} of ${source}`)
  if (kind === 'checkpoint') checkSupported(config, `${CONFIG} of ${source}`)
  const tokenizer = openTokenizer(files, source)
  if (tokenizer.vocab_size !== config.vocab_size) {
    throw invalid(
      source,
      `its tokenizer has ${tokenizer.vocab_size} tokens but ${CONFIG} says vocab_size ${config.vocab_size}; take tokenizer and weights from the same model`,
    )
  }
  return {
    kind,
    source,
    weights,
    config,
    config_text,
    labels,
    score_function: scoreFunctionOf(problem_type, labels.length),
    token_types:
      (config.type_vocab_size ?? null) === null
        ? 2
        : positiveInteger(config, 'type_vocab_size', `${CONFIG} of ${source}`),
    tokenizer,
    max_length: config.max_position_embeddings,
    files,
  }
}

function openTokenizer(files: ReadonlyMap<string, string>, source: string): Tokenizer {
  const tokenizer_files: TokenizerFiles = {}
  const tokenizer_json = files.get('tokenizer.json')
  const vocab_txt = files.get('vocab.txt')
  const tokenizer_config = files.get('tokenizer_config.json')
  if (tokenizer_json === undefined && vocab_txt === undefined) {
    throw invalid(
      source,
      'it has no tokenizer.json and no vocab.txt; copy one from the model it was tuned from',
    )
  }
  if (tokenizer_json !== undefined) tokenizer_files.tokenizer_json = tokenizer_json
  if (vocab_txt !== undefined) tokenizer_files.vocab_txt = vocab_txt
  if (tokenizer_config !== undefined) tokenizer_files.tokenizer_config = tokenizer_config
  try {
    return Tokenizer.fromFiles(tokenizer_files)
  } catch (cause) {
    if (cause instanceof ElectraError) throw invalid(source, cause.message.replace(/\.$/, ''), cause)
    throw cause
  }
}

function parseConfig(text: string, where: string): ModelConfig {
  let config: unknown
  try {
    config = JSON.parse(text)
  } catch (cause) {
    throw invalid(where, `it is not JSON (${cause instanceof Error ? cause.message : String(cause)})`, cause)
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw invalid(where, 'it is not a JSON object')
  }
  const record = config as Record<string, unknown>
  return {
    ...record,
    model_type: typeof record.model_type === 'string' ? record.model_type : '',
    architectures: Array.isArray(record.architectures)
      ? record.architectures.filter((name) => typeof name === 'string')
      : [],
    vocab_size: positiveInteger(record, 'vocab_size', where),
    max_position_embeddings: positiveInteger(record, 'max_position_embeddings', where),
    hidden_size: positiveInteger(record, 'hidden_size', where),
    num_hidden_layers: positiveInteger(record, 'num_hidden_layers', where),
    id2label: id2labelOf(record, where),
  }
}

function positiveInteger(record: Record<string, unknown>, key: string, where: string): number {
  const value = record[key]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw invalid(
      where,
      `its ${key} must be a positive integer, not ${value === undefined ? 'missing' : JSON.stringify(value)}`,
    )
  }
  return value
}

/** `id2label`, or LABEL_0 … where the config names no labels, as transformers does (two, unless it says). */
function id2labelOf(record: Record<string, unknown>, where: string): Record<string, string> {
  const { id2label, num_labels } = record
  if (id2label === undefined || id2label === null) {
    const count = num_labels === undefined ? 2 : positiveInteger(record, 'num_labels', where)
    return Object.fromEntries(Array.from({ length: count }, (_, id) => [String(id), `LABEL_${id}`]))
  }
  if (typeof id2label !== 'object' || Array.isArray(id2label)) {
    throw invalid(where, 'its id2label must be an object from id to label')
  }
  const labels: Record<string, string> = {}
  for (const [id, label] of Object.entries(id2label)) {
    if (typeof label !== 'string') throw invalid(where, `its id2label gives id ${id} no name`)
    labels[id] = label
  }
  return labels
}

function labelsOf(config: ModelConfig, where: string): string[] {
  const ids = Object.keys(config.id2label)
  if (ids.length === 0) throw invalid(where, 'its id2label is empty')
  const labels = ids.map((_, id) => {
    const label = config.id2label[String(id)]
    if (label === undefined) {
      throw invalid(where, `its id2label has ${ids.length} entries but none for id ${id}`)
    }
    return label
  })
  const twice = labels.find((label, id) => labels.indexOf(label) !== id)
  if (twice !== undefined) throw invalid(where, `its id2label uses the label ${JSON.stringify(twice)} twice`)
  return labels
}

/** What no engine here runs is refused by name; sizes and tensor names are the native side's to check. */
function checkSupported(config: ModelConfig, where: string): void {
  const named = config.architectures.join(', ') || 'nothing'
  const model_type = ARCHITECTURES.get(named)
  if (model_type === undefined) {
    throw invalid(
      where,
      `its architectures name ${named}; supported are ${[...ARCHITECTURES.keys()].join(', ')}`,
    )
  }
  if (config.model_type !== model_type) {
    throw invalid(
      where,
      `its model_type is ${JSON.stringify(config.model_type)}; ${named} has ${JSON.stringify(model_type)}`,
    )
  }
}

const PROBLEM_TYPES = ['single_label_classification', 'multi_label_classification', 'regression']

function problemTypeOf({ problem_type }: ModelConfig, where: string): string | undefined {
  const known = PROBLEM_TYPES.find((name) => name === problem_type)
  if (known === undefined && problem_type !== undefined && problem_type !== null) {
    throw invalid(
      where,
      `its problem_type is ${JSON.stringify(problem_type)}; supported are ${PROBLEM_TYPES.join(', ')}`,
    )
  }
  return known
}

function invalid(where: string, what: string, cause?: unknown): ElectraError {
  return new ElectraError('CHECKPOINT_INVALID', `${where} cannot be used: ${what}.`, { cause })
}

async function readFiles(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  await Promise.all(
    MODEL_FILES.map(async (name) => {
      try {
        const path = join(folder, name)
        const stats = await stat(path)
        // Reading a pipe that nobody writes to would wait for ever.
        if (!stats.isFile()) throw new Error('it is not a regular file')
        if (stats.size > MOST_FILE_BYTES) throw new Error(`it has ${stats.size} bytes, which is far too many`)
        files.set(name, await readFile(path, 'utf8'))
      } catch (cause) {
        if (isNotFound(cause)) return
        throw invalid(
          folder,
          `its ${name} cannot be read (${cause instanceof Error ? cause.message : String(cause)})`,
          cause,
        )
      }
    }),
  )
  return files
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}
