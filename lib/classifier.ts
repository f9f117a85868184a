// For the declarations: a consumer whose `lib` is older would not know Symbol.asyncDispose.
/// <reference lib="esnext.disposable" preserve="true" />
import { untilAborted } from './abort'
import { openAddon, openBinding } from './binding'
import { runCall, streamCall } from './call'
import type { Checkpoint } from './checkpoint'
import { toClassification } from './classification'
import { ElectraError } from './errors'
import { Health } from './health'
import { failureOf, openSource, weightsOf } from './open-model'
import {
  checkCallOptions,
  checkClassifyOptions,
  checkCloseOptions,
  checkInput,
  checkIterable,
  checkLoadOptions,
  checkRows,
  type ClassifySettings,
  type LoadSettings,
} from './options'
import { whyNoPairs } from './pairs'
import { loadReplicas, shareOut, type Replicas } from './replicas'
import { MAX_BATCH_TOKENS, Scheduler } from './scheduler'
import { Stats, traced } from './stats'
import { TextScorer } from './text-scorer'
import type { Tokenizer } from './tokenizer'
import type {
  CallOptions,
  Classification,
  ClassifierInfo,
  ClassifierStats,
  ClassifyOptions,
  CloseOptions,
  LoadOptions,
  ModelConfig,
  PairTokenization,
  TextInput,
  TextPair,
  Tokenization,
  TokenRow,
} from './types'

/** Labels of the model that ships with the package. */
export type ShippedLabel = 'negative' | 'neutral' | 'positive'

/**
 * A loaded model that classifies text. Scoring runs in native code on threads of its own, so the event loop
 * stays free; concurrent calls share batches.
 *
 * `Label` makes `label` and the keys of `scores` exact.
 *
 * @example
 * ```ts
 * import { ElectraClassifier } from 'electra-classifier'
 *
 * const classifier = await ElectraClassifier.load()
 * const { label, score } = await classifier.classify('I love this restaurant!')
 * console.log(label, score) // positive 0.98…
 * await classifier.close()
 * ```
 */
export class ElectraClassifier<Label extends string = string> {
  /** Names of the logits, in order. */
  readonly labels: readonly Label[]
  /** The model's `config.json`. */
  readonly config: ModelConfig
  /** Where it runs: `'cpu'` or `'cuda:N'`. */
  readonly device: string
  /** Engine, dtype, threads, memory, and why they were chosen. */
  readonly info: ClassifierInfo

  readonly #model: Replicas
  readonly #tokenizer: Tokenizer
  /** Of each replica: a batch that failed is followed by one on the same card. */
  readonly #healths: readonly Health[]
  readonly #scheduler: Scheduler
  readonly #scorer: TextScorer<Label>
  readonly #max_length: number
  /** How many token types the engine tells apart. */
  readonly #token_types: number
  /** Why pairs are refused; undefined where they are taken. */
  readonly #no_pairs: string | undefined

