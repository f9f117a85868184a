import assert from 'node:assert/strict'
import { parse } from 'csv-parse/sync'
import { writerOf } from '../../lib/cli/output'
import { clock } from '../../lib/cli/progress'
import { fit, onOneLine, widthOf } from '../../lib/text-width'
import type { Classification } from '../../lib/types'

const LABELS = ['no', 'maybe', 'yes']
const RESULT: Classification = {
  label: 'yes',
  score: 0.7,
  scores: { no: 0.1, maybe: 0.2, yes: 0.7 },
  logits: [-1, 0, 1.5],
  num_tokens: 5,
  truncated: false,
}
const noTerminal = (): undefined => undefined

describe('a table', () => {
  it('begins with the label, in columns of one width', () => {
    const { head, line } = writerOf('table', LABELS, undefined, noTerminal)
    assert.equal(head, '')
    assert.equal(line('Fine.', RESULT), 'yes    0.7000  Fine.\n')
    assert.equal(
      line('Hm.', { ...RESULT, scores: { no: 0.1, maybe: 0.8, yes: 0.1 } }),
      'maybe  0.8000  Hm.\n',
    )
    assert.equal(line('', RESULT), 'yes    0.7000\n')
  })

  it('shows as many labels as asked for, the best one first', () => {
    const { line } = writerOf('table', LABELS, 2, noTerminal)
    assert.equal(line('Fine.', RESULT), 'yes    0.7000  maybe  0.2000  Fine.\n')
  })

  it('cuts a text to the terminal, and nothing where there is none', () => {
    const long = 'word '.repeat(40).trim()
    assert.equal(
      writerOf('table', LABELS, undefined, noTerminal).line(long, RESULT),
      `yes    0.7000  ${long}\n`,
    )
    const cut = writerOf('table', LABELS, undefined, () => 40).line(long, RESULT)
    assert.equal(cut, 'yes    0.7000  word word word word word…\n')
    assert.equal(widthOf(cut.trimEnd()), 40)
  })

  it('keeps a text on its line, whatever is in it', () => {
    const { line } = writerOf('table', LABELS, undefined, noTerminal)
    assert.equal(line('a\r\nb\t\u001b[31mc\u0007 \u2028d\u202E', RESULT), 'yes    0.7000  a b [31mc d\n')
  })
})

describe('JSON', () => {
  it('is one object a line with every fact', () => {
    const { head, line } = writerOf('json', LABELS, undefined, noTerminal)
    assert.equal(head, '')
    const printed = line('a\n"b"', RESULT)
    assert.equal(printed.indexOf('\n'), printed.length - 1)
    assert.deepEqual(JSON.parse(printed), { text: 'a\n"b"', ...RESULT })
    assert.deepEqual(Object.keys(JSON.parse(printed) as object), [
      ...['text', 'label', 'score', 'scores', 'logits', 'num_tokens', 'truncated'],
    ])
  })

  it('limits the scores, not the logits', () => {
    const printed = JSON.parse(writerOf('json', LABELS, 2, noTerminal).line('x', RESULT)) as Classification
    assert.deepEqual(Object.entries(printed.scores), [
      ['yes', 0.7],
      ['maybe', 0.2],
    ])
    assert.deepEqual(printed.logits, RESULT.logits)
  })
})

describe('CSV', () => {
  it('has a column for each label, and reads back as it was', () => {
    const { head, line } = writerOf('csv', ['no', 'may,be', 'yes'], undefined, noTerminal)
    const result = { ...RESULT, scores: { no: 0.1, 'may,be': 0.2, yes: 0.7 } }
    const texts = ['plain', '', 'a "b", c', 'two\nlines', 'two\r\nlines', ' blanks ']
    const printed = head + texts.map((text) => line(text, result)).join('')
    const [header, ...rows] = parse(printed)
    assert.deepEqual(header, ['text', 'label', 'score', 'no', 'may,be', 'yes', 'num_tokens', 'truncated'])
    assert.deepEqual(
      rows,
      texts.map((text) => [text, 'yes', '0.7', '0.1', '0.2', '0.7', '5', 'false']),
    )
  })

  it('leaves cells empty beyond the labels asked for', () => {
    assert.equal(writerOf('csv', LABELS, 1, noTerminal).line('x', RESULT), 'x,yes,0.7,,,0.7,5,false\n')
  })
})

