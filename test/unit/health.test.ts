import assert from 'node:assert/strict'
import { ElectraError } from '../../lib/errors'
import { Health } from '../../lib/health'
import { shareOut } from '../../lib/replicas'

type Answer = number[] | { code: string } | 'never'

/** A model that answers as it is told: batches by their first id, and 0 is the probe's. */
function fakeModel(answers: Record<number, Answer>) {
  let hung: { call: number; began: number; reject: (reason: Error) => void } | undefined
  let lost = false
  const model = {
    batches: [] as number[],
    given_up: 0,
    forward(ids: Int32Array): Promise<Float32Array> {
      const id = ids[0] ?? 0
      model.batches.push(id)
      if (lost) return Promise.reject(failure('UNHEALTHY'))
      const answer = answers[id] ?? [1, 2]
      if (Array.isArray(answer)) return Promise.resolve(Float32Array.from(answer))
      if (answer !== 'never') return Promise.reject(failure(answer.code))
      return new Promise((_, reject) => {
        hung = { call: model.batches.length, began: performance.now(), reject }
      })
    },
    running: () => hung && { call: hung.call, ms: performance.now() - hung.began },
    giveUp(call: number): boolean {
      if (hung?.call !== call) return false
      model.given_up++
      lost = true
      hung.reject(failure('FORWARD_FAILED'))
      hung = undefined
      return true
    },
  }
  return model
}

function failure(code: string): Error & { code: string } {
  return Object.assign(new Error('the engine broke'), { code })
}

function watch(answers: Record<number, Answer>, watchdog_ms = 60_000) {
  const model = fakeModel(answers)
  const reasons: ElectraError[] = []
  const health = new Health(model, watchdog_ms, (reason) => reasons.push(reason))
  const run = (id: number) => health.forward(Int32Array.of(id), Int32Array.of(0, 1), undefined)
  return { model, health, reasons, run }
}

const broken = { code: 'FORWARD_FAILED' }
const UNHEALTHY_OF_BREAKING =
  'The model can score nothing any more (the engine broke); close this classifier and load a new one.'

