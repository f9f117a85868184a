import { ElectraError } from './errors'
import { specialTokens, type PairTemplate } from './pairs'
import type { WordPieceSpec } from './wordpiece'

/** Contents of a model's tokenizer files, as far as it has them; `tokenizer_json` wins over `vocab_txt`. */
export interface TokenizerFiles {
  tokenizer_json?: string
  vocab_txt?: string
  tokenizer_config?: string
}

/** What the files describe: a BERT tokenizer, or something else that is left to `@huggingface/tokenizers`. */
export type TokenizerDefinition = (
  { kind: 'wordpiece'; spec: WordPieceSpec } | { kind: 'other'; tokenizer: JsonObject; config: JsonObject }
) & {
  /** How two texts make one row; undefined where that is not said in a way that is supported. */
  pair: PairTemplate | undefined
}

type JsonObject = Record<string, unknown>

/** Marks are ordered in time that grows with the square of a word's length, so its limit needs one. */
const LONGEST_WORD = 1000

/** @throws ElectraError `CHECKPOINT_INVALID` where a file is damaged, or none describes a tokenizer */
export function readTokenizerFiles(files: TokenizerFiles): TokenizerDefinition {
  const config =
    files.tokenizer_config === undefined ? {} : parse(files.tokenizer_config, 'tokenizer_config.json')
  if (files.tokenizer_json !== undefined) {
    return define(parse(files.tokenizer_json, 'tokenizer.json'), config, 'tokenizer.json')
  }
  if (files.vocab_txt !== undefined)
    return define(fromVocabulary(files.vocab_txt, config), config, 'vocab.txt')
  throw damaged(
    'the model has neither a tokenizer.json nor a vocab.txt; one of them must lie beside its weights',
  )
}

function define(tokenizer: JsonObject, config: JsonObject, file: string): TokenizerDefinition {
  const { model, normalizer, pre_tokenizer } = tokenizer
  if (!isObject(model)) throw damaged(`${file} has no model section`)
  const template = readTemplate(tokenizer.post_processor, file)
  const pair = template?.pair
  const added = readAddedTokens(tokenizer.added_tokens, file)
  // A model section without a type is what the first versions wrote; this field is WordPiece's alone.
  const is_wordpiece =
    model.type === 'WordPiece' || (model.type === undefined && 'max_input_chars_per_word' in model)
  if (
    !is_wordpiece ||
    !isObject(normalizer) ||
    normalizer.type !== 'BertNormalizer' ||
    !isObject(pre_tokenizer) ||
    pre_tokenizer.type !== 'BertPreTokenizer' ||
    template === undefined ||
    !added.every(isPlain)
  ) {
    return { kind: 'other', tokenizer, config, pair }
  }

  const max_input_chars_per_word = readId(model.max_input_chars_per_word, `${file}: max_input_chars_per_word`)
  if (max_input_chars_per_word < 1 || max_input_chars_per_word > LONGEST_WORD) {
    return { kind: 'other', tokenizer, config, pair }
  }
  const vocab = readVocabulary(model.vocab, file)
  const added_tokens = placeAddedTokens(added, vocab, file)
  const idOf = (token: string) => added_tokens.get(token) ?? vocab.get(token)
  for (const { token, id } of template.placed) {
    if (idOf(token) !== id) {
      throw damaged(`${file} puts ${token} with id ${id} around a text, and its vocabulary says otherwise`)
    }
  }
  const unk_token = readString(model.unk_token, `${file}: unk_token`)
  const unk_id = vocab.get(unk_token)
  if (unk_id === undefined) throw damaged(`${file}: the vocabulary has no ${unk_token}`)
  const lowercase = readBoolean(normalizer.lowercase, `${file}: lowercase`)
  if (typeof config.do_lower_case === 'boolean' && config.do_lower_case !== lowercase) {
    // Python's libraries do not agree on which of the two holds, so neither is picked silently.
    throw damaged(`${file} and tokenizer_config.json disagree on whether text is put in lower case`)
  }
  return {
    kind: 'wordpiece',
    pair,
    spec: {
      vocab,
      added_tokens,
      cls_id: template.cls_id,
      sep_id: template.sep_id,
      unk_id,
      continuing_subword_prefix: readString(
        model.continuing_subword_prefix,
        `${file}: continuing_subword_prefix`,
      ),
      max_input_chars_per_word,
      clean_text: readBoolean(normalizer.clean_text, `${file}: clean_text`),
      handle_chinese_chars: readBoolean(normalizer.handle_chinese_chars, `${file}: handle_chinese_chars`),
      strip_accents: readBoolean(normalizer.strip_accents ?? lowercase, `${file}: strip_accents`),
      lowercase,
    },
  }
}