  private constructor(
    checkpoint: Checkpoint,
    model: Replicas,
    info: Omit<ClassifierInfo, 'score_function' | 'takes_pairs'>,
    settings: LoadSettings,
  ) {
    this.#token_types = info.engine === 'script' ? 1 : checkpoint.token_types
    this.#no_pairs = whyNoPairs(info.engine, checkpoint.tokenizer.pair, this.#token_types)
    this.labels = Object.freeze(checkpoint.labels as Label[])
    this.config = deepFreeze(checkpoint.config)
    this.device = model.info.device
    this.info = deepFreeze({
      ...info,
      score_function: checkpoint.score_function,
      takes_pairs: this.#no_pairs === undefined,
    })
    this.#model = model
    this.#tokenizer = checkpoint.tokenizer
    this.#max_length = checkpoint.max_length
    const max_batch_tokens =
      settings.max_batch_tokens ?? MAX_BATCH_TOKENS[this.device === 'cpu' ? 'cpu' : 'cuda']
    this.#healths = model.models.map(
      (each) =>
        new Health(each, settings.watchdog_ms, (reason) => {
          this.#scheduler.close(reason)
        }),
    )
    this.#scheduler = new Scheduler(
      shareOut(this.#healths.map(({ forward }) => forward)),
      {
        max_batch_tokens,
        max_queue_tokens: settings.max_queue_tokens,
        mixes_lengths: info.mixes_lengths,
        lanes: model.models.length,
      },
      new Stats(max_batch_tokens),
    )
    const { labels, info: facts } = this
    this.#scorer = new TextScorer(this.#tokenizer, this.#scheduler, (logits, num_tokens, truncated) =>
      toClassification(labels, logits, num_tokens, truncated, facts.score_function),
    )
  }

  /**
   * Loads the model that ships with the package: small, for trying out, offline.
   *
   * @throws {@link ElectraError} `BINDING_NOT_FOUND`, `LIBTORCH_NOT_FOUND`, `LIBTORCH_MISMATCH`,
   *   `DEVICE_UNAVAILABLE`, `MODEL_LOAD_FAILED`, `OUT_OF_MEMORY`
   * @example
   * ```ts
   * const classifier = await ElectraClassifier.load()
   * ```
   */
  static load(source?: undefined, options?: LoadOptions): Promise<ElectraClassifier<ShippedLabel>>
  /**
   * Loads a model from disk, or from the hub.
   *
   * @param source a folder in Hugging Face layout (`config.json`, `model.safetensors`, `tokenizer.json` or
   *   `vocab.txt`), or a TorchScript archive (`.pt`) whose `forward(input_ids, attention_mask)` gives logits,
   *   with config and tokenizer inside it or beside it; or, where there is no such path, a hub id (`org/name`,
   *   or `org/name/file.pt` for an archive), which is downloaded once into the cache that Python uses.
   *   Archives can run any TorchScript operator: load only those you trust.
   * @throws {@link ElectraError} as above, and `CHECKPOINT_NOT_FOUND`, `CHECKPOINT_INVALID`,
   *   `HUB_UNREACHABLE`, `HUB_DENIED`, `DOWNLOAD_FAILED`
   * @throws TypeError, RangeError for a wrong argument; a `.pt` on the hub without `trust: 'archive'` is one
   * @throws the signal's reason, when it aborts
   * @example
   * ```ts
   * const classifier = await ElectraClassifier.load<'no' | 'yes'>('models/my-electra', { threads: 2 })
   * const large = await ElectraClassifier.load('jbeno/electra-large-classifier-sentiment', {
   *   on_progress: ({ file, loaded, total }) => console.log(file, loaded / total),
   * })
   * ```
   */
  static load<Label extends string = string>(
    source: string,
    options?: LoadOptions,
  ): Promise<ElectraClassifier<Label>>
  static async load(source?: string, options: LoadOptions = {}): Promise<ElectraClassifier> {
    const settings = checkLoadOptions(source, options)
    const addon = openAddon()
    try {
      // Side by side: libtorch opens on a thread while the tokenizer is read on this one.
      const opening = openBinding(settings.libtorch)
      const [binding, { checkpoint, notes: source_notes }] = await Promise.all([
        opening,
        openSource(source, settings, opening),
      ])
      const cpu = addon.cpuInfo()
      const threads = settings.threads ?? cpu.threads
      const { devices, dtype: asked, signal, warmup, graph_buckets } = settings
      signal?.throwIfAborted()
      const spec = {
        ...{ ...weightsOf(checkpoint), dtype: asked, threads, warmup },
        // Of larger batches graphs would take much memory and save little.
        max_batch_tokens: Math.min(settings.max_batch_tokens ?? Infinity, MAX_BATCH_TOKENS.cuda),
        ...(graph_buckets && { graph_buckets }),
      }
      const loading = loadReplicas((device) => addon.Model.load({ ...spec, device }), devices)
      const model = await untilAborted(signal, () => loading).catch((error: unknown) => {
        // What was aborted is loaded to its end all the same, and freed then.
        loading.then(
          (late) => late.close(),
          () => undefined,
        )
        throw error
      })
      const { engine, dtype, memory, mixes_lengths, notes } = model.info
      const info = {
        source: checkpoint.source,
        engine,
        dtype,
        threads: model.info.threads,
        threads_rule: settings.threads === undefined ? cpu.rule : ('option' as const),
        memory,
        torch_version: binding.core.torch_version,
        libtorch: binding.libtorch.folder,
        mixes_lengths,
        notes: [...source_notes, ...notes],
      }
      return new ElectraClassifier(checkpoint, model, info, settings)
    } catch (error) {
      throw failureOf(error, settings.signal)
    }
  }

  /**
   * False once the model can score nothing any more: a batch hung, or the engine fails on every text; of several replicas
   * one is enough. Calls reject with `UNHEALTHY` then; close it and load a new one. A readiness probe should ask.
   *
   * @example
   * ```ts
   * app.get('/ready', (_, reply) => reply.code(classifier.healthy ? 200 : 503).send())
   * ```
   */
  get healthy(): boolean {
    return this.#healths.every(({ healthy }) => healthy)
  }

  /**
   * Classifies one text, or a pair of texts for a model that was tuned on pairs.
   *
   * @param text any string, the empty one is scored as `[CLS] [SEP]`; or a {@link TextPair}, which is scored as one row
   *   whose second text has token type 1
   * @throws {@link ElectraError} `INPUT_TOO_LONG`, `FORWARD_FAILED`, `OUT_OF_MEMORY`, `UNHEALTHY`, `CLOSED`
   * @throws TypeError where `text` is neither, the model takes no pairs, or an option has the wrong type
   * @throws RangeError where `text` is longer than `max_text_chars` or an option is out of range
   * @throws the signal's reason, when it aborts
   * @example
   * ```ts
   * const { label } = await classifier.classify('Great food, slow service.', { signal: request.signal })
   * const { scores } = await reranker.classify({ text: query, text_pair: passage })
   * ```
   */
  classify(text: TextInput, options?: ClassifyOptions): Promise<Classification<Label>>
  /**
   * Classifies texts; results come in their order. Those of like length share batches. One bad text (too
   * long with `long_text: 'error'`, say) rejects the whole call.
   *
   * @param texts any number of them, pairs among them or not; an empty array gives `[]`
   * @example
   * ```ts
   * const results = await classifier.classify(['Good.', 'Bad.'])
   * console.log(results.map(({ label }) => label)) // [ 'positive', 'negative' ]
   * ```
   */
  classify(texts: readonly TextInput[], options?: ClassifyOptions): Promise<Classification<Label>[]>
  async classify(
    input: TextInput | readonly TextInput[],
    options: ClassifyOptions = {},
  ): Promise<Classification<Label> | Classification<Label>[]> {
    const settings = checkClassifyOptions(options, this.#max_length)
    const { priority } = settings
    if (!Array.isArray(input)) {
      const text = this.#check(input, 'text', settings)
      return traced({ method: 'classify', texts: 1, priority }, () =>
        runCall(
          this.#scheduler,
          settings,
          async (call) => (await this.#scorer.start(text, settings, call)).result,
        ),
      )
    }
    // A copy, so that the caller may reuse the array at once.
    const texts = Array.from<unknown, TextInput>(input, (text, index) =>
      this.#checkOne(text, index, settings),
    )
    return traced({ method: 'classify', texts: texts.length, priority }, async () => {
      const results: Classification<Label>[] = []
      for await (const result of this.#stream(texts, settings, true)) results.push(result)
      return results
    })
  }

  /**
   * Classifies texts as they come, in order, with bounded memory: it reads ahead only a few batches' worth of
   * tokens.
   *
   * @param texts an iterable or async iterable of strings, such as the lines of a file, or of pairs of texts
   * @returns results in the order of the texts; breaking out of the loop closes the source
   * @throws as {@link ElectraClassifier.classify}, from the loop, after the results before it
   * @example
   * ```ts
   * import { createInterface } from 'node:readline'
   * for await (const { label } of classifier.classifyStream(createInterface({ input: process.stdin }))) {
   *   console.log(label)
   * }
   * ```
   */
  classifyStream(
    texts: AsyncIterable<TextInput> | Iterable<TextInput>,
    options: ClassifyOptions = {},
  ): AsyncGenerator<Classification<Label>, void, undefined> {
    const settings = checkClassifyOptions(options, this.#max_length)
    checkIterable(texts)
    return this.#stream(texts, settings, false)
  }

  /**
   * A text or a pair of texts as the model sees it, whole: never truncated. Runs on the calling thread, about
   * 10 µs for a sentence.
   *
   * @example
   * ```ts
   * classifier.tokenize('Nice!') // { ids: [101, 3835, 999, 102], tokens: ['[CLS]', 'nice', '!', '[SEP]'] }
   * classifier.tokenize({ text: 'Nice!', text_pair: 'Good.' }).token_type_ids // [0, 0, 0, 0, 1, 1, 1]
   * ```
   */
  tokenize(text: string): Tokenization
  /**
   * A pair of texts as the model sees it, with the token type of each id.
   *
   * @throws TypeError where the model takes no pairs
   */
  tokenize(pair: TextPair): PairTokenization
  tokenize(text: TextInput): Tokenization | PairTokenization {
    const settings = checkClassifyOptions({}, this.#max_length)
    return this.#tokenizer.tokenize(this.#check(text, 'text', settings))
  }

  /**
   * Logits for rows of token ids, for a pipeline of one's own. Rows share batches with everything else that
   * waits; nothing is added to them, so they should begin with `[CLS]` and end with `[SEP]`.
   *
   * @param rows each 1 to `config.max_position_embeddings` ids below `config.vocab_size`, by themselves or as
   *   `{ ids, token_type_ids }`, the way {@link ElectraClassifier.tokenize} gives a pair
   * @returns as many rows of `labels.length` logits
   * @throws TypeError, RangeError for rows of another shape or ids out of range
   * @example
   * ```ts
   * const [logits] = await classifier.forward([classifier.tokenize('Nice!').ids])
   * const [of_pair] = await classifier.forward([classifier.tokenize({ text: 'Nice!', text_pair: 'Good.' })])
   * ```
   */
  async forward(
    rows: readonly (readonly number[] | Int32Array | TokenRow)[],
    options: CallOptions = {},
  ): Promise<number[][]> {
    const settings = checkCallOptions(options)
    const checked = checkRows(rows, {
      max_length: this.#max_length,
      vocab_size: this.config.vocab_size,
      token_types: this.#token_types,
    })
    return traced({ method: 'forward', texts: checked.length, priority: settings.priority }, () =>
      runCall(this.#scheduler, settings, (call) =>
        Promise.all(checked.map(async (row) => Array.from(await this.#scheduler.submit(row, call)))),
      ),
    )
  }

  /**
   * What waits, what was done, and how long it took: of the last 30 to 60 seconds, where it is not a count. Each batch is
   * also published on the `diagnostics_channel` `electra-classifier:batch` ({@link BatchMessage}), and each call of
   * `classify` and `forward` on the tracing channel `electra-classifier:call` ({@link CallMessage}).
   *
   * @example
   * ```ts
   * const { queued_tokens, texts_per_second, latency } = classifier.stats()
   * console.log(queued_tokens, texts_per_second, latency.total.p99_ms)
   * ```
   */
  stats(): ClassifierStats {
    return this.#scheduler.stats()
  }

  /**
   * Finishes the batch that runs, rejects what waits with `CLOSED`, and frees the weights. Later calls of
   * anything but `close` reject with `CLOSED`; closing twice is fine, and ends a drain.
   *
   * @param options `drain: true` finishes the calls that have begun before that; a stream reads no further, and ends with
   *   `CLOSED` after the results of what it has read
   * @example
   * ```ts
   * process.once('SIGTERM', () => void classifier.close({ drain: true }))
   * ```
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const { drain } = checkCloseOptions(options)
    const reason = new ElectraError('CLOSED', 'The classifier was closed; load a new one to go on scoring.')
    if (drain) await this.#scheduler.drain(reason)
    this.#scheduler.close(reason)
    await this.#model.close()
  }

  /**
   * The same as {@link ElectraClassifier.close}, for `await using`.
   *
   * @example
   * ```ts
   * await using classifier = await ElectraClassifier.load()
   * ```
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #check(input: unknown, name: string, settings: ClassifySettings): TextInput {
    return checkInput(input, name, settings, this.#no_pairs)
  }

  /** One of many: most are strings that are short enough, and cost no more than seeing that. */
  #checkOne(input: unknown, index: number, settings: ClassifySettings): TextInput {
    if (typeof input === 'string' && input.length <= settings.max_text_chars) return input
    return this.#check(input, `texts[${index}]`, settings)
  }

  #stream(
    texts: AsyncIterable<TextInput> | Iterable<TextInput>,
    settings: ClassifySettings,
    finite: boolean,
  ): AsyncGenerator<Classification<Label>, void, undefined> {
    let index = 0
    return streamCall(this.#scheduler, settings, finite, texts, (text, call) =>
      this.#scorer.start(this.#checkOne(text, index++, settings), settings, call),
    )
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(deepFreeze)
  }
  return value
}
