import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { openBinding, type Addon, type LoadSpec, type Model } from '../../lib/binding'
import { SHIPPED_MODEL } from '../../lib/checkpoint'
import { ElectraClassifier } from '../../lib/index'

const FIXTURES = join(__dirname, '..', 'fixtures')
const CHECKPOINTS = join(FIXTURES, 'checkpoints')
const TEXTS = join(__dirname, '..', '..', '..', 'shared', 'data', 'val_with_electra_preds.csv')
const DTYPES = ['fp32', 'bf16', 'fp16', 'int8'] as const

/** What this CPU runs by itself, and its AVX2 alone. */
const ISAS = [undefined, 'avx2'] as const

interface Row {
  input_ids: number[]
  logits: number[]
}

async function withIsa<T>(isa: string | undefined, work: () => Promise<T>): Promise<T> {
  const before = process.env.ELECTRA_CPU_ISA
  if (isa !== undefined) process.env.ELECTRA_CPU_ISA = isa
  try {
    return await work()
  } finally {
    if (before === undefined) delete process.env.ELECTRA_CPU_ISA
    else process.env.ELECTRA_CPU_ISA = before
  }
}

function forward(model: Model, rows: readonly (readonly number[])[]): Promise<Float32Array> {
  const offsets = [0]
  for (const row of rows) offsets.push((offsets.at(-1) ?? 0) + row.length)
  return model.forward(Int32Array.from(rows.flat()), Int32Array.from(offsets))
}

describe('the CPU encoder', () => {
  let addon: Addon
  before(async () => {
    addon = (await openBinding()).addon
  })

  const spec = (folder: string, dtype: LoadSpec['dtype'], threads: number): LoadSpec => ({
    kind: 'checkpoint',
    path: join(folder, 'model.safetensors'),
    config: readFileSync(join(folder, 'config.json'), 'utf8'),
    device: 'cpu',
    dtype,
    threads,
  })

  const givesPythonsLogits = (isa: string | undefined): Promise<void> =>
    withIsa(isa, async () => {
      for (const name of readdirSync(CHECKPOINTS).filter((folder) => folder !== 'activations')) {
        const folder = join(CHECKPOINTS, name)
        if (!existsSync(join(folder, 'model.safetensors'))) continue
        const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as Row[]
        const model = await addon.Model.load(spec(folder, 'fp32', 2))
        const logits = await forward(
          model,
          golden.map((row) => row.input_ids),
        )
        golden
          .flatMap((row) => row.logits)
          .forEach((expected, i) => {
            const off = Math.abs((logits[i] ?? NaN) - expected)
            assert.ok(off <= 1e-4, `${name}: logit ${i} is off by ${off}`)
          })
        await model.close()
      }
    })

  it('gives Python’s logits in fp32 on libtorch’s operators, which serve where there are no kernels', async () => {
    await givesPythonsLogits('none')
    await withIsa('none', async () => {
      await using classifier = await ElectraClassifier.load(undefined, { device: 'cpu' })
      assert.equal(classifier.info.dtype, 'fp32')
      assert.ok(classifier.info.notes.includes("The encoder runs on libtorch's operators."))
    })
  })

  for (const isa of ISAS) {
    const where = isa ?? 'all that this CPU has'

    it(`gives Python’s logits in fp32, with ${where}`, () => givesPythonsLogits(isa))

    for (const dtype of DTYPES) {
      it(`gives a row the same bits alone, in any batch, on any number of threads: ${dtype}, ${where}`, () =>
        withIsa(isa, async () => {
          // One long row among short ones, as many as make several groups, and lengths that fill no vector.
          const lengths = [1, 2, 3, 512, 17, 40, 16, 129, 5, 5, 5, 64, 33, 31, 100, 7]
          const rows = lengths.map((length, row) =>
            Array.from({ length }, (_, i) => 1000 + ((row * 613 + i * 7919) % 25000)),
          )
          const results: string[][] = []
          for (const threads of [1, 2, 3]) {
            const model = await addon.Model.load(spec(SHIPPED_MODEL, dtype, threads))
            const { num_labels } = model.info
            const together = await forward(model, rows)
            const few = await forward(model, rows.slice(0, 3))
            const bits = (logits: Float32Array, row: number): string =>
              Buffer.from(logits.slice(row * num_labels, (row + 1) * num_labels).buffer).toString('hex')
            results.push(rows.map((_, row) => bits(together, row)))
            for (const [i, row] of rows.entries()) {
              assert.equal(bits(await forward(model, [row]), 0), bits(together, i), `row ${i} alone`)
              if (i < 3) assert.equal(bits(few, i), bits(together, i), `row ${i} among three`)
            }
            await model.close()
          }
          assert.deepEqual(results[1], results[0])
          assert.deepEqual(results[2], results[0])
          assert.ok(
            new Set(results[0]).size > lengths.length / 2,
            'logits that do not depend on the row prove nothing',
          )
        })).timeout(120_000)
    }

    it(`loses at most half a point of macro F1 in int8, with ${where}`, async function () {
      this.timeout(300_000)
      if (!existsSync(TEXTS)) {
        console.log(`      skipped: the labelled texts are not at ${TEXTS}`)
        this.skip()
      }
      const rows = parse(readFileSync(TEXTS), { columns: true }) as unknown as Record<string, string>[]
      const golden = JSON.parse(readFileSync(join(FIXTURES, 'shipped.json'), 'utf8')) as { macro_f1: number }
      await withIsa(isa, async () => {
        await using classifier = await ElectraClassifier.load(undefined, { dtype: 'int8' })
        assert.equal(classifier.info.dtype, 'int8')
        const results = await classifier.classify(rows.map(({ sentence }) => sentence ?? ''))
        const f1 = classifier.labels.map((label) => {
          const found = results.map((result) => result.label === label)
          const real = rows.map((row) => row.label === label)
          const hits = found.filter((is_found, i) => is_found && real[i]).length
          return (2 * hits) / (found.filter(Boolean).length + real.filter(Boolean).length)
        })
        const macro_f1 = f1.reduce((sum, value) => sum + value, 0) / f1.length
        assert.ok(macro_f1 >= golden.macro_f1 - 0.005, `${macro_f1} against ${golden.macro_f1}`)
      })
    })
  }

  it('says which kernels it runs on', async () => {
    await withIsa('avx2', async () => {
      await using classifier = await ElectraClassifier.load()
      assert.equal(classifier.info.dtype, 'fp16')
      assert.ok(
        classifier.info.notes.includes(
          'The encoder runs on the library’s own kernels for avx2.'.replace('’', "'"),
        ),
      )
    })
  })

  it('refuses int8 for an archive’s own forward', async () => {
    await assert.rejects(
      ElectraClassifier.load(join(FIXTURES, 'traces', 'mean', 'model.pt'), { dtype: 'int8' }),
      (error: Error) => {
        assert.ok(error instanceof RangeError, String(error))
        assert.match(
          error.message,
          /dtype 'int8' cannot be used here: an archive's own forward has no int8; use 'auto'/,
        )
        return true
      },
    )
  })
})
