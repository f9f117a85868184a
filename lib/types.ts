/**
 * The numeric type of the linear layers' weights. What is multiplied is the same, except that a CPU multiplies fp16 (and
 * bf16, where it has no such products) as fp32, and int8 with activations that are quantized row by row. LayerNorm,
 * softmax and pooling accumulate in fp32.
 */
export type Dtype = 'fp32' | 'bf16' | 'fp16' | 'int8'

/** How far the download of one file is. */
export interface DownloadProgress {
  /** Name of the file in its repository. */
  file: string
  /** Bytes that are on the disk; more than 0 at first where an earlier download was cut. */
  loaded: number
  /** Bytes of the whole file. */
  total: number
}

/** Where a model is found, and how it is fetched from the hub; a path needs none of it. */
export interface SourceOptions {
  /** Branch, tag or commit on the hub. Default `'main'`. */
  revision?: string
  /** Folder of the cache. Default: where Python's `huggingface_hub` has it (`HF_HUB_CACHE`, `HF_HOME` …). */
  cache_dir?: string
  /** Takes what the cache has and asks nobody, as `HF_HUB_OFFLINE=1` does. Default `false`. */
  local_files_only?: boolean
  /**
   * Token sent to the hub, and to nobody else. Default: `HF_TOKEN`, or what `hf auth login` stored. `false`:
   * none.
   */
  token?: string | false
  /**
   * Called when the download of a file begins, as its bytes come, and when it is whole (`loaded === total`).
   * Files that the cache has make no call.
   */
  on_progress?: (progress: DownloadProgress) => void
  /**
   * `'archive'`: a TorchScript archive from the hub may be loaded. It can run any operator, those that read
   * and write files included, with the rights of this process; a checkpoint is data and needs no trust.
   */
  trust?: 'archive'
  /** Ends the call: it rejects with the signal's reason, and what was downloaded serves the next one. */
  signal?: AbortSignal
}

/**
 * What makes scores of logits. `'softmax'`: one label holds, and the scores add up to 1. `'sigmoid'`: each label holds or
 * not, by itself. `'none'`: the scores are what the model put out, such as a rating.
 */
export type ScoreFunction = 'softmax' | 'sigmoid' | 'none'

/** A shape that is captured as a CUDA graph: it takes batches of up to so many tokens and rows. */
export interface GraphBucket {
  /** Tokens of all rows together. */
  readonly tokens: number
  readonly rows: number
  /** Tokens of the longest row. */
  readonly longest: number
}

/** How a classifier is loaded. */
export interface LoadOptions extends SourceOptions {
  /**
   * Where to run. `'auto'` (default): CUDA where the libtorch found has it and a card answers, else the CPU;
   * {@link ElectraClassifier.device} says which. `'cuda'` and `'cuda:N'` run there or throw
   * `DEVICE_UNAVAILABLE`; nothing falls back silently.
   */
  device?: 'auto' | 'cpu' | 'cuda' | `cuda:${number}`
  /**
   * What to compute in. `'auto'` (default): bf16 on CUDA and on a CPU with AMX or AVX512-BF16, fp16 weights with fp32
   * arithmetic on other CPUs with AVX2, else fp32. `'int8'` (CPU only, checkpoints and archives of this library) is
   * the fastest and changes some labels: docs/performance.md says how many. Logits are always fp32.
   */
  dtype?: 'auto' | Dtype
  /**
   * CPU threads of this classifier, an integer from 1 to 1024. Default: the least of the cgroup's CPU quota, the CPU
   * affinity and the physical cores; `info.threads_rule` says which decided.
   */
  threads?: number
  /**
   * Cards to run on, a replica of the model on each, instead of `device`. Every batch goes to the one with the least to
   * do. A replica that can score nothing any more makes the whole classifier unhealthy.
   */
  devices?: readonly `cuda:${number}`[]
  /**
   * What is done at load so that the first texts are as fast as later ones. `'graphs'` (default): on CUDA, shapes of
   * batches are captured as CUDA graphs, which takes seconds and some of the card's memory, and launches a batch in
   * one go; `info.notes` says what it took. `'eager'`: every batch is launched kernel by kernel. On a CPU there is
   * nothing to capture, and both mean the same.
   */
  warmup?: 'graphs' | 'eager'
  /**
   * The shapes to capture instead of those that this library chooses: a batch uses the smallest that has room for its
   * tokens, its rows and its longest row, and runs eagerly where none has. An archive whose own forward runs pads, so
   * there a shape holds `rows` rows of up to `longest` tokens.
   *
   * @example
   * ```ts
   * const graph_buckets = [{ tokens: 64, rows: 1, longest: 64 }, { tokens: 4096, rows: 256, longest: 128 }]
   * ```
   */
  graph_buckets?: readonly GraphBucket[]
  /** Folder of a libtorch to use, instead of the one that would be found. */
  libtorch?: string
  /**
   * Tokens that go through the model together. Default: 1,024 on the CPU, where a larger batch is no faster per token and
   * a smaller one lets others in sooner; 16,384 on CUDA, which needs more to be full. CUDA graphs are captured for batches of
   * up to so many tokens, or 16,384.
   */
  max_batch_tokens?: number
  /**
   * Tokens that may wait to be scored, those of all calls together. Default 1,048,576. A call that finds no room is
   * refused with `QUEUE_FULL` or waits, by its `on_full`. It bounds how long a text waits: as long as so many tokens take.
   */
  max_queue_tokens?: number
  /**
   * Milliseconds that one batch may run, from its own start; an integer from 1, default 60,000. One that takes longer
   * counts as hung: its calls reject with `FORWARD_FAILED`, and `healthy` is false from then on. Raise it where batches
   * are large and the machine is slow.
   */
  watchdog_ms?: number
}

