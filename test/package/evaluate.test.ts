import assert from 'node:assert/strict'
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { watch } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { parse } from 'csv-parse/sync'

const ROOT = join(__dirname, '..', '..')
const PUBLISHED = join(__dirname, '..', 'fixtures', 'metrics', 'published.csv')
const SHARED = join(ROOT, '..', 'shared', 'data', 'val_with_electra_preds.csv')
const LABELS = ['negative', 'neutral', 'positive']

interface Ended {
  stdout: string
  stderr: string
  code: number | null
}

interface Figures {
  accuracy: number
  roc_auc: number | null
  'macro avg': { 'f1-score': number }
  confusion_matrix: number[][]
}

interface Report extends Figures {
  groups: Record<string, Figures>
  ignored_rows: number
  throughput: { texts: number } | null
  mistakes: { row: number }[]
  comparison: { report: Figures; mcnemar: Record<string, number>; different_rows: number }
}

function start(args: readonly string[], root = ROOT): ChildProcessWithoutNullStreams {
  const main = join(root, 'dist', 'cli', 'main.js')
  return spawn(process.execPath, [main, 'evaluate', ...args], { cwd: root })
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  const closed = once(child, 'close')
  child.stdin.end()
  const [stdout, stderr] = await Promise.all([textOf(child.stdout), textOf(child.stderr)])
  const [code] = (await closed) as [number | null]
  return { stdout, stderr, code }
}

function evaluate(...args: string[]): Promise<Ended> {
  return ended(start(args))
}

function reportOf(folder: string): Report {
  return JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as Report
}

function predictionsOf(folder: string): Record<string, string>[] {
  return parse(readFileSync(join(folder, 'predictions.csv')), { columns: true })
}

