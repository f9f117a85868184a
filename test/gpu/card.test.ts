import assert from 'node:assert/strict'
import { join } from 'node:path'
import { ElectraClassifier, ElectraError, type LoadOptions } from '../../lib'
import { openBinding } from '../../lib/binding'
import { readRows } from '../fixtures/token-rows'

const SENTENCES = join(__dirname, '..', 'fixtures', 'tokens', 'sentences.rows')

function labelOf(logits: readonly number[]): number {
  return logits.indexOf(Math.max(...logits))
}

describe('on a card', () => {
  before(async function () {
    const { core } = await openBinding()
    if (core.devices.some(({ name }) => name === 'cuda:0')) return
    console.log(`  skipped: ${core.cuda_unavailable ?? 'there is no card'}`)
    this.skip()
  })

  async function scored(options: LoadOptions, rows: readonly number[][]): Promise<number[][]> {
    await using classifier = await ElectraClassifier.load(undefined, options)
    return await classifier.forward(rows)
  }

  it('labels 2,000 texts as fp32 on the CPU does, in bf16 and fp16', async () => {
    const rows = readRows(SENTENCES).slice(0, 2000)
    const expected = await scored({ device: 'cpu', dtype: 'fp32' }, rows)
    for (const dtype of ['bf16', 'fp16'] as const) {
      const found = await scored({ device: 'cuda', dtype }, rows)
      const same = found.filter((logits, row) => labelOf(logits) === labelOf(expected[row] ?? []))
      assert.ok(same.length >= 1998, `${dtype}: ${same.length} of 2000`)
    }
  })

  it('gives eagerly what it gives by graphs', async () => {
    const rows = readRows(SENTENCES).slice(0, 100)
    const graphs = await scored({ device: 'cuda', dtype: 'fp32' }, rows)
    const eager = await scored({ device: 'cuda', dtype: 'fp32', warmup: 'eager' }, rows)
    graphs.flat().forEach((logit, index) => {
      assert.ok(Math.abs(logit - (eager.flat()[index] ?? NaN)) < 1e-3)
    })
  })

  it('says what it captured, and captures what it is asked for', async () => {
    const bucket = { tokens: 64, rows: 1, longest: 64 }
    await using classifier = await ElectraClassifier.load(undefined, {
      device: 'cuda',
      graph_buckets: [bucket],
    })
    assert.equal(classifier.device, 'cuda:0')
    assert.ok(classifier.info.notes.some((note) => note.startsWith('Captured 1 of 1 CUDA graphs')))
    assert.equal((await classifier.classify('I love this restaurant!')).label, 'positive')
  })

  it('refuses a card that is not there', async () => {
    await assert.rejects(ElectraClassifier.load(undefined, { device: 'cuda:99' }), (error) => {
      assert.ok(error instanceof ElectraError)
      assert.equal(error.code, 'DEVICE_UNAVAILABLE')
      assert.match(error.message, /the last is cuda:\d+/)
      return true
    })
  })
})