describe('pairs', () => {
  const pair = { text: 'Is it "good"?', text_pair: 'No,\nit is not.' }

  it('stand side by side in a table, and share what room there is', () => {
    const line = (columns: number | undefined, input = pair): string =>
      writerOf('table', LABELS, undefined, () => columns, true).line(input, RESULT)
    assert.equal(line(undefined), 'yes    0.7000  Is it "good"? | No, it is not.\n')
    assert.equal(line(200), line(undefined))
    assert.equal(line(36), 'yes    0.7000  Is it "g… | No, it i…\n')
    assert.equal(
      line(36, { text: 'Hm', text_pair: 'word '.repeat(9) }),
      'yes    0.7000  Hm | word word word …\n',
    )
    assert.equal(
      line(36, { text: 'word '.repeat(9), text_pair: 'Hm' }),
      'yes    0.7000  word word word … | Hm\n',
    )
  })

  it('have a key or a column each', () => {
    const json = writerOf('json', LABELS, undefined, noTerminal, true).line(pair, RESULT)
    assert.deepEqual(JSON.parse(json), { ...pair, ...RESULT })
    const { head, line } = writerOf('csv', LABELS, undefined, noTerminal, true)
    assert.deepEqual(parse(head + line(pair, RESULT)), [
      ['text', 'text_pair', 'label', 'score', 'no', 'maybe', 'yes', 'num_tokens', 'truncated'],
      [pair.text, pair.text_pair, 'yes', '0.7', '0.1', '0.2', '0.7', '5', 'false'],
    ])
  })
})

describe('a score that is no probability', () => {
  it('is printed as it is', () => {
    const { line } = writerOf('table', ['stars'], undefined, () => 34)
    const result = { ...RESULT, label: 'stars', score: -12.5, scores: { stars: -12.5 } }
    assert.equal(line('word '.repeat(9), result), 'stars  -12.5000  word word word w…\n')
  })
})

describe('the width of a text', () => {
  it('counts two cells for wide characters and none for marks', () => {
    const widths: [string, number][] = [
      ['abc', 3],
      ['naïve', 5],
      ['e\u0301', 1],
      ['日本語', 6],
      ['한국', 4],
      ['ｶﾅ', 2],
      ['カナ', 4],
      ['（）', 4],
      ['👍🏽', 2],
      ['👨‍👩‍👧', 2],
      ['🇩🇪', 2],
      ['\u200B', 0],
    ]
    for (const [text, width] of widths) assert.equal(widthOf(text), width, text)
  })

  it('fits within any width without cutting a character', () => {
    assert.equal(fit('日本語', 6), '日本語')
    assert.equal(fit('日本語', 5), '日本…')
    assert.equal(fit('日本語', 4), '日…')
    assert.equal(fit('a👍🏽b', 3), 'a…')
    for (const text of ['hello world', '日本語テキスト', 'e\u0301'.repeat(9), '👨‍👩‍👧👍🏽x']) {
      for (let width = 1; width < 16; width++)
        assert.ok(widthOf(fit(text, width)) <= width, `${text} in ${width}`)
    }
  })

  it('keeps letters that join, and drops what would reorder a line', () => {
    assert.equal(onOneLine('  می‌خواهم \u2067x\u2069 '), 'می‌خواهم x')
  })
})

describe('remaining time', () => {
  it('is minutes and seconds, and hours where there are some', () => {
    assert.deepEqual([0, 8.2, 60, 754, 3723].map(clock), ['0:00', '0:09', '1:00', '12:34', '1:02:03'])
  })
})