/** The tokenizer.json that a vocab.txt stands for. */
function fromVocabulary(text: string, config: JsonObject): JsonObject {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const vocab = new Map(lines.map((line, index) => [trimEnd(line), index]))
  const special = (name: string) => {
    const token = config[`${name}_token`] ?? `[${name.toUpperCase()}]`
    if (typeof token === 'string') return { content: token }
    if (isObject(token) && typeof token.content === 'string') return { ...token, content: token.content }
    throw damaged(`tokenizer_config.json: ${name}_token must be a string`)
  }
  const tokens = ['pad', 'unk', 'cls', 'sep', 'mask'].map(special)
  const required = (name: string) => {
    const { content } = special(name)
    const id = vocab.get(content)
    if (id === undefined) throw damaged(`vocab.txt has no ${content}`)
    return [content, id]
  }
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  const added_tokens = new Map<unknown, JsonObject>()
  for (const token of tokens) {
    const id = vocab.get(token.content)
    if (id !== undefined) added_tokens.set(token.content, { ...plain, ...token, id })
  }
  for (const [id, token] of Object.entries(config.added_tokens_decoder ?? {})) {
    if (!isObject(token)) throw damaged(`tokenizer_config.json: added token ${id} is not an object`)
    added_tokens.set(token.content, { ...token, id: Number(id) })
  }
  return {
    added_tokens: [...added_tokens.values()],
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars ?? true,
      strip_accents: config.strip_accents,
      lowercase: config.do_lower_case ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', cls: required('cls'), sep: required('sep') },
    model: {
      type: 'WordPiece',
      unk_token: required('unk')[0],
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab),
    },
  }
}

/** What a post-processor puts around a text, and around two. */
interface Template {
  cls_id: number
  sep_id: number
  pair: PairTemplate | undefined
  /** Every special token that it names, with the id it gives it. */
  placed: { token: string; id: number }[]
}

/** Rows have at least three tokens, and a pair's special tokens must fit even there. */
const MOST_SPECIAL_TOKENS = 3

/** The template, where a post-processor puts one token before a text and one after it. */
function readTemplate(processor: unknown, file: string): Template | undefined {
  if (!isObject(processor)) return undefined
  const placed: Template['placed'] = []
  if (processor.type === 'BertProcessing') {
    const [cls_id, sep_id] = [processor.cls, processor.sep].map((entry: unknown) => {
      const [token, id] = Array.isArray(entry) ? (entry as unknown[]) : []
      if (typeof token !== 'string' || !isId(id)) return undefined
      placed.push({ token, id })
      return id
    })
    if (cls_id === undefined || sep_id === undefined) return undefined
    const [first, second] = ['first', 'second'] as const
    const pair = [cls_id, first, sep_id].map((part) => ({ part, token_type: 0 }))
    return {
      cls_id,
      sep_id,
      pair: [...pair, ...[second, sep_id].map((part) => ({ part, token_type: 1 }))],
      placed,
    }
  }
  if (processor.type !== 'TemplateProcessing') return undefined
  const single = readPieces(processor.single, processor.special_tokens, placed)
  const [cls, text, sep, ...more] = single ?? []
  if (typeof cls?.part !== 'number' || text?.part !== 'first' || typeof sep?.part !== 'number' || more.length)
    return undefined
  if (single?.some(({ token_type }) => token_type !== 0)) {
    throw damaged(
      `${file} gives the tokens of a single text other token types than 0, which is not supported`,
    )
  }
  const pair = readPieces(processor.pair, processor.special_tokens, placed)
  const texts = pair?.map(({ part }) => part).filter((part) => typeof part !== 'number')
  const is_supported =
    pair && texts?.sort().join() === 'first,second' && specialTokens(pair) <= MOST_SPECIAL_TOKENS
  return { cls_id: cls.part, sep_id: sep.part, pair: is_supported ? pair : undefined, placed }
}

