import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { SHIPPED_MODEL } from '../../lib/checkpoint'
import { ElectraClassifier } from '../../lib/index'

const words = readFileSync(join(SHIPPED_MODEL, 'vocab.txt'), 'utf8').trim().split('\n')

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  // Halves of surrogate pairs among them.
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 30 })
    .map((units) => String.fromCharCode(...units)),
  fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((some) => some.join(' ')),
  fc
    .tuple(fc.string({ unit: 'grapheme', minLength: 1 }), fc.integer({ min: 1, max: 400 }))
    .map(([text, times]) => text.repeat(times)),
)

describe('any array of any strings', function () {
  this.timeout(300_000)
  let classifier: ElectraClassifier
  before(async () => {
    classifier = await ElectraClassifier.load()
  })
  after(() => classifier.close())

  it('gives as many results, in order, equal to one by one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyText, { maxLength: 12 }), async (texts) => {
        const together = await classifier.classify(texts)
        const streamed = []
        for await (const result of classifier.classifyStream(texts)) streamed.push(result)
        const alone = []
        for (const text of texts) alone.push(await classifier.classify(text))
        assert.deepEqual(together, alone)
        assert.deepEqual(streamed, alone)
      }),
      { numRuns: 25 },
    )
  })

  it('gives one result for each text of calls that were made at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(anyText, { maxLength: 4 }), { maxLength: 6 }), async (calls) => {
        const results = await Promise.all(calls.map((texts) => classifier.classify(texts)))
        for (const [i, texts] of calls.entries()) {
          assert.deepEqual(results[i], await Promise.all(texts.map((text) => classifier.classify(text))))
        }
      }),
      { numRuns: 10 },
    )
  })
})