describe('health: a batch that cannot be scored, or a model that can score nothing', () => {
  it('runs batches as they are, and nothing beside them', async () => {
    const { model, health, run } = watch({})
    assert.deepEqual([...(await run(5))], [1, 2])
    assert.deepEqual(model.batches, [5])
    assert.equal(health.healthy, true)
  })

  it('stays healthy where one batch fails and the probe does not', async () => {
    const { model, health, reasons, run } = watch({ 7: broken })
    await assert.rejects(run(7), { name: 'Error', code: 'FORWARD_FAILED', message: 'the engine broke' })
    assert.deepEqual(model.batches, [7, 0])
    assert.equal(health.healthy, true)
    assert.deepEqual(reasons, [])
  })

  it('is unhealthy where the probe fails too, before the caller hears of the failure', async () => {
    const { health, reasons, run } = watch({ 7: broken, 0: broken })
    await assert.rejects(run(7), {
      name: 'ElectraError',
      code: 'FORWARD_FAILED',
      message: 'the engine broke; the model can score nothing any more, so load it anew.',
    })
    assert.equal(health.healthy, false)
    assert.deepEqual(
      reasons.map(({ code, message }) => [code, message]),
      [['UNHEALTHY', UNHEALTHY_OF_BREAKING]],
    )
  })

  it('asks once for batches that fail at the same time, and says it once', async () => {
    const { model, reasons, run } = watch({ 7: broken, 8: broken, 0: broken })
    const outcomes = await Promise.allSettled([run(7), run(8)])
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    assert.deepEqual(model.batches, [7, 8, 0])
    assert.equal(reasons.length, 1)
  })

  const NO_NUMBERS: [string, number[]][] = [
    ['NaN', [1, NaN]],
    ['infinite', [Infinity, 1]],
    ['all minus infinite', [-Infinity, -Infinity]],
  ]
  for (const [what, logits] of NO_NUMBERS) {
    it(`is unhealthy where logits are ${what} for the probe too`, async () => {
      const { health, reasons, run } = watch({ 7: logits, 0: logits })
      assert.deepEqual([...(await run(7))], logits)
      assert.equal(health.healthy, false)
      assert.match(reasons[0]?.message ?? '', /\(it puts out no numbers for any text\)/)
    })
    it(`stays healthy where logits are ${what} for one batch`, async () => {
      const { model, health, run } = watch({ 7: logits })
      assert.deepEqual([...(await run(7))], logits)
      assert.deepEqual(model.batches, [7, 0])
      assert.equal(health.healthy, true)
    })
  }

  it('takes a label that is masked with minus infinity for a number', async () => {
    const { model, run } = watch({ 7: [-Infinity, 1] })
    await run(7)
    assert.deepEqual(model.batches, [7])
  })

  for (const code of ['OUT_OF_MEMORY', 'ERR_OUT_OF_RANGE', 'CLOSED']) {
    it(`learns nothing of its health from ${code}`, async () => {
      const { model, health, run } = watch({ 7: { code }, 8: broken, 0: { code } })
      await assert.rejects(run(7), { code })
      assert.deepEqual(model.batches, [7])
      await assert.rejects(run(8), { code: 'FORWARD_FAILED' })
      assert.equal(health.healthy, true)
    })
  }

  describe('its watch', () => {
    const { setInterval, clearInterval } = globalThis
    let look: (() => void) | undefined
    let every = 0
    beforeEach(() => {
      globalThis.setInterval = ((callback: () => void, ms: number) => {
        look = callback
        every = ms
        return { unref: () => 'timer' }
      }) as unknown as typeof setInterval
      globalThis.clearInterval = (timer) => {
        if ((timer as unknown) === 'timer') look = undefined
      }
    })
    afterEach(() => {
      Object.assign(globalThis, { setInterval, clearInterval })
      look = undefined
    })
    /** Looks so many times, at a batch that has run for `ms` then. */
    const lookAt = (model: ReturnType<typeof fakeModel>, times: number, call: number, ms: number) => {
      model.running = () => ({ call, ms })
      for (let i = 0; i < times; i++) look?.()
    }

    it('gives up a batch that runs longer than watchdog_ms, and is unhealthy', async () => {
      const { model, health, reasons, run } = watch({ 7: 'never' }, 800)
      const hung = assert.rejects(run(7), { code: 'FORWARD_FAILED' })
      assert.equal(every, 100)
      lookAt(model, 8, 1, 799)
      assert.equal(model.given_up, 0)
      lookAt(model, 1, 1, 800)
      assert.equal(model.given_up, 1)
      await hung
      assert.equal(health.healthy, false)
      assert.equal(reasons[0]?.code, 'UNHEALTHY')
      assert.equal(look, undefined)
    })

    it('counts from the start of the batch that runs', () => {
      const { model, run } = watch({ 7: 'never' }, 800)
      void run(7)
      for (let call = 1; call < 30; call++) lookAt(model, 7, call, 700)
      assert.equal(model.given_up, 0)
    })

    it('does not take a batch for hung that could not run, because the process was stopped', () => {
      const { model, run } = watch({ 7: 'never' }, 800)
      void run(7)
      lookAt(model, 1, 1, 100)
      lookAt(model, 1, 1, 600_000)
      assert.equal(model.given_up, 0)
      lookAt(model, 6, 1, 600_600)
      assert.equal(model.given_up, 1)
    })

    it('looks while batches run, and holds nothing when none does', async () => {
      const { model, run } = watch({ 7: 'never' }, 800)
      const hung = run(7)
      await run(5)
      assert.notEqual(look, undefined)
      model.giveUp(1)
      await assert.rejects(hung)
      assert.equal(look, undefined)
    })
  })
})

describe('health: replicas', () => {
  const pair = (first: Record<number, Answer>, watchdog_ms?: number) => {
    const replicas = [watch(first, watchdog_ms), watch({}, watchdog_ms)] as const
    const forward = shareOut(replicas.map(({ health }) => health.forward))
    return {
      replicas,
      run: (id: number) => forward(Int32Array.of(id), Int32Array.of(0, 1), undefined),
    }
  }

  it('asks the one that failed, and leaves the other alone', async () => {
    const { replicas, run } = pair({ 5: broken, 0: broken })
    const [failed, fine] = [run(5), run(6)]
    await assert.rejects(failed, broken)
    await fine
    assert.deepEqual(
      replicas.map(({ model }) => model.batches),
      [[5, 0], [6]],
    )
    assert.deepEqual(
      replicas.map(({ health }) => health.healthy),
      [false, true],
    )
    assert.deepEqual(
      replicas.map(({ reasons }) => reasons.map(({ message }) => message)),
      [[UNHEALTHY_OF_BREAKING], []],
    )
  })

  it('gives up the batch that hangs on one, while the other works on', async () => {
    const { replicas, run } = pair({ 5: 'never' }, 40)
    const hung = run(5)
    assert.deepEqual([...(await run(6))], [1, 2])
    await assert.rejects(hung, broken)
    assert.deepEqual(
      replicas.map(({ model }) => model.given_up),
      [1, 0],
    )
    assert.deepEqual(
      replicas.map(({ health }) => health.healthy),
      [false, true],
    )
  })
})
