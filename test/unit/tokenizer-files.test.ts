import assert from 'node:assert/strict'
import { ElectraError } from '../../lib/errors'
import { Tokenizer, type TokenizerFiles } from '../../lib/tokenizer'

const vocab = { '[PAD]': 0, '[UNK]': 1, '[CLS]': 2, '[SEP]': 3, good: 4, bad: 5, '##ly': 6, '!': 7 }
const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }

/** A small tokenizer.json, with some of its sections replaced. */
function definition(changes: object = {}) {
  return {
    added_tokens: [
      { id: 1, content: '[UNK]', ...plain },
      { id: 2, content: '[CLS]', ...plain },
      { id: 3, content: '[SEP]', ...plain },
    ] as object[],
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', cls: ['[CLS]', 2], sep: ['[SEP]', 3] },
    decoder: null,
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
    ...changes,
  }
}
const { model, normalizer, added_tokens } = definition()

function load(changes: object = {}, files: TokenizerFiles = {}): Tokenizer {
  return Tokenizer.fromFiles({ ...files, tokenizer_json: JSON.stringify(definition(changes)) })
}

function assertInvalid(action: () => unknown, message: RegExp): void {
  assert.throws(action, (error: unknown) => {
    assert.ok(error instanceof ElectraError)
    assert.equal(error.code, 'CHECKPOINT_INVALID')
    assert.match(error.message, message)
    assert.match(error.message, /^The model's tokenizer cannot be used: .*\.$/)
    return true
  })
}

describe('tokenizer files: what is read', () => {
  it('reads a tokenizer.json', () => {
    assert.deepEqual(load().tokenize('Goodly BAD!').tokens, ['[CLS]', 'good', '##ly', 'bad', '!', '[SEP]'])
  })

  it('takes a model section without a type, as the first versions wrote it, for WordPiece', () => {
    assert.deepEqual(load({ model: { ...model, type: undefined } }).tokenize('goodly').ids, [2, 4, 6, 3])
  })

  it('prefers tokenizer.json to vocab.txt', () => {
    assert.equal(load({}, { vocab_txt: 'a\nb' }).vocab_size, 8)
  })

  it('trims lines of vocab.txt, lets the later of two equal ones win, and needs no last newline', () => {
    const vocab_txt = '[CLS] \r\n[SEP]\n[UNK]\ngood\nbad\u3000\n\ngood'
    const tokenizer = Tokenizer.fromFiles({ vocab_txt })
    assert.deepEqual(tokenizer.tokenize('good bad ugly').ids, [0, 6, 4, 2, 1])
  })

  it('takes the names of special tokens from tokenizer_config.json', () => {
    const tokenizer = Tokenizer.fromFiles({
      vocab_txt: '<s>\n</s>\n<unk>\ngood',
      tokenizer_config: '{"cls_token": "<s>", "sep_token": {"content": "</s>"}, "unk_token": "<unk>"}',
    })
    assert.deepEqual(tokenizer.tokenize('good<s>bad').ids, [0, 3, 0, 2, 1])
  })

  it('counts the limit of a word in normalized characters', () => {
    const limited = load({ model: { ...model, max_input_chars_per_word: 4 } })
    assert.deepEqual(limited.tokenize('góód good\u0301\u0301 goodly').tokens, [
      '[CLS]',
      'good',
      'good',
      '[UNK]',
      '[SEP]',
    ])
  })
})

describe('tokenizer files: pairs', () => {
  const special_tokens = {
    '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] },
    '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] },
  }
  const special = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } })
  const sequence = (id: string, type_id: number) => ({ Sequence: { id, type_id } })
  const single = [special('[CLS]', 0), sequence('A', 0), special('[SEP]', 0)]
  const template = (pair: unknown, more: object = {}) =>
    load({ post_processor: { type: 'TemplateProcessing', single, pair, special_tokens, ...more } })
  const encode = (tokenizer: Tokenizer) => {
    const { ids, token_type_ids } = tokenizer.tokenize({ text: 'good', text_pair: 'bad !' })
    return [ids, token_type_ids]
  }
  const usual = [...single, sequence('B', 1), special('[SEP]', 1)]

  it('makes them of BertProcessing and of vocab.txt as BERT does', () => {
    const bert = [
      [2, 4, 3, 5, 7, 3],
      [0, 0, 0, 1, 1, 1],
    ]
    assert.deepEqual(encode(load()), bert)
    const vocab_txt = Object.keys(vocab).join('\n')
    assert.deepEqual(encode(Tokenizer.fromFiles({ vocab_txt })), bert)
    assert.deepEqual(encode(template(usual)), bert)
  })

  it('follows a template of another order, other types and fewer special tokens', () => {
    assert.deepEqual(
      encode(template([sequence('B', 1), special('[SEP]', 0), sequence('A', 1), special('[CLS]', 1)])),
      [
        [5, 7, 3, 4, 2],
        [1, 1, 0, 1, 1],
      ],
    )
    assert.deepEqual(encode(template([sequence('A', 0), sequence('B', 0)])), [
      [4, 5, 7],
      [0, 0, 0],
    ])
  })

  it('makes none where the template is missing or not supported', () => {
    const unsupported = [
      undefined,
      [],
      single,
      [...usual, special('[SEP]', 1)],
      [...usual.slice(0, 4), sequence('A', 1)],
      [special('[UNK]', 0), sequence('A', 0), sequence('B', 1)],
      [{ Sequence: { id: 'C', type_id: 0 } }, sequence('A', 0), sequence('B', 1)],
      [{ Sequence: { id: 'A' } }, sequence('B', 1)],
      [null, sequence('A', 0), sequence('B', 1)],
    ]
    for (const pair of unsupported) {
      const tokenizer = template(pair)
      assert.equal(tokenizer.pair, undefined, JSON.stringify(pair))
      assert.throws(() => tokenizer.encode({ text: 'a', text_pair: 'b' }, 9), TypeError)
      assert.deepEqual(tokenizer.tokenize('good').ids, [2, 4, 3])
    }
  })

  it('makes them by the library too, which has no say in the template', () => {
    const other = load({ normalizer: { type: 'Lowercase' }, pre_tokenizer: { type: 'Whitespace' } })
    const pair = { text: 'GOOD good', text_pair: 'bad bad bad' }
    assert.deepEqual(other.encode(pair, 7), {
      ids: Int32Array.of(2, 4, 4, 3, 5, 5, 3),
      token_type_ids: Int32Array.of(0, 0, 0, 0, 1, 1, 1),
      truncated: true,
    })
    assert.deepEqual(other.encodeInSteps(pair, 7).next(), { done: true, value: other.encode(pair, 7) })
  })

  it('refuses a single text of other types, and a pair whose special tokens are not the vocabulary’s', () => {
    const typed = [special('[CLS]', 1), sequence('A', 0), special('[SEP]', 0)]
    assertInvalid(() => template(usual, { single: typed }), /single text other token types than 0/)
    const wrong = { ...special_tokens, '[UNK]': { id: '[UNK]', ids: [9], tokens: ['[UNK]'] } }
    const pair = [special('[UNK]', 0), sequence('A', 0), sequence('B', 1)]
    assertInvalid(() => template(pair, { special_tokens: wrong }), /puts \[UNK\] with id 9/)
  })
})

