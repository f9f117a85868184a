import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { Comparer } from '../../lib/evaluation/comparison'
import { findLabel } from '../../lib/evaluation/evaluate'
import { evaluate, reportJson, reportText, type Evaluation, type Scored } from '../../lib/evaluation/index'
import { pageData } from '../../lib/evaluation/report-page'

const LABELS = ['negative', 'neutral', 'positive']
const METRICS = join(__dirname, '..', 'fixtures', 'metrics')
const SHARED = join(__dirname, '..', '..', '..', 'shared', 'data', 'val_with_electra_preds.csv')

function scoresOf(values: readonly number[]): Scored {
  return { scores: Object.fromEntries(LABELS.map((label, index) => [label, values[index] ?? NaN])) }
}

/** A classifier that gives these, one after the other. */
function giving(results: readonly Scored[]): (texts: AsyncIterable<string>) => AsyncGenerator<Scored> {
  return async function* (texts) {
    let next = 0
    for await (const text of texts) {
      const result = results[next++]
      assert.ok(result, text)
      yield result
    }
  }
}

/** Figures of published probabilities. */
async function published(path: string, size: string, text: string): Promise<Evaluation> {
  const rows = parse<Record<string, string>>(readFileSync(path), { columns: true })
  const results = rows.map((row) =>
    scoresOf(JSON.parse(row[`electra_${size}_probabilities`] ?? '') as number[]),
  )
  return evaluate(
    giving(results),
    rows.map((row) => ({ text: row[text] ?? '', label: row.label ?? '', group: row.source ?? '' })),
    { labels: LABELS },
  )
}