/** The pieces of a template, whose special tokens are added to `placed`; undefined where there is something else. */
function readPieces(
  pieces: unknown,
  special_tokens: unknown,
  placed: Template['placed'],
): PairTemplate | undefined {
  if (!Array.isArray(pieces) || !isObject(special_tokens)) return undefined
  const found: PairTemplate[number][] = []
  for (const piece of pieces as unknown[]) {
    const { Sequence: sequence, SpecialToken: special } = isObject(piece) ? piece : {}
    const given = isObject(sequence) ? sequence : special
    if (!isObject(given) || !isId(given.type_id)) return undefined
    const { id: name, type_id: token_type } = given
    if (given === sequence) {
      if (name !== 'A' && name !== 'B') return undefined
      found.push({ part: name === 'A' ? 'first' : 'second', token_type })
      continue
    }
    const entry = typeof name === 'string' ? special_tokens[name] : undefined
    const [id, ...rest] = isObject(entry) && Array.isArray(entry.ids) ? (entry.ids as unknown[]) : []
    if (typeof name !== 'string' || !isId(id) || rest.length > 0) return undefined
    placed.push({ token: name, id })
    found.push({ part: id, token_type })
  }
  return found
}

interface AddedToken {
  id: number
  content: string
  normalized: boolean
  single_word: boolean
}

function readAddedTokens(list: unknown, file: string): AddedToken[] {
  if (!Array.isArray(list ?? [])) throw damaged(`${file}: added_tokens is not a list`)
  return ((list ?? []) as unknown[]).map((token, index) => {
    const where = `${file}: added token ${index}`
    if (!isObject(token)) throw damaged(`${where} is not an object`)
    return {
      id: readId(token.id, `${where}: id`),
      content: readString(token.content, `${where}: content`),
      normalized: readBoolean(token.normalized, `${where}: normalized`),
      single_word: readBoolean(token.single_word, `${where}: single_word`),
    }
  })
}

/**
 * Whether an added token is found by its spelling in the raw text alone. `lstrip` and `rstrip` are no matter: they
 * only take white space, which gives no tokens. U+FFFD is, for it also stands for what was ill-formed.
 */
function isPlain(token: AddedToken): boolean {
  return !token.normalized && !token.single_word && !token.content.includes('\ufffd')
}

/** The reference numbers new tokens from the vocabulary's end on, so a file that says otherwise disagrees with it. */
function placeAddedTokens(
  tokens: readonly AddedToken[],
  vocab: ReadonlyMap<string, number>,
  file: string,
): Map<string, number> {
  const placed = new Map<string, number>()
  let next = vocab.size
  for (const { content, id } of tokens) {
    if (content === '' || placed.has(content)) continue
    const expected = vocab.get(content) ?? next++
    if (id !== expected) {
      throw damaged(
        `${file}: the added token ${content} has id ${id}, and by the vocabulary it is ${expected}`,
      )
    }
    placed.set(content, id)
  }
  return placed
}

function readVocabulary(value: unknown, file: string): Map<string, number> {
  if (!isObject(value)) throw damaged(`${file}: the vocabulary is not an object`)
  const vocab = new Map<string, number>()
  for (const [token, id] of Object.entries(value)) {
    if (!isId(id)) throw damaged(`${file}: the id of ${token} must be an integer from 0 on`)
    vocab.set(token, id)
  }
  return vocab
}

function parse(text: string, file: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw damaged(`${file} is not JSON`, cause)
  }
  if (!isObject(value)) throw damaged(`${file} is not a JSON object`)
  return value
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) < 0x7fffffff
}

function readId(value: unknown, what: string): number {
  if (!isId(value)) throw damaged(`${what} must be an integer from 0 on`)
  return value
}

function readString(value: unknown, what: string): string {
  if (typeof value !== 'string') throw damaged(`${what} must be a string`)
  return value
}

function readBoolean(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw damaged(`${what} must be true or false`)
  return value
}

/** As the reference trims a line of vocab.txt, where `String.prototype.trimEnd` knows another white space. */
function trimEnd(line: string): string {
  return line.replace(/[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/u, '')
}

/** A damaged or unsupported tokenizer. */
export function damaged(what: string, cause?: unknown): ElectraError {
  const message = `The model's tokenizer cannot be used: ${what}.`
  return new ElectraError('CHECKPOINT_INVALID', message, cause === undefined ? undefined : { cause })
}
