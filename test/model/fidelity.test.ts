import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { findWeights } from '../../lib/checkpoint'
import { openBinding, type Addon, type LoadSpec } from '../../lib/binding'
import { ElectraClassifier, exportArchive } from '../../lib/index'

const FIXTURES = join(__dirname, '..', 'fixtures')
const CHECKPOINTS = join(FIXTURES, 'checkpoints')
const TEXTS = join(__dirname, '..', '..', '..', 'shared', 'data', 'val_with_electra_preds.csv')

/** Against Python in fp32, on weights whose logits differ clearly from row to row. */
const PARITY = 1e-4
/**
 * A row alone against the same row in a batch, in proportion where logits are larger than one: of libtorch's operators,
 * whose sums go another way with the number of rows. The library's own kernels give the same bits.
 */
const SAME = 1e-5

interface Row {
  input_ids: number[]
  token_type_ids: number[]
  logits: number[]
  logits_with_types: number[]
}

function readJson(...path: string[]): unknown {
  return JSON.parse(readFileSync(join(...path), 'utf8'))
}

function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = '',
): void {
  assert.equal(actual.length, expected.length, what)
  const differences = Array.from(actual, (value, i) => Math.abs(value - (expected[i] ?? NaN)))
  const largest = Math.max(...differences)
  // Not `largest > tolerance`: NaN must fail.
  assert.ok(largest <= tolerance, `${what} differs by ${largest}`)
}

function pack(rows: readonly number[][]): [input_ids: Int32Array, cu_seqlens: Int32Array] {
  const offsets = [0]
  for (const row of rows) offsets.push((offsets.at(-1) ?? 0) + row.length)
  return [Int32Array.from(rows.flat()), Int32Array.from(offsets)]
}

