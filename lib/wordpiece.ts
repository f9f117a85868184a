import {
  CJK,
  combiningRank,
  decompose,
  DECOMPOSES,
  flags,
  lower,
  LOWERS,
  NONSPACING,
  NONSTARTER,
  PUNCTUATION,
  REMOVED,
  WHITESPACE,
} from './unicode'

/** A BERT tokenizer: BertNormalizer, BertPreTokenizer, WordPiece and a `[CLS] $A [SEP]` template. */
export interface WordPieceSpec {
  vocab: ReadonlyMap<string, number>
  /** Tokens found in the raw text before anything else; none is empty. */
  added_tokens: ReadonlyMap<string, number>
  cls_id: number
  sep_id: number
  unk_id: number
  /** What a token that continues a word begins with, usually `##`. */
  continuing_subword_prefix: string
  /** Words of more code points than this, counted after normalization, are unknown. */
  max_input_chars_per_word: number
  clean_text: boolean
  handle_chinese_chars: boolean
  strip_accents: boolean
  lowercase: boolean
}

/** The two roots of the trie: tokens that begin a word, and tokens that continue one. */
const BEGINNING = 0
const CONTINUING = 1

/** Of the table: four for a node's edge, and it is half full at most. */
const NUMBERS_PER_NODE = 8
/** BERT’s vocabulary has 2.4 nodes for each token. */
const NODES_PER_TOKEN = 3

/** Vocabulary as a trie over code points. Its edges lie in one open-addressing hash table. */
class Trie {
  /** Four numbers an edge: node it leaves, code point, node it reaches (0: no edge), token there + 1 (0: none). */
  private edges_: Int32Array
  private nodes_ = 2

  /** @param nodes about how many there will be; so many have room at once */
  constructor(nodes: number) {
    this.edges_ = new Int32Array(2 ** Math.ceil(Math.log2(NUMBERS_PER_NODE * Math.max(nodes, 1024))))
  }

  insert(root: number, token: string, id: number): void {
    let node = root
    let edge = -1
    for (let at = 0; at < token.length; at++) {
      const code_point = token.codePointAt(at) ?? 0
      if (code_point > 0xffff) at++
      if (NUMBERS_PER_NODE * this.nodes_ > this.edges_.length) this.grow()
      edge = this.slot(node, code_point)
      if (this.reached(edge) === 0) {
        this.edges_[edge] = node
        this.edges_[edge + 1] = code_point
        this.edges_[edge + 2] = this.nodes_++
      }
      node = this.reached(edge)
    }
    if (edge >= 0) this.edges_[edge + 3] = id + 1
  }

  /** Where the edge from a node by a code point lies, or would lie. */
  slot(node: number, code_point: number): number {
    const mask = this.edges_.length - 1
    const hash = Math.imul(node, 0x9e3779b1) ^ Math.imul(code_point, 0x85ebca6b)
    let edge = ((hash ^ (hash >>> 15)) << 2) & mask
    while (
      this.edges_[edge + 2] !== 0 &&
      (this.edges_[edge] !== node || this.edges_[edge + 1] !== code_point)
    ) {
      edge = (edge + 4) & mask
    }
    return edge
  }

  /** The node an edge reaches; 0 where there is no such edge. */
  reached(edge: number): number {
    return this.edges_[edge + 2] ?? 0
  }

  /** The token that ends with an edge; -1 where none does. */
  token(edge: number): number {
    return (this.edges_[edge + 3] ?? 0) - 1
  }

  private grow(): void {
    const old = this.edges_
    this.edges_ = new Int32Array(old.length * 2)
    for (let edge = 0; edge < old.length; edge += 4) {
      if (old[edge + 2] === 0) continue
      const to = this.slot(old[edge] ?? 0, old[edge + 1] ?? 0)
      for (let field = 0; field < 4; field++) this.edges_[to + field] = old[edge + field] ?? 0
    }
  }
}

/** What an ASCII character asks for; every other value is the code point it adds to the word. */
const SKIP = -1
const SPLIT = -2
const ISOLATE = -3
const LOOK_CLOSER = -4

