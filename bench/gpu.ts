/* What a card takes from a text to its label, in Node: `npm run bench:gpu -- [--model MODEL]`. */
import { parseArgs } from 'node:util'
import { ElectraClassifier } from '../lib/classifier'
import { openBinding } from '../lib/binding'

const WORD = 'the '
const WARM = 50
const RUNS = 1000

/** A text of exactly so many tokens, `[CLS]` and `[SEP]` among them. */
function textOf(tokens: number): string {
  return WORD.repeat(tokens - 2)
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { model: { type: 'string' } } })
  const { core } = await openBinding()
  const card = core.devices.find(({ name }) => name === 'cuda:0')
  if (!card) {
    console.log(`skipped: ${core.cuda_unavailable ?? 'there is no card'}`)
    return
  }
  console.log(card.description)
  const began = performance.now()
  const options = { device: 'cuda:0' } as const
  const classifier =
    values.model === undefined
      ? await ElectraClassifier.load(undefined, options)
      : await ElectraClassifier.load(values.model, options)
  console.log(`load  ${((performance.now() - began) / 1000).toFixed(2)} s`)
  for (const note of classifier.info.notes) console.log(`      ${note}`)

  for (const tokens of [32, 128]) {
    const text = textOf(tokens)
    const times: number[] = []
    for (let run = 0; run < WARM + RUNS; run++) {
      const start = performance.now()
      await classifier.classify(text)
      if (run >= WARM) times.push(performance.now() - start)
    }
    times.sort((a, b) => a - b)
    const at = (share: number) => (times[Math.floor(share * (RUNS - 1))] ?? NaN).toFixed(3)
    console.log(`one text of ${tokens} tokens  p50 ${at(0.5)} ms  p99 ${at(0.99)} ms`)
  }
  for (const tokens of [20, 128]) {
    const texts = Array.from({ length: 20_000 }, () => textOf(tokens))
    await classifier.classify(texts.slice(0, 2000))
    const start = performance.now()
    await classifier.classify(texts)
    const seconds = (performance.now() - start) / 1000
    console.log(`texts of ${tokens} tokens  ${(texts.length / seconds).toFixed(0)} sequences/s`)
  }
  await classifier.close()
}

void main()