describe('evaluate', () => {
  const rows = [
    { text: 'good', label: 'positive', group: 'a' },
    { text: 'bad', label: 0, group: 'b' },
    { text: 'so so', label: '1', group: 'a' },
    { text: 'very good indeed', label: 'positive' },
  ]
  const results = [
    { ...scoresOf([0.1, 0.2, 0.7]), num_tokens: 3 },
    { ...scoresOf([0.2, 0.2, 0.6]), num_tokens: 3 },
    { ...scoresOf([0.1, 0.5, 0.4]), num_tokens: 4 },
    { ...scoresOf([0.45, 0.45, 0.1]), num_tokens: 30 },
  ]

  it('takes names, ids and ids as digits, groups what has a group, and reports in order of first sight', async () => {
    const { whole, groups, labels } = await evaluate(giving(results), rows, { labels: LABELS })
    assert.deepEqual(labels, LABELS)
    assert.equal(whole.rows, 4)
    assert.equal(whole.accuracy, 0.5)
    assert.deepEqual(whole.confusion_matrix, [
      [0, 0, 1],
      [0, 1, 0],
      [1, 0, 1],
    ])
    assert.deepEqual(
      groups.map(({ name, rows: count, accuracy }) => [name, count, accuracy]),
      [
        ['a', 2, 1],
        ['b', 1, 0],
      ],
    )
    // Without rows of every class the mean over the classes is not defined.
    assert.deepEqual(
      groups.map(({ roc_auc }) => roc_auc),
      [null, null],
    )
  })

  it('lists mistakes by confidence, of equal scores the first label, and F1 by tokens', async () => {
    const { mistakes, f1_by_length } = await evaluate(giving(results), rows, { labels: LABELS })
    assert.deepEqual(mistakes, [
      { row: 2, text: 'bad', true_label: 'negative', predicted_label: 'positive', score: 0.6 },
      { row: 4, text: 'very good indeed', true_label: 'positive', predicted_label: 'negative', score: 0.45 },
    ])
    assert.equal(f1_by_length.unit, 'tokens')
    assert.deepEqual(
      f1_by_length.bins.map(({ name, rows: count }) => [name, count]),
      [
        ['≤ 8', 3],
        ['17–32', 1],
      ],
    )
  })

  it('counts characters where one text has no tokens, and takes the row numbers it is given', async () => {
    const [first, second] = results
    const { f1_by_length, mistakes } = await evaluate(
      giving([first ?? scoresOf([]), scoresOf(Object.values(second?.scores ?? {}))]),
      [
        { text: 'x'.repeat(8), label: 2 },
        { text: 'x'.repeat(9), label: 0, row: 77 },
      ],
      { labels: LABELS },
    )
    assert.equal(f1_by_length.unit, 'characters')
    assert.deepEqual(
      f1_by_length.bins.map(({ name, rows: count }) => [name, count]),
      [
        ['≤ 8', 1],
        ['9–16', 1],
      ],
    )
    assert.equal(mistakes[0]?.row, 77)
  })

  it('keeps the 50 most confident mistakes, and cuts long texts between characters', async () => {
    const many = Array.from({ length: 200 }, (_, i) => 0.5 + ((i * 37) % 200) / 1000)
    const { mistakes } = await evaluate(
      giving(many.map((score) => scoresOf([score, 1 - score, 0]))),
      many.map(() => ({ text: `${'x'.repeat(999)}👍${'y'.repeat(5000)}`, label: 2 })),
      { labels: LABELS },
    )
    const expected = [...many].sort((a, b) => b - a).slice(0, 50)
    assert.deepEqual(
      mistakes.map(({ score }) => score),
      expected,
    )
    assert.equal(mistakes[0]?.text, `${'x'.repeat(999)}…`)
  })

  it('hands every row with its result to on_result, in order, and waits for it', async () => {
    const seen: string[] = []
    await evaluate(giving(results), rows, {
      labels: LABELS,
      on_result: async ({ text }, { num_tokens }) => {
        seen.push(`${text} begins`)
        await new Promise((done) => setImmediate(done))
        seen.push(`${text} ends: ${num_tokens}`)
      },
    })
    assert.deepEqual(
      seen,
      rows.flatMap(({ text }, i) => [`${text} begins`, `${text} ends: ${results[i]?.num_tokens}`]),
    )
  })

  it('reads rows only as fast as the classifier takes them', async () => {
    let read = 0
    let furthest = 0
    const endless = function* (): Generator<{ text: string; label: number }> {
      for (; read < 1000; read++) yield { text: 'x', label: 0 }
    }
    const steady = async function* (texts: AsyncIterable<string>): AsyncGenerator<Scored> {
      for await (const text of texts) {
        assert.equal(text, 'x')
        yield scoresOf([1, 0, 0])
      }
    }
    let done = 0
    await evaluate(steady, endless(), {
      labels: LABELS,
      on_result: () => {
        done += 1
        furthest = Math.max(furthest, read - done)
      },
    })
    assert.equal(done, 1000)
    assert.ok(furthest <= 1, `${furthest} rows ahead`)
  })

  it('takes digits for a name before they are an id, and a number for an id', () => {
    const stars = ['1', '2', '3']
    assert.deepEqual(
      ['1', '3', '0', '4', '', '1.0', 'x', 0, 2, 3, -1, 0.5, NaN].map((label) => findLabel(label, stars)),
      [0, 2, 0, ...Array<undefined>(4).fill(undefined), 0, 2, ...Array<undefined>(4).fill(undefined)],
    )
  })

  it('refuses labels and scores that cannot be', async () => {
    const one = [{ text: 'x', label: 'positive' }]
    const wrong: [RegExp, Promise<unknown>][] = [
      [
        /^row 2: "mixed" is no label; the labels are negative, neutral, positive\.$/,
        evaluate(giving(results), [...one, { text: 'y', label: 'mixed' }], { labels: LABELS }),
      ],
      [/^row 1: 3 is no label/, evaluate(giving(results), [{ text: 'y', label: 3 }], { labels: LABELS })],
      [
        /^row 1: 0\.5 is no label/,
        evaluate(giving(results), [{ text: 'y', label: 0.5 }], { labels: LABELS }),
      ],
      [/^labels must name at least two classes, not 1\.$/, evaluate(giving([]), [], { labels: ['a'] })],
      [
        /^row 1: scores must be 3 probabilities \(negative, neutral, positive\) that add up to 1, not to 1\.5\.$/,
        evaluate(giving([scoresOf([0.5, 0.5, 0.5])]), one, { labels: LABELS }),
      ],
      [
        /^row 1: scores must be 3 probabilities .* from 0 to 1, not -0\.1\.$/,
        evaluate(giving([scoresOf([-0.1, 0.6, 0.5])]), one, { labels: LABELS }),
      ],
      [
        /^row 1: scores must be 3 probabilities .*, not null\.$/,
        evaluate(giving([{ scores: { negative: 1 } }]), one, { labels: LABELS }),
      ],
      [
        /^classify ended after 0 results, before every text had one\.$/,
        evaluate(
          async function* () {
            /* nothing */
          },
          one,
          { labels: LABELS },
        ),
      ],
      [
        /^classify gave more results than it had taken texts\.$/,
        evaluate(
          async function* () {
            yield await Promise.resolve(scoresOf([1, 0, 0]))
          },
          one,
          { labels: LABELS },
        ),
      ],
    ]
    for (const [message, promise] of wrong) await assert.rejects(promise, { name: 'RangeError', message })
  })

  it('refuses arguments of another type, and a label that is there twice', async () => {
    const wrong: [unknown, unknown, unknown, string, RegExp][] = [
      [
        {},
        [],
        LABELS,
        'TypeError',
        /^classify must be a function, such as \(texts\) => classifier\.classifyStream/,
      ],
      [giving([]), 'rows', LABELS, 'TypeError', /^rows must be an iterable/],
      [giving([]), {}, LABELS, 'TypeError', /^rows must be an iterable/],
      [giving([]), [], undefined, 'TypeError', /^labels must be an array of strings/],
      [giving([]), [], [1, 2], 'TypeError', /^labels must be an array of strings/],
      [giving([]), [], ['a', 'b', 'a'], 'RangeError', /^labels has "a" twice\.$/],
    ]
    for (const [classify, given, labels, name, message] of wrong) {
      await assert.rejects(evaluate(classify as never, given as never, { labels } as never), {
        name,
        message,
      })
    }
  })

  it('refuses more than 1,000 groups', async () => {
    const many = Array.from({ length: 1001 }, (_, i) => ({ text: 'x', label: 0, group: `${i}` }))
    const promise = evaluate(giving(many.map(() => scoresOf([1, 0, 0]))), many, { labels: LABELS })
    await assert.rejects(promise, { name: 'RangeError', message: /more than 1000 groups/ })
  })

  it('passes on what the classifier throws, as it is', async () => {
    const failure = new Error('down')
    // eslint-disable-next-line require-yield
    const failing = async function* (texts: AsyncIterable<string>): AsyncGenerator<Scored> {
      for await (const text of texts) throw text === 'good' ? failure : new Error(text)
    }
    await assert.rejects(evaluate(failing, rows, { labels: LABELS }), (error) => error === failure)
  })
})

