import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Model } from '../../binding'
import {
  type Addon,
  fakeAddon,
  freshAddon,
  fakeLibtorch,
  FAKE_CORE,
  needsFakeCore,
  scratchPath,
  spec,
  until,
} from './fake'

const CLOSED_IN_QUEUE = {
  name: 'Error',
  code: 'CLOSED',
  message: 'the model was closed before this batch ran',
}
const CLOSED = { name: 'Error', code: 'CLOSED', message: 'the model is closed' }

function score(model: Model, id: number): Promise<Float32Array> {
  return model.forward(Int32Array.of(id), Int32Array.of(0, 1))
}

/** A model whose forward waits for `release`, and a promise for its having begun. */
async function gated(addon: Addon): Promise<{ model: Model; entered: Promise<void>; release: () => void }> {
  const gate = scratchPath('gate')
  const model = await addon.Model.load(spec(`forward=gate:${gate}`))
  return {
    model,
    entered: until(() => existsSync(`${gate}.entered`)),
    release: () => {
      writeFileSync(gate, '')
    },
  }
}

describe('a model of the binding', () => {
  needsFakeCore()
  let addon: Addon
  before(async () => {
    addon = await fakeAddon()
  })

  it('gives row-major logits, one row for each pair of offsets', async () => {
    const model = await addon.Model.load(spec())
    const logits = await model.forward(
      Int32Array.of(1, 2, 3, 4),
      Int32Array.of(0, 1, 4),
      Int32Array.of(0, 1, 1, 1),
    )
    assert.ok(logits instanceof Float32Array && logits.buffer instanceof ArrayBuffer)
    assert.deepEqual([...logits], [1, 1, 0, 9, 3, 3])
    await model.close()
  })

  it('answers many calls at once, each with its own rows, in order', async () => {
    const models = await Promise.all([1, 2, 3].map(() => addon.Model.load(spec())))
    const settled: number[] = []
    const answers = Array.from({ length: 600 }, async (_, i) => {
      const model = models[i % 3]
      assert.ok(model)
      const logits = await score(model, i)
      if (i % 3 === 0) settled.push(i)
      assert.deepEqual([...logits], [i, 1, -1])
    })
    await Promise.all(answers)
    assert.deepEqual(
      settled,
      [...settled].sort((a, b) => a - b),
    )
    await Promise.all(models.map((model) => model.close()))
  })

  it('copies its inputs before forward returns', async () => {
    const { model, entered, release } = await gated(addon)
    const first = score(model, 1)
    const input_ids = Int32Array.of(5, 6)
    const cu_seqlens = Int32Array.of(0, 2)
    const token_type_ids = Int32Array.of(1, 1)
    const second = model.forward(input_ids, cu_seqlens, token_type_ids)
    for (const array of [input_ids, cu_seqlens, token_type_ids]) array.fill(77)
    await entered
    release()
    assert.deepEqual([...(await first)], [1, 1, -1])
    assert.deepEqual([...(await second)], [11, 2, 2])
    await model.close()
  })

  it('hands NaN on as it is', async () => {
    const model = await addon.Model.load(spec('forward=nan'))
    assert.ok(Number.isNaN((await score(model, 1))[0]))
    await model.close()
  })

  it('close finishes what runs, rejects what is queued, and frees on the thread that loaded', async () => {
    const gate = scratchPath('gate')
    const freed = scratchPath('freed')
    const model = await addon.Model.load(spec(`forward=gate:${gate} freed=${freed}`))
    const running = score(model, 3)
    await until(() => existsSync(`${gate}.entered`))
    const queued = [score(model, 4), score(model, 5)].map((answer) => assert.rejects(answer, CLOSED_IN_QUEUE))
    const closing = model.close()
    const late = assert.rejects(score(model, 6), CLOSED)
    await Promise.all([...queued, late])
    assert.ok(!existsSync(freed), 'freed under a running batch')
    writeFileSync(gate, '')
    assert.deepEqual([...(await running)], [3, 1, -1])
    await closing
    assert.equal(readFileSync(freed, 'utf8'), 'freed\n')
  })

  it('close may be called twice, at once and later, and frees once', async () => {
    const freed = scratchPath('freed')
    const model = await addon.Model.load(spec(`freed=${freed}`))
    assert.deepEqual(await Promise.all([model.close(), model.close()]), [undefined, undefined])
    await model.close()
    assert.equal(readFileSync(freed, 'utf8'), 'freed\n')
    await assert.rejects(score(model, 1), CLOSED)
  })

  it('closes one model without touching another', async () => {
    const busy = await gated(addon)
    const other = await addon.Model.load(spec())
    const running = score(busy.model, 1)
    await busy.entered
    await other.close()
    busy.release()
    assert.deepEqual([...(await running)], [1, 1, -1])
    await busy.model.close()
  })

  it('shutdown stops what runs, rejects the rest, and ends the environment for good', async () => {
    const own = freshAddon()
    await own.open(fakeLibtorch(), FAKE_CORE)
    const { model, entered } = await gated(own)
    const idle = await own.Model.load(spec())
    const running = score(model, 1)
    const queued = score(model, 2)
    await entered
    const load = own.Model.load(spec(`load=gate:${scratchPath('never')}`))
    const expected = [
      assert.rejects(running, { code: 'CLOSED', message: 'stopped at the gate' }),
      assert.rejects(queued, CLOSED_IN_QUEUE),
      assert.rejects(load, { code: 'CLOSED' }),
    ]
    own.shutdown()
    await Promise.all(expected)
    own.shutdown()
    await assert.rejects(score(idle, 1), CLOSED)
    const shut = 'shutdown() has been called: nothing can be started in this environment any more'
    await assert.rejects(own.Model.load(spec()), { code: 'CLOSED', message: shut })
    await assert.rejects(own.readArchive('/a'), { code: 'CLOSED', message: shut })
    await model.close()
  })
})