describe('electra-classifier evaluate', function () {
  this.timeout(300_000)
  const folder = mkdtempSync(join(tmpdir(), 'electra-evaluate-'))
  after(() => {
    rmSync(folder, { recursive: true })
  })
  const file = (name: string, content: string): string => {
    const path = join(folder, name)
    writeFileSync(path, content)
    return path
  }
  const COLUMNS = ['--text', 'text', '--label', 'label']
  const LARGE = [...COLUMNS, '--predictions', 'electra_large_probabilities']

  describe('with predictions from the file', () => {
    it('prints the report of the whole and of each group, and needs no addon', async () => {
      const bare = join(folder, 'bare')
      for (const part of ['dist', 'package.json', 'models']) {
        cpSync(join(ROOT, part), join(bare, part), { recursive: true })
      }
      symlinkSync(join(ROOT, 'node_modules'), join(bare, 'node_modules'))
      const { stdout, stderr, code } = await ended(start([PUBLISHED, ...LARGE, '--group', 'source'], bare))
      assert.deepEqual([stderr, code], ['', 0])
      assert.match(
        stdout,
        /^published\.csv Classification Report\n\n {14}precision {4}recall {2}f1-score {3}support\n\n {4}negative {3}\d\.\d{6} {2}\d\.\d{6} {2}\d\.\d{6} {8}\d\d\n/,
      )
      assert.match(
        stdout,
        /\nPredicted {2}negative {2}neutral {2}positive\nActual\nnegative +\d+ +\d+ +\d+\n/,
      )
      for (const name of [
        'ROC AUC',
        'Macro F1 Score',
        'Log Loss',
        'Brier Score',
        'Expected Calibration Error',
      ]) {
        assert.equal(stdout.match(new RegExp(`^${name}: \\d\\.\\d{6}$`, 'gm'))?.length, 4, name)
      }
      assert.deepEqual(
        [...stdout.matchAll(/^(.*) Classification Report$/gm)].map(([, name]) => name),
        ['published.csv', 'dynasent_r1', 'dynasent_r2', 'sst_local'].sort(
          (a, b) => stdout.indexOf(a) - stdout.indexOf(b),
        ),
      )
    })

    for (const [size, ...figures] of [
      ['large', '0.827154', '0.825407', '0.945898'],
      ['base', '0.779008', '0.778107', '0.920189'],
    ] as const) {
      it(`gives the known figures of ELECTRA ${size} to six decimals`, async function () {
        if (!existsSync(SHARED)) {
          console.log(`      skipped: there are no predictions at ${SHARED}`)
          this.skip()
        }
        const { stdout } = await evaluate(
          SHARED,
          ...['--text', 'sentence', '--label', 'label', '--predictions', `electra_${size}_probabilities`],
        )
        const found = ['accuracy', 'Macro F1 Score:', 'ROC AUC:'].map(
          (name) => new RegExp(`${name} +(\\d\\.\\d{6})`).exec(stdout)?.[1],
        )
        assert.deepEqual(found, figures)
      })
    }

    it('writes all files, prints as JSON what is in report.json, and replaces what was there', async () => {
      const output = join(folder, 'new', 'output')
      const args = [PUBLISHED, ...LARGE, '--group', 'source', '--output', output]
      const { stdout, stderr, code } = await evaluate(...args, '--format', 'json')
      assert.deepEqual([stderr, code], ['', 0])
      assert.deepEqual(readdirSync(output).sort(), ['predictions.csv', 'report.html', 'report.json'])
      assert.equal(stdout, readFileSync(join(output, 'report.json'), 'utf8'))
      const report = reportOf(output)
      assert.equal(report.throughput, null)
      assert.equal(report.ignored_rows, 0)
      assert.deepEqual(Object.keys(report.groups).length, 3)
      assert.match(readFileSync(join(output, 'report.html'), 'utf8'), /^<!doctype html>/i)
      const rows = predictionsOf(output)
      assert.equal(rows.length, 91)
      assert.deepEqual(Object.keys(rows[0] ?? {}), [
        ...['row', 'text', 'label', 'group', 'predicted_label', 'score', 'probabilities'],
      ])

      const again = await evaluate(...args.map((arg) => arg.replace('_large_', '_base_')))
      assert.equal(again.code, 0)
      assert.notEqual(reportOf(output).accuracy, report.accuracy)
      assert.deepEqual(readdirSync(output).sort(), ['predictions.csv', 'report.html', 'report.json'])
    })

    it('takes JSON Lines with ids, arrays and groups of any simple type', async () => {
      const path = file(
        'a.jsonl',
        [
          { text: 'a', label: 0, group: 1, p: [0.8, 0.1, 0.1] },
          { text: 'b', label: '1', group: null, p: '[0.1, 0.8, 0.1]' },
          { text: 'c', label: 'positive', group: true, p: [1, 0, 0] },
        ]
          .map((row) => JSON.stringify(row))
          .join('\n'),
      )
      const { stdout, code } = await evaluate(
        ...[path, ...COLUMNS, '--group', 'group', '--predictions', 'p', '--format', 'json'],
      )
      assert.equal(code, 0)
      const report = JSON.parse(stdout) as Report
      assert.deepEqual(report.confusion_matrix, [
        [1, 0, 0],
        [0, 1, 0],
        [1, 0, 0],
      ])
      assert.deepEqual(Object.keys(report.groups), ['1', '(none)', 'true'])
    })

    it('puts two side by side, with McNemar’s test and the texts where they differ', async () => {
      const output = join(folder, 'compared')
      const args = [PUBLISHED, ...LARGE, '--compare', 'electra_base_probabilities', '--output', output]
      const { stdout, code } = await evaluate(...args)
      assert.equal(code, 0)
      const { comparison, accuracy } = reportOf(output)
      const rows = predictionsOf(output)
      const right = (column: string): number[] =>
        rows.flatMap((row, index) => (row[column] === row.label ? [index] : []))
      const [large, base] = [right('predicted_label'), right('compared_label')]
      assert.equal(accuracy, large.length / 91)
      assert.equal(comparison.report.accuracy, base.length / 91)
      assert.equal(comparison.mcnemar.only_first_right, large.filter((row) => !base.includes(row)).length)
      assert.equal(comparison.mcnemar.only_second_right, base.filter((row) => !large.includes(row)).length)
      const different = rows.filter((row) => row.predicted_label !== row.compared_label)
      assert.equal(comparison.different_rows, different.length)
      const [, shown = ''] = stdout.split(/^Different labels: \d+ rows$/m)
      assert.deepEqual(
        [...shown.matchAll(/ row (\d+) {2}sentence/g)].map(([, row]) => Number(row)).sort((a, b) => a - b),
        different.map(({ row }) => Number(row)),
      )
      assert.match(stdout, /^Accuracy +0\.\d{6} +0\.\d{6} +-?0\.\d{6}$/m)
      assert.match(stdout, /^McNemar's Test: only A right \d+, only B right \d+, p = \d/m)
    })

    it('holds no texts in memory', async () => {
      const line = `"${'long text '.repeat(200)}",positive,"[0.1,0.2,0.7]"\n`
      const path = file('long.csv', `text,label,p\n${line.repeat(30_000)}`)
      const main = join(ROOT, 'dist', 'cli', 'main.js')
      const args = ['evaluate', path, ...COLUMNS, '--predictions', 'p', '--format', 'json']
      const { stdout, stderr, code } = await ended(
        spawn(process.execPath, ['--max-old-space-size=40', main, ...args], { cwd: ROOT }),
      )
      assert.equal(code, 0, stderr)
      assert.equal((JSON.parse(stdout) as Report).confusion_matrix[2]?.[2], 30_000)
      rmSync(path)
    })
  })

  describe('with a model', () => {
    const TEXTS = [
      ['I love this restaurant!', 'positive'],
      ['The soup was cold and the waiter rude.', 'negative'],
      ['The restaurant is on Main Street.', 'neutral'],
      ['Terrible.', 'positive'],
    ] as const

    it('scores texts, says how fast and how many were too long, and stores what can be evaluated again', async () => {
      const rows = [...TEXTS, ['word '.repeat(600), 'neutral'] as const]
      const path = file('texts.csv', `text,label\n${rows.map(([t, l]) => `"${t}",${l}\n`).join('')}`)
      const [output, again] = [join(folder, 'scored'), join(folder, 'again')]
      const { stdout, stderr, code } = await evaluate(
        ...[path, ...COLUMNS, '--output', output, '--dtype', 'fp32', '--threads', '1'],
      )
      assert.equal(code, 0, stderr)
      assert.match(stdout, /^Throughput: \d+\.\d texts\/s \(5 texts in \d+\.\d s\)$/m)
      assert.match(stderr, /^electra-classifier: One row was longer than the model's 512 tokens; .*\n$/)
      const report = reportOf(output)
      assert.equal(report.throughput?.texts, 5)
      const stored = predictionsOf(output)
      assert.deepEqual(
        stored.map(({ truncated }) => truncated),
        ['false', 'false', 'false', 'false', 'true'],
      )
      const right = stored.filter(({ label, predicted_label }) => label === predicted_label).length
      assert.equal(report.accuracy, right / 5)
      await evaluate(
        ...[join(output, 'predictions.csv'), ...COLUMNS, '--predictions', 'probabilities', '--output', again],
      )
      const { throughput, ...figures } = reportOf(again)
      assert.equal(throughput, null)
      for (const key of ['accuracy', 'roc_auc', 'macro avg', 'confusion_matrix', 'mistakes'] as const) {
        assert.deepEqual(figures[key], report[key])
      }
    })

    /** Texts enough for several batches, each of its own length. */
    const many = (): string => {
      const lines = Array.from({ length: 400 }, (_, i) => {
        const [text, label] = TEXTS[i % TEXTS.length] ?? TEXTS[0]
        return `"${i}: ${`${text} `.repeat(1 + (i % 4))}",${label}\n`
      })
      return file('many.csv', `text,label\n${lines.join('')}`)
    }

    it('leaves a valid predictions.csv on Ctrl-C, and --resume makes the same files of it', async () => {
      const path = many()
      const [whole, cut] = [join(folder, 'whole'), join(folder, 'cut')]
      const args = [path, ...COLUMNS, '--dtype', 'fp32', '--threads', '1', '--output']
      const uninterrupted = await evaluate(...args, whole)
      assert.equal(uninterrupted.code, 0, uninterrupted.stderr)

      mkdirSync(cut)
      const stored = join(cut, 'predictions.csv')
      const header = 'row,text,label,predicted_label,score,probabilities,num_tokens,truncated\n'
      const changes = watch(cut)
      const child = start([...args, cut])
      for await (const { filename } of changes) {
        if (filename === 'predictions.csv' && statSync(stored).size > header.length) break
      }
      child.kill('SIGINT')
      const stopped = await ended(child)
      assert.equal(stopped.code, 130)
      assert.equal(stopped.stdout, '')
      const [, count] =
        /^electra-classifier: stopped after (\d+) of 400 rows; the same command with --resume goes on\.\n$/.exec(
          stopped.stderr,
        ) ?? []
      const partial = predictionsOf(cut)
      assert.equal(partial.length, Number(count))
      assert.ok(partial.length > 0 && partial.length < 400, `${partial.length} rows`)
      assert.deepEqual(readdirSync(cut), ['predictions.csv'])
      assert.ok(readFileSync(stored, 'utf8').endsWith('\n'))

      const resumed = await evaluate(...args, cut, '--resume')
      assert.equal(resumed.code, 0, resumed.stderr)
      assert.deepEqual(readdirSync(cut).sort(), readdirSync(whole).sort())
      // What was there is not scored again.
      assert.equal(reportOf(cut).throughput?.texts, 400 - partial.length)
      assert.deepEqual(predictionsOf(cut).slice(0, partial.length), partial)
      const numbers = /-?\d+\.\d+(?:e-\d+)?/g
      const rounded = (text: string): string => text.replace(numbers, (digits) => Number(digits).toFixed(4))
      for (const name of ['predictions.csv', 'report.json']) {
        const [one, other] = [whole, cut].map((output) =>
          rounded(readFileSync(join(output, name), 'utf8').replace(/"throughput": \{[^}]*\}/, '')),
        )
        assert.equal(one, other, name)
      }
    })

    it('does not resume what is of another file, model or set of options, and leaves it as it is', async () => {
      const path = file('few.csv', `text,label\n${TEXTS.map(([t, l]) => `${t},${l}\n`).join('')}`)
      const output = join(folder, 'few')
      const args = [...COLUMNS, '--output', output, '--threads', '1']
      const resume = (other: string, ...more: string[]): Promise<Ended> =>
        evaluate(other, ...args, '--resume', ...more)
      assert.match((await resume(path)).stderr, /There is no .*predictions\.csv to resume/)
      assert.equal((await evaluate(path, ...args)).code, 0)
      const stored = join(output, 'predictions.csv')
      const before = readFileSync(stored, 'utf8')
      const other_text = file('other.csv', readFileSync(path, 'utf8').replace('Terrible', 'Horrible'))
      const other_label = file(
        'other-label.csv',
        readFileSync(path, 'utf8').replace('.,positive', '.,neutral'),
      )
      const shorter = file('shorter.csv', readFileSync(path, 'utf8').replace(/Terrible.*\n/, ''))
      const wrong: [() => Promise<Ended>, RegExp][] = [
        [
          () => resume(other_text),
          /Row 4 of .*predictions\.csv is of another file, or was written with other/,
        ],
        [() => resume(other_label), /Row 4 of .*predictions\.csv is of another file/],
        [() => resume(shorter), /predictions\.csv has more rows than the file/],
        [
          () => resume(path, '--group', 'label'),
          /predictions\.csv was written with other options; leave out --resume/,
        ],
      ]
      for (const [run, message] of wrong) {
        const { stdout, stderr, code } = await run()
        assert.match(stderr, message)
        assert.deepEqual([stdout, code], ['', 2])
        assert.equal(readFileSync(stored, 'utf8'), before)
      }
      // Of another model: the same rows, other scores.
      const foreign = before.replace(/,\w+,0\.\d+,"\[[^\]]*\]"/, ',neutral,0.5,"[0.25,0.5,0.25]"')
      writeFileSync(stored, foreign)
      const { stderr, code } = await resume(path)
      assert.match(
        stderr,
        /predictions\.csv holds the scores of another model; leave out --resume to begin anew/,
      )
      assert.equal(code, 2)
      assert.equal(readFileSync(stored, 'utf8'), foreign)
    })
  })

  describe('--resume with predictions from the file', () => {
    it('makes the very same files, wherever the last row was cut', async () => {
      const args = [
        PUBLISHED,
        ...LARGE,
        '--group',
        'source',
        '--compare',
        'electra_base_probabilities',
        '--output',
      ]
      const whole = join(folder, 'p-whole')
      assert.equal((await evaluate(...args, whole)).code, 0)
      const stored = readFileSync(join(whole, 'predictions.csv'))
      const row = stored.indexOf('\n', 5000)
      const next = stored.indexOf('\n', row + 1)
      // At a row's end, within its text, within its quotes, before its line end; and with the head line alone.
      for (const length of [row + 1, row + 8, next - 30, next - 1, next, stored.indexOf('\n') + 1]) {
        const cut = join(folder, `p-cut-${length}`)
        mkdirSync(cut)
        writeFileSync(join(cut, 'predictions.csv'), stored.subarray(0, length))
        const { stderr, code } = await evaluate(...args, cut, '--resume')
        assert.deepEqual([stderr, code], ['', 0])
        for (const name of ['predictions.csv', 'report.json']) {
          assert.deepEqual(
            readFileSync(join(cut, name)),
            readFileSync(join(whole, name)),
            `${name}, ${length}`,
          )
        }
      }
    })
  })

  describe('bad input', () => {
    const HEAD = 'text,label,p\na,positive,"[0.1,0.2,0.7]"\n'
    const P = ['--predictions', 'p']
    const cases: [what: string, content: string, args: string[], message: RegExp][] = [
      [
        'no such text column',
        HEAD,
        ['--text', 'txt', '--label', 'label', ...P],
        /bad\.csv has no column "txt"; its columns are text, label, p\.\n$/,
      ],
      [
        'no such label column',
        HEAD,
        ['--text', 'text', '--label', 'gold', ...P],
        /bad\.csv has no column "gold"; its columns are text, label, p\.\n$/,
      ],
      [
        'no such group column',
        HEAD,
        [...COLUMNS, '--group', 'g', ...P],
        /has no column "g"; its columns are/,
      ],
      [
        'no such predictions column',
        HEAD,
        [...COLUMNS, '--predictions', 'q'],
        /has no column "q"; its columns are/,
      ],
      [
        'no such column to compare',
        HEAD,
        [...COLUMNS, ...P, '--compare', 'q'],
        /has no column "q"; its columns are/,
      ],
      [
        'no such text column, with a model',
        HEAD,
        ['--text', 'txt', '--label', 'label'],
        /has no column "txt"/,
      ],
      [
        'something after a closing quote',
        `${HEAD}"b,neutral,"[0,1,0]"\n`,
        [...COLUMNS, ...P],
        /bad\.csv, line 3 is not CSV: something follows a closing quote/,
      ],
      [
        'a quote within a field',
        `${HEAD}b "x",neutral,"[0,1,0]"\n`,
        [...COLUMNS, ...P],
        /bad\.csv, line 3 is not CSV: a quote stands inside a field/,
      ],
      [
        'too many fields',
        `${HEAD}b,neutral,[0,1,0]\n`,
        [...COLUMNS, ...P],
        /bad\.csv, line 3 has 5 fields, but the header has 3/,
      ],
      [
        'a bad row after many, with a model',
        `${HEAD}${'a,positive,1\n'.repeat(500)}"b,neutral,1\n`,
        COLUMNS,
        /bad\.csv, line 503 is not CSV: a quote opens there and is never closed/,
      ],
      [
        'predictions that are no array',
        `${HEAD}b,neutral,0.5\n`,
        [...COLUMNS, ...P],
        /bad\.csv, line 3: "p" must be a JSON array of 3 probabilities \(negative, neutral, positive\)\.\n$/,
      ],
      [
        'predictions that are no JSON',
        `${HEAD}b,neutral,"[0.5 0.5]"\n`,
        [...COLUMNS, ...P],
        /bad\.csv, line 3: "p" must be a JSON array of 3 probabilities/,
      ],
      [
        'too few predictions',
        `${HEAD}b,neutral,"[0.5,0.5]"\n`,
        [...COLUMNS, ...P],
        /line 3: "p" must be a JSON array of 3 probabilities \(negative, neutral, positive\), not 2; --model names the model whose labels these are\.\n$/,
      ],
      [
        'predictions that are no numbers',
        `${HEAD}b,neutral,"[0.5,null,0.5]"\n`,
        [...COLUMNS, ...P],
        /line 3: "p" must be .*, not null\.\n$/,
      ],
      [
        'predictions that do not add up',
        `${HEAD}b,neutral,"[0.5,0.1,0.1]"\n`,
        [...COLUMNS, ...P],
        /line 3: "p" must be .* that add up to 1, not to 0\.7\.\n$/,
      ],
      [
        'logits for predictions',
        `${HEAD}b,neutral,"[-1.5,2,0.5]"\n`,
        [...COLUMNS, ...P],
        /line 3: "p" must be .* from 0 to 1, not -1\.5\.\n$/,
      ],
      [
        'bad predictions to compare',
        HEAD,
        [...COLUMNS, ...P, '--compare', 'text'],
        /line 2: "text" must be a JSON array/,
      ],
      ['no rows', 'text,label,p\n', [...COLUMNS, ...P], /bad\.csv has no rows to evaluate\.\n$/],
      ['no header', '', [...COLUMNS, ...P], /bad\.csv is empty; a CSV file begins with a header/],
      [
        'a model’s option without a model',
        HEAD,
        [...COLUMNS, ...P, '--threads', '1'],
        /--threads is for a model; with --predictions none runs/,
      ],
      ['no --label', HEAD, ['--text', 'text', ...P], /required option '--label <COL>' not specified/],
      [
        'too many groups',
        `text,label,p\n${Array.from({ length: 1001 }, (_, i) => `${i},0,"[1,0,0]"\n`).join('')}`,
        [...COLUMNS, ...P, '--group', 'text'],
        /The column "text" of .*bad\.csv has more than 1000 values; --group takes/,
      ],
    ]
    for (const [what, content, args, message] of cases) {
      it(`${what}: ends with 2, and nothing is written`, async () => {
        const output = join(folder, 'never')
        const { stdout, stderr, code } = await evaluate(file('bad.csv', content), ...args, '--output', output)
        assert.match(stderr, message)
        assert.match(stderr, /^electra-classifier: /)
        assert.deepEqual([stdout, code], ['', 2])
        assert.ok(!existsSync(output))
      })
    }

    const json: [what: string, line: string, message: RegExp][] = [
      ['a line that is no JSON', '{oops', /bad\.jsonl, line 2 is not JSON/],
      ['a line that is no object', '"text"', /bad\.jsonl, line 2 must be a JSON object/],
      [
        'a key that is missing',
        '{"text":"x","label":1}',
        /bad\.jsonl, line 2 has no "p"; its keys are text, label/,
      ],
      [
        'a text that is none',
        '{"text":7,"label":1,"p":[0,1,0]}',
        /bad\.jsonl, line 2: "text" must be a string/,
      ],
      [
        'predictions that are an object',
        '{"text":"x","label":1,"p":{"negative":1}}',
        /line 2: "p" must be a JSON array of 3/,
      ],
    ]
    for (const [what, line, message] of json) {
      it(`${what}: ends with 2`, async () => {
        const path = file('bad.jsonl', `{"text":"x","label":1,"p":[0,1,0]}\n${line}\n`)
        const { stdout, stderr, code } = await evaluate(path, ...COLUMNS, ...P)
        assert.match(stderr, message)
        assert.deepEqual([stdout, code], ['', 2])
      })
    }

    it('labels that the model does not have: names the first ten rows, the labels, and the choice', async () => {
      const rows = Array.from({ length: 30 }, (_, i) =>
        i % 2 ? `"two\nlines",mixed,"[1,0,0]"\n` : `b,${i % 3},"[1,0,0]"\n`,
      )
      const path = file('unknown.csv', `text,label,p\n${rows.join('')}`)
      const [output, args] = [join(folder, 'unknown'), [...COLUMNS, ...P, '--format', 'json']]
      const refused = await evaluate(path, ...args, '--output', output)
      assert.match(
        refused.stderr,
        /^electra-classifier: 15 rows of .*unknown\.csv have a "label" that the model does not have: line 4 \("mixed"\), line 7 \("mixed"\), (?:line \d+ \("mixed"\), ){7}line 31 \("mixed"\) and more\. Its labels are negative \(0\), neutral \(1\), positive \(2\); --ignore-unknown-labels leaves such rows out\.\n$/,
      )
      assert.deepEqual([refused.stdout, refused.code, existsSync(output)], ['', 2, false])
      const done = await evaluate(path, ...args, '--output', output, '--ignore-unknown-labels')
      assert.equal(done.code, 0)
      assert.match(done.stderr, /^electra-classifier: 15 rows were left out, .*\n$/)
      const report = JSON.parse(done.stdout) as Report
      assert.deepEqual([report.accuracy, report.ignored_rows], [5 / 15, 15])
      // Rows keep the numbers that they have in the file.
      assert.deepEqual(
        predictionsOf(output).map(({ row }) => Number(row)),
        Array.from({ length: 15 }, (_, i) => 2 * i + 1),
      )
      assert.ok(report.mistakes.every(({ row }) => row % 2 === 1))
    })

    it('a single unknown label, an id out of range, and no label at all', async () => {
      for (const [label, shown] of [
        ['mixed', '"mixed"'],
        ['3', '"3"'],
        ['-1', '"-1"'],
        ['', '""'],
      ] as const) {
        const path = file('unknown.csv', `${HEAD}b,${label},"[1,0,0]"\n`)
        const { stderr, code } = await evaluate(path, ...COLUMNS, ...P)
        assert.ok(
          stderr.includes(
            `One row of ${path} has a "label" that the model does not have: line 3 (${shown}). `,
          ),
        )
        assert.equal(code, 2)
      }
      const only = file('only.csv', 'text,label,p\nb,mixed,"[1,0,0]"\n')
      const { stderr, code } = await evaluate(only, ...COLUMNS, ...P, '--ignore-unknown-labels')
      assert.match(stderr, /has no rows to evaluate: the model has none of its labels/)
      assert.equal(code, 2)
    })

    it('a file that is none, a pipe, and output that cannot be', async () => {
      const path = file('good.csv', HEAD)
      const own = join(folder, 'own')
      mkdirSync(own)
      writeFileSync(join(own, 'predictions.csv'), HEAD)
      const wrong: [string[], RegExp][] = [
        [[join(folder, 'nope.csv')], /nope\.csv cannot be read: there is no such file/],
        [[folder], /is a folder, not a file/],
        [['/dev/stdin'], /\/dev\/stdin is read twice, so it must be a regular file/],
        [[path, '--output', path], /good\.csv is a file; --output takes a folder/],
        [[path, '--resume'], /--resume goes with --output/],
        [[join(own, 'predictions.csv'), '--output', own], /would be written over; name another folder/],
        [[path, '--model', join(folder, 'nope')], /There is no model at/],
      ]
      for (const [args, message] of wrong) {
        const { stdout, stderr, code } = await evaluate(...args, ...COLUMNS, ...P)
        assert.match(stderr, message)
        assert.deepEqual([stdout, code], ['', 2])
      }
      assert.equal(readFileSync(join(own, 'predictions.csv'), 'utf8'), HEAD)
    })

    it('models that do not choose one label of several: refused by name, before anything is written', async () => {
      const path = file('good.csv', HEAD)
      const output = join(folder, 'never')
      const cases: [object, RegExp][] = [
        [
          { problem_type: 'multi_label_classification' },
          /model\.pt is for multi_label_classification; evaluate takes/,
        ],
        [{ id2label: { 0: 'stars' } }, /model\.pt has a single label; evaluate takes/],
      ]
      for (const [changes, message] of cases) {
        const model = join(folder, 'other-problem')
        cpSync(join(ROOT, 'test', 'fixtures', 'traces', 'mean'), model, { recursive: true })
        const config = join(model, 'config.json')
        const kept = JSON.parse(readFileSync(config, 'utf8')) as object
        writeFileSync(config, JSON.stringify({ ...kept, ...changes }))
        const args = [path, ...COLUMNS, '--model', join(model, 'model.pt'), '--output', output]
        const { stdout, stderr, code } = await evaluate(...args, ...P)
        assert.match(stderr, message)
        assert.deepEqual([stdout, code, existsSync(output)], ['', 2, false])
      }
    })

    it('a disk that is full: ends with 1, and says so', async function () {
      if (!existsSync('/dev/full')) {
        console.log('      skipped: there is no /dev/full here')
        this.skip()
      }
      const output = join(folder, 'full')
      mkdirSync(output)
      symlinkSync('/dev/full', join(output, 'predictions.csv'))
      const { stdout, stderr, code } = await evaluate(PUBLISHED, ...LARGE, '--output', output)
      assert.match(stderr, /^electra-classifier: The predictions cannot be written: ENOSPC/)
      assert.deepEqual([stdout, code, readdirSync(output)], ['', 1, ['predictions.csv']])
    })

    it('takes the labels of another model from its config', async () => {
      const model = join(ROOT, 'test', 'fixtures', 'checkpoints', 'five-labels')
      const { id2label } = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8')) as {
        id2label: Record<string, string>
      }
      const path = file('five.csv', `text,label,p\nb,${id2label[4]},"[0.1,0.1,0.1,0.1,0.6]"\n`)
      const { stdout, code } = await evaluate(path, ...COLUMNS, ...P, '--model', model, '--format', 'json')
      assert.equal(code, 0)
      assert.equal((JSON.parse(stdout) as Report).confusion_matrix[4]?.[4], 1)
      assert.equal(Object.values(id2label).length, LABELS.length + 2)
    })
  })
})
