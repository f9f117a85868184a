/// <reference lib="es2024.string" />
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers'
import { joinPair, specialTokens, type PairTemplate } from './pairs'
import { damaged, readTokenizerFiles, type TokenizerFiles } from './tokenizer-files'
import type { PairTokenization, TextInput, TextPair, Tokenization } from './types'
import { Scan, WordPiece, type WordPieceSpec } from './wordpiece'

export type { TokenizerFiles } from './tokenizer-files'

/** A text, or a pair of texts, as a row of ids. */
export interface Encoding {
  /** `[CLS]` … `[SEP]` */
  ids: Int32Array
  /** As long as `ids`; a text by itself has none, for all its tokens have type 0. */
  token_type_ids?: Int32Array
  /** Whether the end of the text, or of either text of a pair, was left out. */
  truncated: boolean
}

/** A text on its way to ids. */
interface Reading {
  /** Reads on for that many UTF-16 code units, or whole where it cannot stop; whether the text is done. */
  advance(units: number): boolean
  result(): Encoding
  /** Ids without the special tokens: all, or more than fit beside two special tokens. */
  content(): Int32Array
  /** Wants more tokens than before, so that there may be more to read. */
  extend(max_length: number): void
}

interface Engine {
  vocab_size: number
  read(text: string, max_length: number): Reading
  spell(id: number): string
}

/** UTF-16 code units a step: about a millisecond at the slowest. */
const STEP = 4096

/** Text to token ids, equal to Python `tokenizers` with the same files and no truncation or padding of its own. */
export class Tokenizer {
  /** Highest id + 1, added tokens included. */
  readonly vocab_size: number

  /** @param pair how two texts make one row; undefined where the files say nothing that is supported */
  private constructor(
    private readonly engine_: Engine,
    readonly pair: PairTemplate | undefined,
  ) {
    this.vocab_size = engine_.vocab_size
  }

  /**
   * @param files what the model's tokenizer files contain
   * @throws ElectraError `CHECKPOINT_INVALID` where a file is damaged or describes what is not supported
   */
  static fromFiles(files: TokenizerFiles): Tokenizer {
    const definition = readTokenizerFiles(files)
    return new Tokenizer(
      definition.kind === 'wordpiece'
        ? wordPieceEngine(definition.spec)
        : libraryEngine(definition.tokenizer, definition.config),
      definition.pair,
    )
  }

  /**
   * @param input ill-formed UTF-16 is read as U+FFFD
   * @param max_length tokens at most, special ones included; 2 or more, 3 or more for a pair; `Infinity` for all. No
   *   more of the text is read than it needs. A pair is truncated as transformers' `longest_first` does it.
   */
  encode(input: TextInput, max_length: number): Encoding {
    if (typeof input !== 'string') return finish(this.pairInSteps(input, max_length, Infinity))
    const reading = this.engine_.read(input, max_length)
    reading.advance(Infinity)
    return reading.result()
  }

  /**
   * As {@link encode}, in steps of bounded work, after each of which the caller may give the event loop a turn.
   * A tokenizer that is not WordPiece takes the text in one step.
   */
  *encodeInSteps(input: TextInput, max_length: number): Generator<void, Encoding> {
    if (typeof input !== 'string') return yield* this.pairInSteps(input, max_length, STEP)
    const reading = this.engine_.read(input, max_length)
    while (!reading.advance(STEP)) yield
    return reading.result()
  }

  /** The ids of a whole text or pair, and the vocabulary's spelling of each. */
  tokenize(input: string): Tokenization
  tokenize(input: TextPair): PairTokenization
  tokenize(input: TextInput): Tokenization | PairTokenization
  tokenize(input: TextInput): Tokenization | PairTokenization {
    const encoding = this.encode(input, Infinity)
    const ids = Array.from(encoding.ids)
    const tokens = ids.map((id) => this.engine_.spell(id))
    if (!encoding.token_type_ids) return { ids, tokens }
    return { ids, tokens, token_type_ids: Array.from(encoding.token_type_ids) }
  }