describe('tokenizer files: other kinds go to the library', () => {
  const other = { normalizer: { type: 'Lowercase' }, pre_tokenizer: { type: 'Whitespace' } }

  it('tokenizes, truncates and takes ill-formed text', () => {
    const tokenizer = load({ ...other, model: { ...model, vocab: { ...vocab, '\ufffd': 8 } } })
    assert.equal(tokenizer.vocab_size, 9)
    assert.deepEqual(tokenizer.tokenize('GOODLY bad'), {
      ids: [2, 4, 6, 5, 3],
      tokens: ['[CLS]', 'good', '##ly', 'bad', '[SEP]'],
    })
    assert.deepEqual(tokenizer.encode('goodly bad', 4), { ids: Int32Array.of(2, 4, 6, 3), truncated: true })
    assert.deepEqual(tokenizer.encode('goodly bad', 5), {
      ids: Int32Array.of(2, 4, 6, 5, 3),
      truncated: false,
    })
    assert.deepEqual(tokenizer.tokenize('good \ud83d').ids, [2, 4, 8, 3])
    assert.deepEqual(tokenizer.encodeInSteps('bad', Infinity).next(), {
      done: true,
      value: { ids: Int32Array.of(2, 5, 3), truncated: false },
    })
  })

  it('finds added tokens that are matched after normalization', () => {
    const added = { id: 8, content: 'Very', ...plain, normalized: true, special: false }
    assert.deepEqual(load({ added_tokens: [...added_tokens, added] }).tokenize('very good').ids, [2, 8, 4, 3])
  })

  it('refuses one that does not put one token before and one after', () => {
    assertInvalid(() => load({ post_processor: null }), /one special token before a text and one after/)
  })

  it('refuses one that the library cannot read, and keeps its reason', () => {
    const unknown = () => load({ normalizer: { type: 'Oracle' } })
    assertInvalid(unknown, /@huggingface\/tokenizers cannot read/)
    assert.throws(unknown, (error: unknown) => error instanceof ElectraError && error.cause instanceof Error)
  })
})

