import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type Addon, fakeAddon, needsFakeCore, scratchPath, spec, until } from './fake'

/** A batch of one row of one token. */
const batch = (id: number) => [Int32Array.of(id), Int32Array.of(0, 1)] as const

describe('a model whose device works on one batch while another is handed over', () => {
  needsFakeCore()
  let addon: Addon
  before(async () => {
    addon = await fakeAddon()
  })

  /** A model that finishes nothing before `open` is called; `begun` are the codes that batches began with. */
  async function gated(script = '') {
    const file = scratchPath('overlap')
    const model = await addon.Model.load(spec(`overlap=${file} ${script}`))
    const begun = () =>
      existsSync(`${file}.begun`) ? readFileSync(`${file}.begun`, 'utf8').split('\n') : ['']
    return {
      model,
      begun: () => begun().slice(0, -1),
      open: () => {
        writeFileSync(file, '')
      },
    }
  }

  it('begins the next batch before the first is done, and no third', async () => {
    const { model, begun, open } = await gated()
    const settled: number[] = []
    const running = [7, 8, 9].map((id) =>
      model.forward(...batch(id)).then((logits) => {
        settled.push(id)
        return logits[0]
      }),
    )
    await until(() => begun().length === 2)
    assert.deepEqual(settled, [])
    open()
    assert.deepEqual(await Promise.all(running), [7, 8, 9])
    assert.deepEqual(settled, [7, 8, 9])
    assert.deepEqual(begun(), ['0', '0', '0'])
    await model.close()
  })

  it('rejects the batch that could not begin, and that one alone', async () => {
    const { model, begun, open } = await gated()
    const first = model.forward(...batch(1))
    const bad = model.forward(Int32Array.of(1), Int32Array.of(1, 1))
    const last = model.forward(...batch(3))
    void bad.catch(() => undefined)
    await until(() => begun().length === 2)
    open()
    assert.equal((await first)[0], 1)
    await assert.rejects(bad, {
      code: 'ERR_OUT_OF_RANGE',
      message: 'cu_seqlens does not end at the last token',
    })
    assert.equal((await last)[0], 3)
    await model.close()
  })

  it('finishes what runs when it is closed, and rejects what was begun behind it', async () => {
    const { model, begun, open } = await gated()
    const first = model.forward(...batch(1))
    const second = model.forward(...batch(2))
    void second.catch(() => undefined)
    await until(() => begun().length === 2)
    const closed = model.close()
    await assert.rejects(second, { code: 'CLOSED' })
    open()
    assert.equal((await first)[0], 1)
    await closed
  })

  it('runs nothing more where the model is lost while a batch begins', async () => {
    const { model, begun, open } = await gated('forward=9 on=2')
    const first = model.forward(...batch(1))
    const lost = assert.rejects(model.forward(...batch(2)), { code: 'FORWARD_FAILED' })
    const last = assert.rejects(model.forward(...batch(3)), { code: 'UNHEALTHY' })
    await until(() => begun().length === 2)
    open()
    assert.equal((await first)[0], 1)
    await Promise.all([lost, last])
    assert.deepEqual(begun(), ['0', '9'])
    await assert.rejects(model.forward(...batch(4)), { code: 'UNHEALTHY' })
    await model.close()
  })

  it('frees the model where a device that hangs is given up', async () => {
    const freed = scratchPath('freed')
    const { model, begun } = await gated(`freed=${freed}`)
    const hung = assert.rejects(model.forward(...batch(1)), {
      code: 'FORWARD_FAILED',
      message: /^a batch was given up that had run for /,
    })
    const behind = assert.rejects(model.forward(...batch(2)), { code: 'UNHEALTHY' })
    await until(() => begun().length === 2)
    assert.equal(model.giveUp(model.running()?.call ?? 0), true)
    await Promise.all([hung, behind])
    await until(() => existsSync(freed) && readFileSync(freed, 'utf8') === 'freed\n')
    await model.close()
  })
})