  private *pairInSteps(pair: TextPair, max_length: number, step: number): Generator<void, Encoding> {
    if (!this.pair) throw new TypeError('The tokenizer has no template for pairs that is supported.')
    const room = max_length - specialTokens(this.pair)
    const first = this.engine_.read(pair.text, room + 2)
    const second = this.engine_.read(pair.text_pair, room + 2)
    while (!first.advance(step)) yield
    while (!second.advance(step)) yield
    // Where both are longer than the row, the longer one gets the odd token, so more must be read to know which.
    if (room % 2 === 1 && Math.min(first.content().length, second.content().length) > room) {
      first.extend(Infinity)
      while (!first.advance(step)) yield
      second.extend(first.content().length + 2)
      while (!second.advance(step)) yield
    }
    return joinPair(this.pair, first.content(), second.content(), max_length)
  }
}

/** Takes the steps of a generator at once. */
function finish<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

/**
 * Windows over a long row, each a row of its own with `[CLS]` and `[SEP]`. They advance by three quarters of
 * `max_length`, the last one ends where the text does, and each weighs as many tokens as it adds. A row that fits
 * is one window.
 *
 * @param ids the whole row
 * @param max_length tokens a window, 3 or more
 */
export function windows(ids: Int32Array, max_length: number): { ids: Int32Array; weight: number }[] {
  const content = max_length - 2
  const end = ids.length - 1
  // An empty text is one window too, and weighs something, for its logits are divided by the weights' sum.
  if (end - 1 <= content) return [{ ids, weight: Math.max(1, end - 1) }]
  const advance = Math.min(content, Math.max(1, Math.floor((max_length * 3) / 4)))
  const found: { ids: Int32Array; weight: number }[] = []
  for (let start = 1, covered = 1; covered < end; start += advance) {
    const stop = Math.min(start + content, end)
    const window = new Int32Array(stop - start + 2)
    window[0] = ids[0] ?? 0
    window.set(ids.subarray(start, stop), 1)
    window[window.length - 1] = ids[end] ?? 0
    found.push({ ids: window, weight: stop - covered })
    covered = stop
  }
  return found
}

function wordPieceEngine(spec: WordPieceSpec): Engine {
  const wordpiece = new WordPiece(spec)
  const tokens = [spec.vocab, spec.added_tokens]
  let vocab_size = 0
  for (const ids of tokens) for (const id of ids.values()) vocab_size = Math.max(vocab_size, id + 1)
  let spellings: Map<number, string> | undefined
  return {
    vocab_size,
    read: (text, max_length) => new Scan(wordpiece, text, max_length),
    spell: (id) => {
      spellings ??= new Map(tokens.flatMap((ids) => Array.from(ids, ([token, id]) => [id, token] as const)))
      return spellings.get(id) ?? ''
    },
  }
}

function libraryEngine(tokenizer: object, config: object): Engine {
  let library: LibraryTokenizer
  let around: number[]
  try {
    library = new LibraryTokenizer(tokenizer, config)
    around = library.encode('').ids
  } catch (cause) {
    throw damaged('tokenizer.json describes a tokenizer that @huggingface/tokenizers cannot read', cause)
  }
  const [first, last, ...more] = around
  if (first === undefined || last === undefined || more.length > 0) {
    throw damaged('tokenizer.json must put one special token before a text and one after it')
  }
  return {
    vocab_size: [...library.get_vocab().values()].reduce((size, id) => Math.max(size, id + 1), 0),
    read: (text, max_length) => {
      const { ids } = library.encode(text.toWellFormed())
      return {
        advance: () => true,
        extend: () => undefined,
        content: () => Int32Array.from(ids.slice(1, -1)),
        result: () => {
          if (ids.length <= max_length) return { ids: Int32Array.from(ids), truncated: false }
          return { ids: Int32Array.from([...ids.slice(0, max_length - 1), last]), truncated: true }
        },
      }
    },
    spell: (id) => library.id_to_token(id) ?? '',
  }
}
