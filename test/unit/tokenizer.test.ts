import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { Tokenizer, windows } from '../../lib/tokenizer'
import { readRows as readRowsOf, readTokenizer as variant } from '../fixtures/token-rows'

const ROOT = join(__dirname, '..', '..')
const MODEL = join(ROOT, 'models', 'sentiment-minilm-l6')
const GOLDENS = join(ROOT, 'test', 'fixtures', 'tokens')
const SENTENCES = join(ROOT, '..', 'shared', 'data', 'val_with_electra_preds.csv')

const VARIANTS: Record<string, object> = {
  uncased: {},
  cased: { lowercase: false },
  accents: { strip_accents: false },
  'cased-stripped': { lowercase: false, strip_accents: true },
  raw: { clean_text: false, handle_chinese_chars: false },
}
const readRows = (name: string): number[][] => readRowsOf(join(GOLDENS, name))

const vocab_txt = readFileSync(join(MODEL, 'vocab.txt'), 'utf8')
const strange = JSON.parse(readFileSync(join(GOLDENS, 'strange.json'), 'utf8')) as string[]
const shipped = variant('model')

function assertRows(tokenizer: Tokenizer, texts: readonly string[], rows: readonly number[][]): void {
  assert.equal(texts.length, rows.length)
  texts.forEach((text, index) => {
    const { ids, truncated } = tokenizer.encode(text, Infinity)
    assert.deepEqual(Array.from(ids), rows[index], `text ${index}: ${JSON.stringify(text.slice(0, 200))}`)
    assert.equal(truncated, false)
  })
}

function run(tokenizer: Tokenizer, text: string, max_length: number) {
  const generator = tokenizer.encodeInSteps(text, max_length)
  for (let steps = 1; ; steps++) {
    const step = generator.next()
    if (step.done) return { steps, ...step.value }
  }
}

describe('tokenizer: ids equal to Python', () => {
  it('on the 5,421 sentences', function () {
    if (!existsSync(SENTENCES)) {
      console.log('      skipped: ../shared/data/val_with_electra_preds.csv is not there')
      this.skip()
    }
    const records = parse<{ sentence: string }>(readFileSync(SENTENCES), { columns: true })
    assertRows(
      shipped,
      records.map((record) => record.sentence),
      readRows('sentences.rows'),
    )
  })

  for (const file of ['model', 'odd'] as const) {
    it(`on texts of many scripts: ${file} vocabulary`, () => {
      const texts = JSON.parse(readFileSync(join(GOLDENS, 'scripts.json'), 'utf8')) as string[]
      assertRows(variant(file), texts, readRows(`scripts.${file}.rows`))
    })
  }

  for (const [name, changes] of Object.entries(VARIANTS)) {
    for (const file of ['model', 'odd'] as const) {
      it(`on strange texts: ${file} vocabulary, ${name}`, () => {
        assertRows(variant(file, changes), strange, readRows(`strange.${file}.${name}.rows`))
      })

      it(`on every code point: ${file} vocabulary, ${name}`, () => {
        const hashes = JSON.parse(readFileSync(join(GOLDENS, 'code-points.json'), 'utf8')) as Record<
          string,
          string[]
        >
        const tokenizer = variant(file, changes)
        const size = 4096
        hashes[`${file}.${name}`]?.forEach((expected, block) => {
          let text = ''
          for (let point = block * size; point < (block + 1) * size; point++) {
            const char = String.fromCodePoint(point)
            text += `a${char}b ${char} `
          }
          const { ids } = tokenizer.encode(text, Infinity)
          const hash = createHash('sha256').update(ids).digest('hex').slice(0, 8)
          assert.equal(hash, expected, `code points from U+${(block * size).toString(16)}`)
        })
        assert.equal(hashes[`${file}.${name}`]?.length, 0x110000 / size)
      })
    }
  }

  it('from a vocab.txt by itself', () => {
    assertRows(Tokenizer.fromFiles({ vocab_txt }), strange, readRows('strange.model.uncased.rows'))
  })

  it('from a vocab.txt and a tokenizer_config.json', () => {
    const cased = {
      vocab_txt,
      tokenizer_config: '{"do_lower_case": false, "unk_token": {"content": "[UNK]"}}',
    }
    assertRows(Tokenizer.fromFiles(cased), strange, readRows('strange.model.cased.rows'))
    const accents = { vocab_txt, tokenizer_config: '{"strip_accents": false}' }
    assertRows(Tokenizer.fromFiles(accents), strange, readRows('strange.model.accents.rows'))
    const joined = { vocab_txt, tokenizer_config: '{"tokenize_chinese_chars": false}' }
    assert.deepEqual(Tokenizer.fromFiles(joined).tokenize('中文').tokens, ['[CLS]', '中', '##文', '[SEP]'])
  })
})