describe('tokenizer files: what is refused', () => {
  const cases: [string, object, RegExp][] = [
    ['no model section', { model: null }, /tokenizer\.json has no model section/],
    ['a vocabulary that is a list', { model: { ...model, vocab: [] } }, /the vocabulary is not an object/],
    [
      'an id that is not one',
      { model: { ...model, vocab: { ...vocab, bad: -1 } } },
      /id of bad must be an integer/,
    ],
    [
      'an unknown token that is not there',
      { model: { ...model, unk_token: '<x>' } },
      /the vocabulary has no <x>/,
    ],
    [
      'no prefix',
      { model: { ...model, continuing_subword_prefix: 1 } },
      /continuing_subword_prefix must be a string/,
    ],
    [
      'no word limit',
      { model: { ...model, max_input_chars_per_word: 'x' } },
      /max_input_chars_per_word must be/,
    ],
    [
      'a normalizer without a case',
      { normalizer: { ...normalizer, lowercase: 1 } },
      /lowercase must be true or false/,
    ],
    ['added tokens that are no list', { added_tokens: {} }, /added_tokens is not a list/],
    ['an added token that is no object', { added_tokens: ['x'] }, /added token 0 is not an object/],
    [
      'an added token of another id',
      { added_tokens: [{ id: 7, content: 'bad', ...plain }] },
      /bad has id 7.* it is 5/,
    ],
    [
      'a gap before an added token',
      { added_tokens: [{ id: 9, content: 'new', ...plain }] },
      /new has id 9.* it is 8/,
    ],
    [
      'a template that disagrees with the vocabulary',
      { post_processor: { type: 'BertProcessing', cls: ['[CLS]', 99], sep: ['[SEP]', 3] } },
      /puts \[CLS\] with id 99/,
    ],
  ]
  for (const [name, changes, message] of cases) {
    it(name, () => {
      assertInvalid(() => load(changes), message)
    })
  }

  it('no file, or one that is not JSON', () => {
    assertInvalid(() => Tokenizer.fromFiles({}), /neither a tokenizer\.json nor a vocab\.txt/)
    assertInvalid(() => Tokenizer.fromFiles({ tokenizer_json: '{"model"' }), /tokenizer\.json is not JSON/)
    assertInvalid(() => Tokenizer.fromFiles({ tokenizer_json: '[]' }), /tokenizer\.json is not a JSON object/)
    assertInvalid(() => load({}, { tokenizer_config: '' }), /tokenizer_config\.json is not JSON/)
  })

  it('a vocab.txt without the special tokens', () => {
    assertInvalid(() => Tokenizer.fromFiles({ vocab_txt: '' }), /vocab\.txt has no \[CLS\]/)
    assertInvalid(() => Tokenizer.fromFiles({ vocab_txt: '[CLS]\n[SEP]' }), /vocab\.txt has no \[UNK\]/)
    const files = { vocab_txt: '[CLS]\n[SEP]\n[UNK]', tokenizer_config: '{"pad_token": 1}' }
    assertInvalid(() => Tokenizer.fromFiles(files), /pad_token must be a string/)
  })

  it('files that disagree on lower case', () => {
    assertInvalid(() => load({}, { tokenizer_config: '{"do_lower_case": false}' }), /disagree on whether/)
    assert.equal(load({}, { tokenizer_config: '{"do_lower_case": true}' }).vocab_size, 8)
  })
})