describe('the published predictions', () => {
  const { published: goldens } = JSON.parse(readFileSync(join(METRICS, 'goldens.json'), 'utf8')) as {
    published: Record<
      string,
      {
        accuracy: number
        macro: number[]
        roc_auc: number
        log_loss: number
        brier: number
        confusion_matrix: number[][]
      }
    >
  }

  for (const size of ['large', 'base']) {
    it(`of ELECTRA ${size}, every 60th, give scikit-learn’s figures`, async () => {
      const { whole } = await published(join(METRICS, 'published.csv'), size, 'text')
      const golden = goldens[size]
      const ours = [
        ...[whole.accuracy, whole.macro.precision, whole.macro.recall, whole.macro.f1],
        ...[whole.roc_auc, whole.log_loss, whole.brier],
      ]
      const theirs = [
        golden?.accuracy,
        ...(golden?.macro ?? []),
        golden?.roc_auc,
        golden?.log_loss,
        golden?.brier,
      ]
      assert.deepEqual(
        ours.map((value) => value?.toFixed(12)),
        theirs.map((value) => value?.toFixed(12)),
      )
      assert.deepEqual(whole.confusion_matrix, golden?.confusion_matrix)
    })
  }

  for (const [size, ...figures] of [
    ['large', '0.827154', '0.825407', '0.945898'],
    ['base', '0.779008', '0.778107', '0.920189'],
  ] as const) {
    it(`of ELECTRA ${size}, all, give the figures that are known of them`, async function () {
      if (!existsSync(SHARED)) {
        console.log(`      skipped: there are no predictions at ${SHARED}`)
        this.skip()
      }
      const { whole, groups } = await published(SHARED, size, 'sentence')
      assert.deepEqual(
        [whole.accuracy, whole.macro.f1, whole.roc_auc].map((value) => value?.toFixed(6)),
        figures,
      )
      assert.deepEqual(
        groups.map(({ name, rows }) => [name, rows]),
        [
          ['dynasent_r1', 3600],
          ['sst_local', 1101],
          ['dynasent_r2', 720],
        ],
      )
      const text = reportText(whole, 'Merged Dataset')
      assert.match(
        text,
        new RegExp(
          `^Merged Dataset Classification Report\n\n {14}precision {4}recall {2}f1-score {3}support\n`,
        ),
      )
      assert.match(text, new RegExp(`^ {4}accuracy {23}${figures[0]} {6}5421$`, 'm'))
      assert.match(text, new RegExp(`^ROC AUC: ${figures[2]}$`, 'm'))
      assert.match(text, new RegExp(`^Macro F1 Score: ${figures[1]}$`, 'm'))
    })
  }
})