/** Equal to Python `tokenizers` id for id; see the tables that its classes come from. */
export class WordPiece {
  readonly trie: Trie
  readonly ascii = new Int16Array(128)
  /** Added tokens by their first code unit, the longest first. */
  readonly added = new Map<number, { content: string; id: number }[]>()

  constructor(readonly spec: WordPieceSpec) {
    const { vocab, added_tokens, continuing_subword_prefix: prefix } = spec
    this.trie = new Trie(NODES_PER_TOKEN * vocab.size)
    for (const [token, id] of vocab) {
      this.trie.insert(BEGINNING, token, id)
      if (token.startsWith(prefix)) this.trie.insert(CONTINUING, token.slice(prefix.length), id)
    }
    for (const [content, id] of added_tokens) {
      const first = content.charCodeAt(0)
      this.added.set(first, [...(this.added.get(first) ?? []), { content, id }])
    }
    for (const tokens of this.added.values()) tokens.sort((a, b) => b.content.length - a.content.length)
    for (let unit = 0; unit < 128; unit++) this.ascii[unit] = this.asciiAction(unit)
  }

  private asciiAction(unit: number): number {
    const bits = flags[unit] ?? 0
    if (this.added.has(unit)) return LOOK_CLOSER
    if (this.spec.clean_text && bits & REMOVED) return SKIP
    if (bits & WHITESPACE) return SPLIT
    if (bits & PUNCTUATION) return ISOLATE
    return (this.spec.lowercase && bits & LOWERS ? lower(unit)[0] : undefined) ?? unit
  }
}

/** One text on its way to ids. */
export class Scan {
  private at_ = 0
  private ids_ = new Int32Array(64)
  /** Tokens so far, `[CLS]` included. */
  private count_ = 1
  /** Code points of the word that is being read, normalized. */
  private readonly word_: Int32Array
  private length_ = 0
  /** The word has been found too long; the rest of it is passed over. */
  private unknown_ = false
  /** Marks that follow this place in the word are not ordered before it. */
  private barrier_ = 0

  /** @param max_length tokens wanted, both special ones included; reading stops where more are known to follow */
  constructor(
    private readonly wordpiece_: WordPiece,
    private readonly text_: string,
    private max_length_: number,
  ) {
    this.ids_[0] = wordpiece_.spec.cls_id
    this.word_ = new Int32Array(wordpiece_.spec.max_input_chars_per_word)
  }

  /** Reads on for that many UTF-16 code units; whether the text is done. */
  advance(units: number): boolean {
    const { text_: text, word_: word } = this
    const { ascii } = this.wordpiece_
    const stop = Math.min(text.length, this.at_ + units)
    while (this.at_ < stop && this.count_ < this.max_length_) {
      const unit = text.charCodeAt(this.at_)
      const action = unit < 128 ? (ascii[unit] ?? SKIP) : LOOK_CLOSER
      if (action >= 0) {
        if (this.length_ < word.length) word[this.length_++] = action
        else this.giveUpWord()
      } else if (action === SPLIT) {
        this.endWord()
      } else if (action === ISOLATE) {
        this.isolate(unit)
      } else if (action === LOOK_CLOSER) {
        this.at_ += this.lookCloser(unit)
        continue
      }
      this.at_++
    }
    if (this.at_ < text.length) return this.count_ >= this.max_length_
    this.endWord()
    return true
  }

  /** Wants more tokens than before: {@link advance} may go on. */
  extend(max_length: number): void {
    this.max_length_ = max_length
  }

  /** The ids so far, without special tokens; where there are more than were wanted, at least one of those. */
  content(): Int32Array {
    return this.ids_.subarray(1, this.count_)
  }

  /** The ids, once {@link advance} has said that the text is done. */
  result(): { ids: Int32Array; truncated: boolean } {
    const truncated = this.count_ + 1 > this.max_length_
    if (truncated) this.count_ = this.max_length_ - 1
    this.push(this.wordpiece_.spec.sep_id)
    return { ids: this.ids_.slice(0, this.count_), truncated }
  }