describe('fidelity: the numbers are Python’s', () => {
  let folder: string
  let addon: Addon

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fidelity-'))
    addon = (await openBinding()).addon
  })

  after(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  const spec = async (checkpoint: string): Promise<LoadSpec> => ({
    kind: 'checkpoint',
    path: await findWeights(checkpoint),
    config: readFileSync(join(checkpoint, 'config.json'), 'utf8'),
    device: 'cpu',
    dtype: 'fp32',
    threads: 2,
  })

  const variants = readdirSync(CHECKPOINTS).filter((name) => name !== 'activations')

  for (const name of variants) {
    describe(name, () => {
      const checkpoint = join(CHECKPOINTS, name)
      const golden = readJson(checkpoint, 'golden.json') as Row[]

      it('gives Python’s logits, in one batch and alone, with and without token types', async () => {
        const model = await addon.Model.load(await spec(checkpoint))
        const { num_labels } = model.info
        const own_kernels = model.info.notes.join(' ').includes('own kernels')
        assert.equal(num_labels, golden[0]?.logits.length)
        const [input_ids, cu_seqlens] = pack(golden.map((row) => row.input_ids))
        const types = Int32Array.from(golden.flatMap((row) => row.token_type_ids))
        const together = await model.forward(input_ids, cu_seqlens)
        const typed = await model.forward(input_ids, cu_seqlens, types)
        for (const [i, row] of golden.entries()) {
          const slice = (logits: Float32Array): Float32Array =>
            logits.subarray(i * num_labels, (i + 1) * num_labels)
          assertClose(slice(together), row.logits, PARITY, `row ${i}`)
          assertClose(slice(typed), row.logits_with_types, PARITY, `row ${i} with token types`)
          const alone = await model.forward(...pack([row.input_ids]))
          const largest = Math.max(1, ...slice(together).map(Math.abs))
          assertClose(alone, slice(together), own_kernels ? 0 : SAME * largest, `row ${i} alone`)
        }
        await model.close()
      })

      it('is the same as an archive of it', async () => {
        const archive = join(folder, `${name}.pt`)
        await exportArchive(checkpoint, archive)
        const own = await addon.Model.load({ ...(await spec(checkpoint)), kind: 'archive', path: archive })
        assert.equal(own.info.engine, 'electra')
        const [input_ids, cu_seqlens] = pack(golden.map((row) => row.input_ids))
        const types = Int32Array.from(golden.flatMap((row) => row.token_type_ids))
        const logits = await own.forward(input_ids, cu_seqlens)
        assertClose(
          logits,
          golden.flatMap((row) => row.logits),
          PARITY,
        )
        const typed = await own.forward(input_ids, cu_seqlens, types)
        assertClose(
          typed,
          golden.flatMap((row) => row.logits_with_types),
          PARITY,
          'with token types',
        )
        await own.close()
        await using classifier = await ElectraClassifier.load(archive, { dtype: 'fp32' })
        assert.equal(classifier.info.engine, 'electra')
      })
    })
  }

  describe('activations', () => {
    const checkpoint = join(CHECKPOINTS, 'activations')
    const golden = readJson(checkpoint, 'golden.json') as {
      rows: number[][]
      hidden_activation: Record<string, number[][]>
      hidden_act: Record<string, number[][]>
    }
    for (const key of ['hidden_activation', 'hidden_act'] as const) {
      for (const [name, expected] of Object.entries(golden[key])) {
        it(`${key} ${name}`, async () => {
          const base = await spec(checkpoint)
          const config = JSON.stringify({ ...(JSON.parse(base.config) as object), [key]: name })
          const model = await addon.Model.load({ ...base, config })
          const logits = await model.forward(...pack(golden.rows))
          assertClose(logits, expected.flat(), PARITY)
          await model.close()
        })
      }
    }

    for (const name of ['GLU', 'Softmax', 'Threshold', 'MultiheadAttention', 'NoSuchThing']) {
      it(`refuses ${name} by name, with what is supported`, async () => {
        const base = await spec(checkpoint)
        const config = JSON.stringify({ ...(JSON.parse(base.config) as object), hidden_activation: name })
        await assert.rejects(addon.Model.load({ ...base, config }), (error: Error & { code?: string }) => {
          assert.equal(error.code, 'CHECKPOINT_INVALID')
          assert.match(
            error.message,
            new RegExp(`hidden_activation is "${name}"; supported are SwishGLU, PReLU, CELU`),
          )
          return true
        })
      })
    }
  })

  describe('the model that ships', () => {
    const golden = readJson(FIXTURES, 'shipped.json') as {
      texts: number
      logits: Record<string, number[]>
      labels: string
      accuracy: number
      macro_f1: number
    }
    let texts: { sentence: string; label: string }[] = []

    before(function () {
      if (!existsSync(TEXTS)) {
        console.log(`      skipped: there are no texts at ${TEXTS}`)
        this.skip()
      }
      texts = parse(readFileSync(TEXTS), { columns: true })
    })

    it('gives Python’s logits on 500 texts, and its label, accuracy and macro F1 on all', async function () {
      this.timeout(600_000)
      await using classifier = await ElectraClassifier.load(undefined, { dtype: 'fp32' })
      const results = await classifier.classify(texts.map(({ sentence }) => sentence))
      for (const [row, logits] of Object.entries(golden.logits)) {
        assertClose(results[Number(row)]?.logits ?? [], logits, PARITY, `text ${row}`)
      }
      const predicted = results.map(({ label }) => label)
      assert.equal(predicted.map((label) => classifier.labels.indexOf(label)).join(''), golden.labels)
      const gold = texts.map(({ label }) => label)
      assert.equal(accuracy(gold, predicted).toFixed(4), golden.accuracy.toFixed(4))
      assert.equal(macroF1(gold, predicted, classifier.labels).toFixed(4), golden.macro_f1.toFixed(4))
    })

    for (const dtype of ['bf16', 'fp16'] as const) {
      it(`agrees in ${dtype} with Python’s fp32 on 99.5 % of the labels`, async function () {
        this.timeout(600_000)
        await using classifier = await ElectraClassifier.load(undefined, { dtype })
        const sample = Array.from({ length: 400 }, (_, i) => i * 10)
        const results = await classifier.classify(sample.map((row) => texts[row]?.sentence ?? ''))
        const same = results.filter(
          ({ label }, i) => String(classifier.labels.indexOf(label)) === golden.labels[sample[i] ?? 0],
        ).length
        assert.ok(same / sample.length >= 0.995, `${same} of ${sample.length}`)
      })
    }
  })

  describe('an archive in Python', () => {
    it('gives the same logits through torch.jit.load: alone, padded, frozen, and with token types', function () {
      this.timeout(300_000)
      const python = process.env.ELECTRA_TEST_PYTHON ?? 'python3'
      if (spawnSync(python, ['-c', 'import torch, numpy']).status !== 0) {
        console.log(`      skipped: ${python} has no torch and numpy (ELECTRA_TEST_PYTHON names another)`)
        this.skip()
      }
      const cases = variants.map((name) => ({
        archive: join(folder, `${name}.pt`),
        rows: readJson(CHECKPOINTS, name, 'golden.json') as Row[],
      }))
      const script = `
import json, sys, torch
for case in json.load(sys.stdin):
    module = torch.jit.load(case["archive"]).eval()
    rows = [row["input_ids"] for row in case["rows"]]
    golden = torch.tensor([row["logits"] for row in case["rows"]])
    golden_typed = torch.tensor([row["logits_with_types"] for row in case["rows"]])
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    types = torch.tensor([row["token_type_ids"] + [0] * (longest - len(row["token_type_ids"])) for row in case["rows"]])
    with torch.no_grad():
        alone = torch.cat([module(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long)) for row in rows])
        padded = module(ids, mask)
        typed = module(ids, mask, types)
        frozen = torch.jit.freeze(module)(ids, mask)
        half = module.to(torch.bfloat16)(ids, mask)
    for name, logits, expected in [
        ("alone", alone, golden), ("padded", padded, golden), ("frozen", frozen, golden), ("typed", typed, golden_typed)
    ]:
        difference = (logits - expected).abs().max().item()
        assert difference <= ${PARITY}, f'{case["archive"]} {name} differs by {difference}'
    assert half.dtype == torch.bfloat16 and half.isfinite().all(), case["archive"]
print("same")
`
      const printed = execFileSync(python, ['-c', script], { input: JSON.stringify(cases), encoding: 'utf8' })
      assert.equal(printed, 'same\n')
    })

    it('holds config and tokenizer, and names its tensors as Hugging Face does', async () => {
      const files = await addon.readArchive(join(folder, 'mean-swishglu.pt'))
      const names = files.map(({ name }) => name)
      for (const name of ['config.json', 'vocab.txt']) assert.ok(names.includes(name), names.join())
    })
  })
})