describe('what is made of an evaluation', () => {
  let evaluation: Evaluation
  before(async () => {
    evaluation = await published(join(METRICS, 'published.csv'), 'large', 'text')
  })

  it('has the keys of scikit-learn’s report as JSON, for groups too, and no number that JSON cannot hold', () => {
    const report = JSON.parse(JSON.stringify(reportJson(evaluation))) as Record<string, unknown>
    for (const key of [...LABELS, 'macro avg', 'weighted avg']) {
      assert.deepEqual(Object.keys(report[key] as object), ['precision', 'recall', 'f1-score', 'support'])
    }
    const { whole, groups } = evaluation
    assert.equal(report.accuracy, whole.accuracy)
    assert.deepEqual((report['macro avg'] as Record<string, unknown>).support, 91)
    assert.equal(report.roc_auc, whole.roc_auc)
    assert.deepEqual(report.confusion_matrix, whole.confusion_matrix)
    assert.deepEqual(report.calibration, whole.calibration)
    const of_groups = report.groups as Record<string, { accuracy: number }>
    assert.deepEqual(
      Object.entries(of_groups).map(([name, { accuracy }]) => [name, accuracy]),
      groups.map(({ name, accuracy }) => [name, accuracy]),
    )
  })

  it('has everything that the page shows', () => {
    const page = pageData(evaluation, 'title', [{ name: 'File', value: 'x' }])
    assert.deepEqual(page, JSON.parse(JSON.stringify(page)))
    assert.deepEqual(
      page.reports.map(({ name, rows }) => [name, rows]),
      [evaluation.whole, ...evaluation.groups].map(({ name, rows }) => [name, rows]),
    )
    assert.deepEqual(
      page.f1_by_group.map(({ f1 }) => f1),
      evaluation.groups.map(({ macro }) => macro.f1),
    )
    for (const { when_true, when_other } of page.histograms) {
      assert.equal(
        [...when_true, ...when_other].reduce((sum, count) => sum + count, 0),
        91,
      )
      assert.equal(when_true.length, 20)
    }
    assert.equal(
      page.reliability.reduce((sum, { count }) => sum + count, 0),
      91,
    )
  })

  it('prints names of any width in line, and nothing that moves the cursor', async () => {
    const labels = ['日本', 'a\u001b[2Jb']
    const { whole } = await evaluate(
      async function* (texts) {
        for await (const text of texts)
          yield { scores: { [labels[text.length] ?? '']: 1, [labels[1 - text.length] ?? '']: 0 } }
      },
      [
        { text: '', label: 0 },
        { text: 'x', label: 1 },
      ],
      { labels },
    )
    const text = reportText(whole)
    assert.match(text, /^ {8}日本 {3}1\.000000/m)
    assert.ok(!text.includes('\u001b'))
  })
})

describe('a comparison', () => {
  it('counts who is right alone, and lists the texts where the labels differ, the furthest apart first', () => {
    const comparer = new Comparer(LABELS)
    const rows: [true_class: number, first: number[], second: number[]][] = [
      [0, [0.9, 0.1, 0], [0.8, 0.2, 0]],
      [0, [0.9, 0.1, 0], [0.2, 0.8, 0]],
      [1, [0.6, 0.4, 0], [0.4, 0.6, 0]],
      [2, [0.6, 0.4, 0], [0.4, 0.6, 0]],
      [2, [0.1, 0.1, 0.8], [0.7, 0.3, 0]],
    ]
    rows.forEach(([true_class, first, scores], index) => {
      comparer.add(
        { row: index + 1, text: `t${index}`, true_class, group: undefined, scores, num_tokens: 1 },
        first,
      )
    })
    const found = comparer.comparison()
    assert.equal(found.evaluation.whole.accuracy, 0.4)
    assert.deepEqual([found.only_first_right, found.only_second_right, found.different], [2, 1, 4])
    assert.equal(found.p_value, 1)
    assert.deepEqual(
      found.differences.map(({ row }) => row),
      [5, 2, 3, 4],
    )
    assert.deepEqual(found.differences[0], {
      row: 5,
      text: 't4',
      true_label: 'positive',
      first: { predicted_label: 'positive', score: 0.8 },
      second: { predicted_label: 'negative', score: 0.7 },
    })
  })
})