/**
 * Two texts that are scored together, for models that were tuned on pairs: premise and hypothesis, query and passage.
 *
 * @example
 * ```ts
 * const pair: TextPair = { text: 'A man plays the guitar.', text_pair: 'Somebody makes music.' }
 * ```
 */
export interface TextPair {
  /** The first text. */
  readonly text: string
  /** The second one; it may be empty, and its `[SEP]` is there all the same. */
  readonly text_pair: string
}

/** What is classified: a text, or a pair of texts. */
export type TextInput = string | TextPair

/** How a call stands among others. */
export interface CallOptions {
  /** Ends the call: its promise rejects with the signal's reason, and texts that still wait are dropped. */
  signal?: AbortSignal
  /**
   * Milliseconds from the call's beginning to its last result, an integer from 1. A call that is not done by then rejects
   * with `DEADLINE_EXCEEDED`, and texts that still wait are dropped. Default: none.
   */
  timeout_ms?: number
  /**
   * `'high'`: before everything `'normal'` that waits, and not in a batch with it. Where it never ends, one batch in nine
   * is of normal priority all the same. Default `'normal'`.
   */
  priority?: 'high' | 'normal'
  /**
   * What becomes of a call that finds `max_queue_tokens` waiting. `'error'` (default): it rejects with `QUEUE_FULL` at
   * once. `'wait'`: it begins when there is room. A call that has begun is never refused: its further texts wait for room.
   */
  on_full?: 'error' | 'wait'
}

/** How texts are classified. */
export interface ClassifyOptions extends CallOptions {
  /**
   * Longest row in tokens, `[CLS]` and `[SEP]` included; 3 up to the model's own limit (the default).
   */
  max_length?: number
  /**
   * What happens to a text of more tokens than `max_length`. `'truncate'` (default): its end is left out, and
   * the result's `truncated` says so. `'error'`: the call rejects with `INPUT_TOO_LONG`. `'window'`: it is
   * scored in windows of `max_length` that advance by three quarters of it, and their logits are averaged,
   * each weighted by the tokens it adds. A pair is truncated at the end of its longer text, and of both where both are
   * longer than half (`longest_first`); `'window'` is a `TypeError` for it, since there is no telling which text to move
   * along.
   */
  long_text?: 'truncate' | 'error' | 'window'
  /**
   * Longest text taken, in UTF-16 code units; a longer one is a `RangeError`. Default 1,000,000. The two of a pair are
   * measured each by itself.
   */
  max_text_chars?: number
}

/** How a classifier is closed. */
export interface CloseOptions {
  /** Finishes the calls that have begun, however long they take, before it closes. Default `false`. */
  drain?: boolean
}

/** What a text was found to be. */
export interface Classification<Label extends string = string> {
  /** The label with the highest score. */
  label: Label
  /** Its score: 0 to 1, or any number where the model is a regression. */
  score: number
  /**
   * A score for each label, by `classifier.info.score_function`: softmax of the logits, which adds up to 1; for a
   * multi-label model, and for a single logit, the sigmoid of each; for a regression the logits themselves.
   */
  scores: Record<Label, number>
  /** What the model put out, in the order of `classifier.labels`. */
  logits: number[]
  /**
   * Tokens scored, `[CLS]` and `[SEP]` included; with `long_text: 'window'`, those of the whole text.
   */
  num_tokens: number
  /** Whether the end of the text was left out; of a pair, the end of either text. */
  truncated: boolean
}

