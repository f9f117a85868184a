/**
 * The native contract: what `electra_classifier.node` exports. Only `lib/binding.ts` imports this file.
 *
 * Plain data crosses, nothing else: two or three `Int32Array`s in, one `Float32Array` out, strings and
 * numbers. Everything that takes longer than a copy runs on a thread of the addon's own and comes back as a
 * promise; the JavaScript thread never calls torch.
 *
 * Errors: a wrong JavaScript type throws `TypeError` at once. Whatever the native side finds out later
 * rejects the promise with an `Error` whose `code` is one of {@link NativeErrorCode} and whose message is
 * one sentence, without a C++ backtrace. A value out of range (ids, offsets, lengths) rejects with
 * `RangeError`.
 */

export type NativeErrorCode =
  | 'LIBTORCH_NOT_FOUND'
  | 'LIBTORCH_MISMATCH'
  | 'CHECKPOINT_NOT_FOUND'
  | 'CHECKPOINT_INVALID'
  | 'DEVICE_UNAVAILABLE'
  | 'MODEL_LOAD_FAILED'
  | 'FORWARD_FAILED'
  | 'OUT_OF_MEMORY'
  | 'UNHEALTHY'
  | 'CLOSED'

/** The numeric type that linear layers are computed in. */
export type Dtype = 'fp32' | 'bf16' | 'fp16' | 'int8'

export interface LoadSpec {
  /**
   * `'checkpoint'`: `path` is a `.safetensors` file, a `.bin` file of `torch.save`, or the `.index.json` of
   * several of either. `'archive'`: `path` is a TorchScript `.pt` file.
   */
  kind: 'checkpoint' | 'archive'
  /** Absolute path of the weights, UTF-8. */
  path: string
  /** The model's `config.json`, as text. */
  config: string
  /** `'auto'`, `'cpu'`, `'cuda'` or `'cuda:N'`. */
  device: string
  dtype: 'auto' | Dtype
  /** Threads of this model's lane, at least 1. */
  threads: number
  /** On CUDA: `'graphs'` (default) captures shapes as CUDA graphs at load, `'eager'` none. */
  warmup?: 'graphs' | 'eager'
  /** The largest batch that will come often, in tokens: up to it shapes are captured. Default 16,384. */
  max_batch_tokens?: number
  /** What to capture instead, three numbers each: at most so many tokens, rows, and tokens in a row. */
  graph_buckets?: Int32Array
}

export interface ModelInfo {
  /** Where it runs: `'cpu'` or `'cuda:N'`; never `'auto'`. */
  device: string
  /** What it computes in; never `'auto'`. */
  dtype: Dtype
  /** `'electra'`: weights taken by name, packed. `'script'`: the archive's own forward. */
  engine: 'electra' | 'script'
  num_labels: number
  vocab_size: number
  max_position_embeddings: number
  /** Bytes held by the weights that serve. */
  memory: number
  /** Threads that a forward uses, as the lane reports them after it has set them. */
  threads: number
  /** Whether rows of unequal length may share a batch (false for an archive whose padding leaks). */
  mixes_lengths: boolean
  /** Why a choice was made, one sentence each: dtype, engine, batching. */
  notes: string[]
}

export class Model {
  private constructor()
  /** Loads, checks and warms up on a new inference thread. */
  static load(spec: LoadSpec): Promise<Model>
  readonly info: ModelInfo
  /**
   * @param input_ids tokens of all rows, end to end
   * @param cu_seqlens batch + 1 offsets into `input_ids`: first 0, last `input_ids.length`, rising by at
   *   least 1 (the varlen convention of flash attention)
   * @param token_type_ids as long as `input_ids`; all 0 when left out
   * @returns row-major logits, batch × num_labels
   *
   * Inputs are copied before this returns.
   */
  forward(input_ids: Int32Array, cu_seqlens: Int32Array, token_type_ids?: Int32Array): Promise<Float32Array>
  /** The batch that runs now and for how long, in ms; undefined where none does. */
  running(): { call: number; ms: number } | undefined
  /**
   * Gives up a batch that is taken to hang, where it is still the one that runs: it rejects with
   * `FORWARD_FAILED`, and everything queued and later with `UNHEALTHY`, as after a failure that the core says
   * is for good. Its thread is asked to stop, and `close` waits for it no more.
   *
   * @returns whether it was still running
   */
  giveUp(call: number): boolean
  /** Finishes the batch that runs, rejects queued ones with `CLOSED`, frees the weights. Idempotent. */
  close(): Promise<void>
}

/** What the machine offers, and which rule decided the default number of threads. Reads no torch. */
export interface CpuInfo {
  /** Default thread count: the least of the three limits below. */
  threads: number
  /** Which limit decided. */
  rule: 'cgroup quota' | 'cpu affinity' | 'physical cores'
  /** CPUs that the cgroup's quota allows (v1 or v2), rounded up; absent where there is none. */
  cgroup_quota?: number
  cpu_affinity: number
  physical_cores: number
  /** Features that decide a dtype or a kernel: of `avx2`, `avx512f`, `avx512_vnni`, `avx512_bf16`, `amx_bf16`. */
  features: string[]
  model: string
}

export interface DeviceInfo {
  /** `'cpu'` or `'cuda:N'`. */
  name: string
  description: string
}

export interface CoreInfo {
  /** Version of the libtorch that is open, such as `2.13.0`. */
  torch_version: string
  devices: DeviceInfo[]
  /** Why CUDA is not among the devices, one sentence; absent where it is. */
  cuda_unavailable?: string
}

/**
 * Opens libtorch from a folder, then the core built for its minor, on a thread of its own; both stay open
 * for the life of the process. Opening the same pair again is a no-op; another one is `LIBTORCH_MISMATCH`.
 *
 * @param libtorch_lib absolute path of the folder that holds `libtorch.so`
 * @param core absolute path of `libelectra_core-<minor>.so`
 */
export function open(libtorch_lib: string, core: string): Promise<CoreInfo>

/** One extra file of an archive. */
export interface ArchiveFile {
  /** Such as `config.json`. */
  name: string
  bytes: Uint8Array
}

/**
 * Writes a checkpoint as one self-contained TorchScript archive (weights in fp32), atomically.
 *
 * @param spec `kind` must be `'checkpoint'`; `device`, `dtype` and `threads` are not read
 * @param files stored inside under their names
 */
export function exportArchive(spec: LoadSpec, out: string, files: ArchiveFile[]): Promise<void>

/** The extra files of an archive, without running anything in it. */
export function readArchive(path: string): Promise<ArchiveFile[]>

/** CPU facts; needs no libtorch. */
export function cpuInfo(): CpuInfo

/** Stops and joins this environment's inference threads, for process exit. Waits at most 5 s, for all together. */
export function shutdown(): void