describe('tokenizer: truncation and steps', () => {
  it('reads a prefix that gives what truncating the whole would', () => {
    const odd = variant('odd')
    for (const text of strange) {
      for (const tokenizer of [shipped, odd]) {
        const whole = Array.from(tokenizer.encode(text, Infinity).ids)
        for (const max_length of [2, 3, 4, 7, 16, 64, whole.length - 1, whole.length, whole.length + 1]) {
          if (max_length < 2) continue
          const fits = whole.length <= max_length
          const expected = fits ? whole : [...whole.slice(0, max_length - 1), ...whole.slice(-1)]
          const { ids, truncated } = tokenizer.encode(text, max_length)
          assert.deepEqual(
            Array.from(ids),
            expected,
            `${max_length} of ${JSON.stringify(text.slice(0, 200))}`,
          )
          assert.equal(truncated, !fits)
        }
      }
    }
  })

  it('gives in steps what it gives at once', () => {
    for (const text of [...strange, strange.join(' '), strange.join(' ').repeat(3)]) {
      for (const max_length of [16, 512, Infinity]) {
        const { ids, truncated } = run(shipped, text, max_length)
        assert.deepEqual({ ids, truncated }, shipped.encode(text, max_length))
      }
    }
  })

  const million: Record<string, string> = {
    'combining marks of alternating classes': '\u0301\u0316'.repeat(500_000),
    'marks that stay, of alternating classes': '\u302e\u{1d165}'.repeat(333_333),
    'one word': 'a'.repeat(1_000_000),
    'a surrogate that pairs with nothing': '\ud83d'.repeat(1_000_000),
    emoji: '😀'.repeat(500_000),
    spaces: ' '.repeat(1_000_000),
    'CJK characters': '中'.repeat(1_000_000),
    'Hangul syllables': '각'.repeat(1_000_000),
    'special tokens': '[SEP]'.repeat(200_000),
    'starts of special tokens': '[SEP'.repeat(250_000),
  }
  for (const [name, text] of Object.entries(million)) {
    it(`takes a million code units in steps of 4,096: ${name}`, () => {
      const { steps, ids } = run(shipped, text, Infinity)
      assert.ok(steps >= 1 && steps <= Math.ceil(text.length / 4096), `${steps} steps`)
      assert.deepEqual(ids, shipped.encode(text, Infinity).ids)
    })
  }

  it('reads no further than a truncated row needs', () => {
    assert.equal(run(shipped, 'good food '.repeat(100_000), 128).steps, 1)
    assert.equal(run(shipped, `${'x'.repeat(100_000)} ${'good '.repeat(1_000_000)}`, 3).steps, 25)
  })
})

describe('tokenizer: vocabulary', () => {
  it('spells the ids of the whole text', () => {
    assert.deepEqual(shipped.tokenize('An unaffable [MASK]!'), {
      ids: [101, 2019, 14477, 20961, 3468, 103, 999, 102],
      tokens: ['[CLS]', 'an', 'una', '##ffa', '##ble', '[MASK]', '!', '[SEP]'],
    })
    assert.equal(shipped.tokenize('good '.repeat(5000)).ids.length, 5002)
  })

  it('counts added tokens in its size', () => {
    assert.equal(shipped.vocab_size, 30522)
    assert.equal(Tokenizer.fromFiles({ vocab_txt }).vocab_size, 30522)
    const tokenizer_config = JSON.stringify({
      added_tokens_decoder: {
        30522: {
          content: '<new>',
          single_word: false,
          lstrip: false,
          rstrip: false,
          normalized: false,
          special: true,
        },
      },
    })
    const more = Tokenizer.fromFiles({ vocab_txt, tokenizer_config })
    assert.equal(more.vocab_size, 30523)
    assert.deepEqual(more.tokenize('a<new>b').tokens, ['[CLS]', 'a', '<new>', 'b', '[SEP]'])
  })

  it('takes the longest of the added tokens that begin at a place', () => {
    const odd = variant('odd')
    assert.deepEqual(odd.tokenize('a <odd>> <odd><od').tokens.slice(0, 4), ['<s>', 'a', '<odd>>', '<odd>'])
  })
})

describe('tokenizer: windows', () => {
  const row = (content: number) =>
    Int32Array.from([101, ...Array.from({ length: content }, (_, i) => 1000 + i), 102])

  it('leaves a row that fits as one window', () => {
    assert.deepEqual(windows(row(6), 8), [{ ids: row(6), weight: 6 }])
    assert.deepEqual(windows(row(0), 8), [{ ids: row(0), weight: 1 }])
  })

  it('advances by three quarters of the length and weighs what is new', () => {
    const found = windows(row(20), 10).map(({ ids, weight }) => [ids[1], ids.at(-2), ids.length, weight])
    assert.deepEqual(found, [
      [1000, 1007, 10, 8],
      [1007, 1014, 10, 7],
      [1014, 1019, 8, 5],
    ])
  })

  it('covers every token, whatever the lengths, and weighs each once', () => {
    for (let max_length = 3; max_length < 20; max_length++) {
      for (let content = 1; content < 60; content++) {
        const found = windows(row(content), max_length)
        const covered = new Set(found.flatMap(({ ids }) => Array.from(ids.subarray(1, -1))))
        assert.equal(covered.size, content)
        assert.equal(
          found.reduce((sum, { weight }) => sum + weight, 0),
          content,
        )
        for (const { ids, weight } of found) {
          assert.ok(ids.length <= max_length && weight >= 1)
          assert.deepEqual([ids[0], ids.at(-1)], [101, 102])
        }
      }
    }
  })
})