describe('foreign archives: the script engine', () => {
  const TRACES = join(FIXTURES, 'traces')
  const golden = (name: string): { input_ids: number[]; logits: number[] }[] =>
    readJson(TRACES, name, 'golden.json') as { input_ids: number[]; logits: number[] }[]

  for (const [name, mixes] of [
    ['mean', true],
    ['leaking', false],
  ] as const) {
    it(`runs a trace whose padding ${mixes ? 'does not matter' : 'leaks'}, and every row as when alone`, async () => {
      await using classifier = await ElectraClassifier.load(join(TRACES, name, 'model.pt'))
      assert.equal(classifier.info.engine, 'script')
      assert.equal(classifier.info.dtype, 'fp32')
      assert.equal(classifier.info.mixes_lengths, mixes)
      if (!mixes) assert.match(classifier.info.notes.join(' '), /unequal length .*apart/)
      assert.deepEqual(classifier.labels, ['a', 'b', 'c'])
      const rows = golden(name)
      const logits = await classifier.forward(rows.map((row) => row.input_ids))
      for (const [i, row] of rows.entries()) {
        assertClose(logits[i] ?? [], row.logits, PARITY, `row ${i}`)
        const [alone] = await classifier.forward([row.input_ids])
        assertClose(alone ?? [], logits[i] ?? [], SAME, `row ${i} alone`)
      }
      const { label } = await classifier.classify('a b c')
      assert.ok(['a', 'b', 'c'].includes(label))
    })
  }

  const refused: [string, string, RegExp][] = [
    ['fixed-shape', 'MODEL_LOAD_FAILED', /shape/i],
    ['no-mask', 'CHECKPOINT_INVALID', /input_ids, attention_mask/],
    ['wrong-output', 'CHECKPOINT_INVALID', /\[\d+, 3\]/],
  ]
  for (const [name, code, message] of refused) {
    it(`refuses ${name} with ${code}`, async () => {
      await assert.rejects(
        ElectraClassifier.load(join(TRACES, name, 'model.pt')),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, code, error.message)
          assert.match(error.message, message)
          return true
        },
      )
    })
  }

  it('needs a config, inside or beside', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'trace-'))
    try {
      cpSync(join(TRACES, 'mean', 'model.pt'), join(folder, 'model.pt'))
      await assert.rejects(ElectraClassifier.load(join(folder, 'model.pt')), {
        code: 'CHECKPOINT_INVALID',
        message: /holds no config\.json and there is none beside it; put the model's config\.json/,
      })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('threads', () => {
  it('are each classifier’s own', async function () {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      console.log('      skipped: threads are counted in /proc, and on arm64 libtorch starts further ones')
      this.skip()
    }
    const lanes = (): string[] =>
      readdirSync('/proc/self/task').filter((task) =>
        /^electra-(?:lane|\d+)\n$/.test(readFileSync(`/proc/self/task/${task}/comm`, 'utf8')),
      )
    // A lane, and the rest of its team by number; where libtorch computes, OpenMP's workers carry the lane's name.
    const before = new Set(lanes())
    const rows = Array.from({ length: 8 }, () => new Int32Array(64).fill(2000))
    const one = await ElectraClassifier.load(undefined, { dtype: 'fp32', threads: 1 })
    await one.forward(rows)
    const with_one = lanes().filter((task) => !before.has(task))
    assert.equal(with_one.length, 1)
    const three = await ElectraClassifier.load(undefined, { dtype: 'fp32', threads: 3 })
    await three.forward(rows)
    const with_both = lanes().filter((task) => !before.has(task))
    assert.equal(with_both.length, 4)
    // The first still keeps to one, although the process has seen a larger number since.
    await one.forward(rows)
    assert.equal(lanes().filter((task) => !before.has(task)).length, 4)
    assert.equal(one.info.threads, 1)
    assert.equal(three.info.threads, 3)
    await one.close()
    await three.close()
  })
})

function accuracy(gold: readonly string[], predicted: readonly string[]): number {
  return predicted.filter((label, i) => label === gold[i]).length / gold.length
}

/** Mean over labels of 2·TP / (2·TP + FP + FN). */
function macroF1(gold: readonly string[], predicted: readonly string[], labels: readonly string[]): number {
  const scores = labels.map((label) => {
    const true_positive = predicted.filter((each, i) => each === label && gold[i] === label).length
    const claimed = predicted.filter((each) => each === label).length
    const there = gold.filter((each) => each === label).length
    return (2 * true_positive) / (claimed + there)
  })
  return scores.reduce((sum, score) => sum + score, 0) / labels.length
}
