/** What the bench compares and promises, as data. Nothing here measures anything. */

export const COLUMNS = ['1×16', '1×128', '8×32', '32×32', 'stream', 'stream, sorted'] as const
/** A dense shape (rows × tokens), or the stream with the peer in file order or sorted by length. */
export type Column = (typeof COLUMNS)[number]
export type SizeName = 'shipped' | 'base' | 'large'

/** Machines differ in kind, so targets do. */
export type MachineClass = 'AMX' | 'AVX512-BF16' | 'AVX2'

export function machineClass(features: readonly string[]): MachineClass {
  if (features.includes('amx_bf16')) return 'AMX'
  return features.includes('avx512_bf16') ? 'AVX512-BF16' : 'AVX2'
}

/** The dtype that `'auto'` is meant to be on such a machine: what most users run. */
export const CLASS_DTYPE = { AMX: 'bf16', 'AVX512-BF16': 'bf16', AVX2: 'fp32' } as const

/** How many times as fast as the peer, for each column that has a target. */
export type Ratios = Partial<Record<Column, number>>

export interface Comparison {
  /** Engines, by their names in the plan; `ours auto` stands for the dtype of the machine's class. */
  ours: string
  peer: string
  note?: string
  target?: (machine: MachineClass, size: SizeName) => Ratios
}

const dense = (first: number, others: number): Ratios => ({
  '1×16': first,
  '1×128': others,
  '8×32': others,
  '32×32': others,
})
const stream = (file: number, sorted: number): Ratios => ({ stream: file, 'stream, sorted': sorted })

const FP32_TARGETS: Record<MachineClass, (size: SizeName) => Ratios> = {
  AMX: (size) => ({ ...(size === 'large' && dense(2, 4)), ...stream(6, 3) }),
  'AVX512-BF16': () => ({ ...dense(1.6, 2), ...stream(4, 2) }),
  AVX2: () => ({ ...dense(1.3, 1), ...stream(2, 1.1) }),
}

export const COMPARISONS: readonly Comparison[] = [
  {
    ours: 'ours auto',
    peer: 'onnxruntime fp32',
    target: (machine, size) => FP32_TARGETS[machine](size),
  },
  {
    ours: 'ours int8',
    peer: 'onnxruntime int8',
    target: () => ({ ...dense(1.05, 1.05), ...stream(2, 1.1) }),
  },
  { ours: 'ours auto', peer: 'transformers.js', target: () => ({ stream: 2 }) },
  {
    ours: 'ours auto',
    peer: 'PyTorch eager',
    target: () => ({ ...dense(1.05, 1.05), ...stream(2, 1.2) }),
  },
  {
    ours: 'ours auto',
    peer: 'TorchScript trace',
    target: () => ({ ...dense(1.05, 1.05), ...stream(2, 1.2) }),
  },
  { ours: 'ours fp32', peer: 'onnxruntime fp32' },
  { ours: 'ours fp16', peer: 'onnxruntime fp32' },
  {
    ours: 'ours fp32, held to AVX2',
    peer: 'onnxruntime fp32',
    note: 'the peer still uses everything that this CPU has',
  },
]

/** A figure that one trial prints, and the limit that it is held to. */
export interface Promised {
  trial: string
  metric: string
  what: string
  at_most?: number
  at_least?: number
  unit: string
  digits: number
  /** Another figure of the trial, shown beside it. */
  beside?: { metric: string; what: string; unit: string; digits: number }
}

const longest = (metric: string) => ({ metric, what: 'longest', unit: ' ms', digits: 1 })
const delay = (name: string, what: string): Promised => ({
  trial: 'event loop',
  metric: `delay_${name}_p99_ms`,
  what: `event-loop delay, p99: ${what}`,
  at_most: 10,
  unit: ' ms',
  digits: 1,
  beside: longest(`delay_${name}_max_ms`),
})

export const PROMISES: readonly Promised[] = [
  {
    trial: 'require',
    metric: 'require_ms',
    what: '`require`, which opens no binary',
    at_most: 60,
    unit: ' ms',
    digits: 1,
  },
  {
    trial: 'first result',
    metric: 'process_s',
    what: '`require` to first result, whole process',
    at_most: 1,
    unit: ' s',
    digits: 2,
  },
  {
    trial: 'load shipped',
    metric: 'load_s',
    what: '`load` of the shipped model',
    at_most: 0.5,
    unit: ' s',
    digits: 2,
  },
  {
    trial: 'load large',
    metric: 'load_s',
    what: '`load` of large, from a warm page cache',
    at_most: 3,
    unit: ' s',
    digits: 2,
  },
  delay('many', '5,000 texts in one call'),
  delay('truncated', 'one text of 900,000 characters, truncated'),
  delay('windows', 'one text of 900,000 characters, in windows'),
  delay('letters', 'one word of 900,000 letters'),
  {
    trial: 'new lengths',
    metric: 'new_length_ratio_p99',
    what: 'first text of a length against the median for that length, p99 over 2,000 texts',
    at_most: 2,
    unit: '×',
    digits: 2,
    beside: { metric: 'new_length_ratio_longest', what: 'largest', unit: '×', digits: 2 },
  },
  {
    trial: 'memory',
    metric: 'rss_ratio',
    what: 'resident memory after 50,000 texts against after 5,000',
    at_most: 1.02,
    unit: '×',
    digits: 3,
    beside: { metric: 'late_mb', what: 'at the end', unit: ' MB', digits: 0 },
  },
  {
    trial: 'memory quick',
    metric: 'rss_ratio',
    what: 'resident memory after 10,000 texts against after 2,000 (quick)',
    at_most: 1.02,
    unit: '×',
    digits: 3,
    beside: { metric: 'late_mb', what: 'at the end', unit: ' MB', digits: 0 },
  },
  {
    trial: 'memory of weights',
    metric: 'weights_rss_ratio',
    what: 'resident memory that large adds to libtorch alone, against its weights’ bytes',
    at_most: 1.15,
    unit: '×',
    digits: 2,
    beside: { metric: 'weights_mb', what: 'weights', unit: ' MB', digits: 0 },
  },
  {
    trial: 'tokenizer',
    metric: 'tokenizer_us',
    what: 'tokenizer, a text',
    at_most: 10,
    unit: ' µs',
    digits: 1,
    beside: { metric: 'library_us', what: '@huggingface/tokenizers', unit: ' µs', digits: 1 },
  },
  {
    trial: 'tokenizer',
    metric: 'tokenizer_ratio',
    what: 'tokenizer, speed against @huggingface/tokenizers',
    at_least: 3,
    unit: '×',
    digits: 1,
  },
]

/** Macro F1 that `int8` may lose against `fp32` on the shipped model, in points. */
export const INT8_F1_LOSS = 0.5