  /** Takes an added token or one code point; the code units read. */
  private lookCloser(unit: number): number {
    for (const { content, id } of this.wordpiece_.added.get(unit) ?? []) {
      if (!this.text_.startsWith(content, this.at_)) continue
      this.endWord()
      this.push(id)
      return content.length
    }
    const code_point = this.text_.codePointAt(this.at_) ?? 0
    if (code_point >= 0xd800 && code_point < 0xe000) this.normalize(0xfffd)
    else this.normalize(code_point)
    return code_point > 0xffff ? 2 : 1
  }

  private normalize(code_point: number): void {
    const { spec } = this.wordpiece_
    const bits = flags[code_point] ?? 0
    if (spec.clean_text && bits & REMOVED) return
    const alone = spec.handle_chinese_chars && bits & CJK
    if (alone) this.endWord()
    if (!spec.strip_accents) this.appendLowered(code_point)
    else if (bits & DECOMPOSES) for (const part of decompose(code_point)) this.appendStripped(part)
    else this.appendStripped(code_point)
    if (alone) this.endWord()
  }

  private appendStripped(code_point: number): void {
    const bits = flags[code_point] ?? 0
    if (!(bits & NONSPACING)) {
      if (bits & NONSTARTER) this.appendMark(code_point)
      else this.appendLowered(code_point)
    } else if (!(bits & NONSTARTER)) {
      this.barrier_ = this.length_
    }
  }

  private appendLowered(code_point: number): void {
    if (this.wordpiece_.spec.lowercase && (flags[code_point] ?? 0) & LOWERS) {
      for (const part of lower(code_point)) this.append(part)
    } else {
      this.append(code_point)
    }
  }

  private append(code_point: number): void {
    const bits = flags[code_point] ?? 0
    if (bits & WHITESPACE) this.endWord()
    else if (bits & PUNCTUATION) this.isolate(code_point)
    else if (this.length_ < this.word_.length) this.word_[this.length_++] = code_point
    else this.giveUpWord()
  }

  /** Canonical ordering: a mark goes before the marks of higher classes next to it. */
  private appendMark(code_point: number): void {
    if (this.length_ === this.word_.length) {
      this.giveUpWord()
      return
    }
    const rank = combiningRank(code_point)
    let place = this.length_++
    for (; place > this.barrier_; place--) {
      const before = this.word_[place - 1] ?? 0
      if (!((flags[before] ?? 0) & NONSTARTER) || combiningRank(before) <= rank) break
      this.word_[place] = before
    }
    this.word_[place] = code_point
  }

  private isolate(code_point: number): void {
    const { trie, spec } = this.wordpiece_
    this.endWord()
    const token = trie.token(trie.slot(BEGINNING, code_point))
    this.push(token < 0 ? spec.unk_id : token)
  }

  private giveUpWord(): void {
    if (!this.unknown_) this.push(this.wordpiece_.spec.unk_id)
    this.unknown_ = true
  }

  /** Splits the word into the longest tokens there are from left to right. */
  private endWord(): void {
    const { trie, spec } = this.wordpiece_
    const length = this.unknown_ ? 0 : this.length_
    const count = this.count_
    let root = BEGINNING
    for (let start = 0; start < length; root = CONTINUING) {
      let node = root
      let token = -1
      for (let at = start; at < length; at++) {
        const edge = trie.slot(node, this.word_[at] ?? 0)
        node = trie.reached(edge)
        if (node === 0) break
        if (trie.token(edge) < 0) continue
        token = trie.token(edge)
        start = at + 1
      }
      if (token < 0) {
        this.count_ = count
        this.push(spec.unk_id)
        break
      }
      this.push(token)
    }
    this.length_ = 0
    this.barrier_ = 0
    this.unknown_ = false
  }

  private push(id: number): void {
    if (this.count_ === this.ids_.length) {
      const grown = new Int32Array(this.count_ * 2)
      grown.set(this.ids_)
      this.ids_ = grown
    }
    this.ids_[this.count_++] = id
  }
}
