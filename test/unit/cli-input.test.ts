import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InputError } from '../../lib/cli/endings'
import { fromArguments, fromFile, readRows, type Row } from '../../lib/cli/input'

type Kind = 'csv' | 'jsonl' | undefined

/** Bytes in pieces of `size`, as a slow pipe may deliver them. */
async function* pieces(content: string | Uint8Array, size = Infinity): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(content)
  const step = Math.min(size, Math.max(bytes.length, 1))
  for (let from = 0; from < bytes.length; from += step) {
    yield await Promise.resolve(bytes.subarray(from, from + step))
  }
}

async function collect(rows: AsyncIterable<Row>): Promise<string[]> {
  const texts: string[] = []
  for await (const { text } of rows) texts.push(text)
  return texts
}

function read(content: string | Uint8Array, kind?: Kind, column?: string, size?: number): Promise<string[]> {
  return collect(readRows(pieces(content, size), 'input', kind, column))
}

/** Texts before the bad row, and the message about it. */
async function readBad(
  content: string | Uint8Array,
  kind?: Kind,
  column?: string,
): Promise<[string[], string]> {
  const texts: string[] = []
  try {
    for await (const { text } of readRows(pieces(content), 'input', kind, column)) texts.push(text)
  } catch (error) {
    assert.ok(error instanceof InputError, String(error))
    return [texts, error.message]
  }
  return assert.fail('nothing was wrong with it')
}

describe('rows of plain lines', () => {
  it('takes every line, blank ones too, and no row from the last line end', async () => {
    assert.deepEqual(await read('one\n\n two \n'), ['one', '', ' two '])
    assert.deepEqual(await read('one\ntwo'), ['one', 'two'])
    assert.deepEqual(await read('\n'), [''])
    assert.deepEqual(await read(''), [])
  })

  it('takes CRLF as a line end and leaves out a byte order mark', async () => {
    assert.deepEqual(await read('\uFEFFone\r\n\r\ntwo\r\n'), ['one', '', 'two'])
  })

  it('reads the same in pieces of any size, even within a character', async () => {
    const content = '\uFEFFnaïve 日本 👍🏽\r\n\r\nlast'
    for (const size of [1, 2, 3, 7, 64]) {
      assert.deepEqual(
        await read(content, undefined, undefined, size),
        ['naïve 日本 👍🏽', '', 'last'],
        `${size}`,
      )
    }
  })

  it('makes bytes that are not UTF-8 U+FFFD, and refuses UTF-16', async () => {
    assert.deepEqual(await read(Uint8Array.of(0x61, 0xff, 0x62)), ['a\uFFFDb'])
    assert.match((await readBad(Buffer.from('\uFEFFtext', 'utf16le')))[1], /input is UTF-16.*iconv/)
  })

  it('says where the input stands after each row', async () => {
    const places: number[] = []
    for await (const { bytes } of readRows(pieces('é\r\n\nabc\n'), 'input', undefined, undefined))
      places.push(bytes)
    assert.deepEqual(places, [4, 5, 9])
  })

  it('refuses a text that is too long, and a line without end before memory is full', async () => {
    const [texts, message] = await readBad(`short\n${'x'.repeat(1_000_001)}\n`)
    assert.deepEqual(texts, ['short'])
    assert.match(message, /input, line 2 has 1000001 characters; 1000000 are allowed/)
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) yield await Promise.resolve(Buffer.alloc(1 << 20, 'x'))
    }
    await assert.rejects(
      collect(readRows(endless(), 'input', undefined, undefined)),
      /line 1 has more than 16000000/,
    )
    await assert.rejects(
      collect(readRows(endless(), 'input', 'csv', undefined)),
      /line 1 has more than 16000000/,
    )
  })
})

describe('rows of CSV', () => {
  it('takes the column named, else text, sentence, or the only one', async () => {
    assert.deepEqual(await read('a,b\n1,2\n3,4\n', 'csv', 'b'), ['2', '4'])
    assert.deepEqual(await read('sentence,text\n1,2\n', 'csv'), ['2'])
    assert.deepEqual(await read('id,sentence\n1,2\n', 'csv'), ['2'])
    assert.deepEqual(await read('whatever\n1\n\n2\n', 'csv'), ['1', '', '2'])
  })

  it('reads quotes, commas, line ends within fields, CRLF and blank lines at the end', async () => {
    const content = '\uFEFFid,text\r\n1,"a ""b"", c"\r\n2,"two\nlines"\r\n3,""\r\n\r\n\r\n'
    for (const size of [1, 4, 1000]) {
      assert.deepEqual(await read(content, 'csv', undefined, size), ['a "b", c', 'two\nlines', ''])
    }
  })

  it('lists the columns where the one wanted is missing or not named', async () => {
    assert.match(
      (await readBad('a,b\n1,2\n', 'csv', 'c'))[1],
      /input has no column "c"; its columns are a, b\./,
    )
    assert.match((await readBad('a,b\n1,2\n', 'csv'))[1], /pick one with --column: a, b\./)
    assert.match((await readBad('', 'csv'))[1], /input is empty; a CSV file begins with a header/)
  })

  it('names the line of a bad row, after giving the rows before it', async () => {
    const head = 'text,b\n"two\nlines",2\n'
    const cases: [string, RegExp][] = [
      [`${head}"a" b,3\n`, /line 4 is not CSV: something follows a closing quote/],
      [`${head}a "b",3\n`, /line 4 is not CSV: a quote stands inside a field/],
      [`${head}"never closed,3\nx,4\n`, /line 4 is not CSV: a quote opens there and is never closed/],
      [`${head}a,b,c\n`, /line 4 has 3 fields, but the header has 2/],
      [`${head}a\n`, /line 4 has 1 fields, but the header has 2/],
    ]
    for (const [content, expected] of cases) {
      const [texts, message] = await readBad(content, 'csv')
      assert.deepEqual(texts, ['two\nlines'], content)
      assert.match(message, expected)
    }
  })
})