/** One text as the model sees it. */
export interface Tokenization {
  /** Vocabulary ids, `[CLS]` first and `[SEP]` last, never truncated. */
  ids: number[]
  /** The vocabulary's spelling of each id. */
  tokens: string[]
}

/** A pair of texts as the model sees it. */
export interface PairTokenization extends Tokenization {
  /** For each id the text it belongs to: 0 for the first one with its special tokens, 1 for the second. */
  token_type_ids: number[]
}

/** A row of token ids for `forward`, as {@link ElectraClassifier.tokenize} gives it. */
export interface TokenRow {
  readonly ids: readonly number[] | Int32Array
  /** As many as `ids`; all 0 where they are missing. */
  readonly token_type_ids?: readonly number[] | Int32Array
}

/** Facts about a loaded classifier. */
export interface ClassifierInfo {
  /** Absolute path of the model's folder or archive. */
  source: string
  /** `'electra'`: this library's own packed engine. `'script'`: the archive's TorchScript `forward`. */
  engine: 'electra' | 'script'
  /** What linear layers compute in. */
  dtype: Dtype
  /** CPU threads of this classifier. */
  threads: number
  /** Which rule decided `threads`. */
  threads_rule: 'option' | 'cgroup quota' | 'cpu affinity' | 'physical cores'
  /** Bytes of the weights that serve. */
  memory: number
  /** Version of the libtorch in use. */
  torch_version: string
  /** Folder of that libtorch. */
  libtorch: string
  /** Whether rows of unequal length share a batch; false for an archive whose padding changes results. */
  mixes_lengths: boolean
  /** What makes scores of the logits, by the config's `problem_type` and the number of labels. */
  score_function: ScoreFunction
  /**
   * Whether pairs of texts are taken; false for an archive whose `forward` has no `token_type_ids`, for a model with
   * one token type, and where the tokenizer's files do not say how two texts make one row.
   */
  takes_pairs: boolean
  /** Why choices were made, one sentence each. */
  notes: readonly string[]
}

/** Quantiles of a time in milliseconds, each known within 5 %; `NaN` where nothing was measured yet. */
export interface LatencyQuantiles {
  p50_ms: number
  p90_ms: number
  p99_ms: number
}

/** What a classifier is doing, and has done. Where texts are counted, each window of a long text counts as one. */
export interface ClassifierStats {
  /** Texts that wait in the queue, those that stand outside for want of room included. */
  queued_texts: number
  /** Their tokens. */
  queued_tokens: number
  /** Batches that were handed to the engine: at most one that runs and one behind it. */
  batches_in_flight: number
  /** Batches, texts and tokens since it was loaded. */
  batches: number
  texts: number
  tokens: number
  /** Calls refused with `QUEUE_FULL` since it was loaded. */
  refused: number
  /**
   * Mean share of `max_batch_tokens` that a batch had, 0 to 1; of the last 30 to 60 seconds, as all below. `NaN` where there
   * was no batch.
   */
  batch_fill: number
  texts_per_second: number
  tokens_per_second: number
  /** How long a text took, and where that went. */
  latency: {
    /** From its call, or from when it was read of an array or a stream, to its logits. */
    total: LatencyQuantiles
    /** Waiting for a turn of the event loop, and tokenization. */
    tokenize: LatencyQuantiles
    /** Waiting until the engine was free for its batch. */
    queue: LatencyQuantiles
    /** The engine's work on its batch. */
    compute: LatencyQuantiles
  }
}

/** Published on the `diagnostics_channel` named `electra-classifier:batch` when a batch was scored, or failed. */
export interface BatchMessage {
  texts: number
  tokens: number
  compute_ms: number
  /** What the engine failed with. */
  error?: unknown
}

/**
 * What the `diagnostics_channel` tracing channel named `electra-classifier:call` shows of a call of `classify` or
 * `forward`; with `result` or `error` in the end, as tracing channels have it.
 */
export interface CallMessage {
  method: 'classify' | 'forward'
  /** How many texts or rows it has. */
  texts: number
  priority: 'high' | 'normal'
}

/** The parts of `config.json` that decide how a model runs; its other keys are there too, unread. */
export interface ModelConfig {
  readonly model_type: string
  readonly architectures: readonly string[]
  readonly vocab_size: number
  readonly max_position_embeddings: number
  readonly hidden_size: number
  readonly num_hidden_layers: number
  readonly id2label: Readonly<Record<string, string>>
  readonly [key: string]: unknown
}