describe('rows of JSON Lines', () => {
  it('takes the key, strings as they are, and passes over blank lines', async () => {
    assert.deepEqual(await read('{"text":"one"}\n\n"two"\r\n{"id":1,"text":""}', 'jsonl'), ['one', 'two', ''])
    assert.deepEqual(await read('{"text":"one","q":"two"}\n', 'jsonl', 'q'), ['two'])
  })

  it('names the line of a bad row, after giving the rows before it', async () => {
    const cases: [string, RegExp][] = [
      ['{"text": oops}', /input, line 3 is not JSON: /],
      ['{"a":"x","b":1}', /input, line 3 has no "text"; its keys are a, b\./],
      ['{}', /input, line 3 has no "text"; it has no keys\./],
      ['{"text":3}', /input, line 3: "text" must be a string/],
      ['["x"]', /input, line 3 must be a JSON object or string/],
      ['null', /input, line 3 must be a JSON object or string/],
    ]
    for (const [line, expected] of cases) {
      const [texts, message] = await readBad(`"first"\n\n${line}\n"last"\n`, 'jsonl')
      assert.deepEqual(texts, ['first'])
      assert.match(message, expected)
    }
  })

  it('does not take what every object inherits for a key', async () => {
    assert.match((await readBad('{"a":"x"}', 'jsonl', 'constructor'))[1], /has no "constructor"/)
  })
})

describe('rows of pairs', () => {
  const readPairs = async (
    content: string,
    kind: Kind,
    column: string | undefined,
    pair: string,
  ): Promise<string[][]> => {
    const rows: string[][] = []
    for await (const { text, text_pair = 'none' } of readRows(pieces(content), 'input', kind, column, pair))
      rows.push([text, text_pair])
    return rows
  }

  it('take the second text from the column named, and the first from the other, or from text', async () => {
    const both = [
      ['one', 'two'],
      ['', ''],
    ]
    assert.deepEqual(await readPairs('b,text\ntwo,one\n,""\n', 'csv', undefined, 'b'), both)
    assert.deepEqual(await readPairs('a,b\none,two\n,\n', 'csv', 'a', 'b'), both)
    const json = '{"text":"one","text_pair":"two"}\n\n{"text_pair":"","text":"","id":1}\n'
    assert.deepEqual(await readPairs(json, 'jsonl', undefined, 'text_pair'), both)
    assert.deepEqual(await readPairs(json, undefined, 'text', 'text_pair'), both)
    assert.deepEqual(await readPairs('text,q\none,two\n', undefined, undefined, 'q'), [['one', 'two']])
  })

  it('name what is missing, no string or too long, with its line', async () => {
    const cases: [string, Kind, RegExp][] = [
      ['text,c\n1,2\n', 'csv', /input has no column "b"; its columns are text, c\./],
      ['sentence,b\n1,2\n', 'csv', /input has no column "text"; its columns are sentence, b\./],
      ['{"text":"one"}', 'jsonl', /input, line 1 has no "b"; its keys are text\./],
      ['{"text":"one","b":null}', 'jsonl', /input, line 1: "b" must be a string/],
      ['"one"', 'jsonl', /input, line 1 must be a JSON object/],
      [`text,b\nok,${'x'.repeat(1_000_001)}\n`, 'csv', /input, line 2 has 1000001 characters/],
    ]
    for (const [content, kind, message] of cases) {
      await assert.rejects(readPairs(content, kind, undefined, 'b'), { constructor: InputError, message })
    }
  })
})

describe('rows of an input without a kind', () => {
  it('is CSV where a column is named, or JSON Lines where it begins with a brace', async () => {
    for (const size of [3, 1000]) {
      assert.deepEqual(await read('q,z\n1,2\n', undefined, 'q', size), ['1'])
      assert.deepEqual(await read(' \n {"q":"1"}\n', undefined, 'q', size), ['1'])
    }
    assert.deepEqual(await read('{"q":"1"}\n'), ['{"q":"1"}'])
  })
})

describe('rows of a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'electra-cli-'))
  after(() => {
    rmSync(folder, { recursive: true })
  })

  it('reads by extension, in any case, and knows the length', async () => {
    const files: [string, string, string[]][] = [
      ['a.CSV', 'text\none\n', ['one']],
      ['a.jsonl', '{"text":"one"}\n', ['one']],
      ['a.ndjson', '"one"\n', ['one']],
      ['a.txt', 'text\none\n', ['text', 'one']],
      ['none', 'one', ['one']],
    ]
    for (const [name, content, texts] of files) {
      const path = join(folder, name)
      writeFileSync(path, content)
      const input = await fromFile(path)
      assert.equal(input.total, content.length)
      assert.deepEqual(await collect(input.rows), texts, name)
    }
  })

  it('refuses what is missing, and a folder', async () => {
    await assert.rejects(fromFile(join(folder, 'nope')), {
      constructor: InputError,
      message: `${join(folder, 'nope')} cannot be read: there is no such file.`,
    })
    await assert.rejects(fromFile(folder), { constructor: InputError, message: /is a folder/ })
  })
})

describe('rows of the arguments', () => {
  it('are the arguments, the empty one too; one too long is named by its place', async () => {
    assert.deepEqual(await collect(fromArguments(['one', '']).rows), ['one', ''])
    await assert.rejects(
      collect(fromArguments(['one', 'x'.repeat(1_000_001)]).rows),
      /text 2 has 1000001 characters/,
    )
  })
})
