import assert from 'node:assert/strict'
import { untilAborted } from '../../lib/abort'
import { inOrder } from '../../lib/in-order'

interface Gate {
  promise: Promise<number>
  open: () => void
}

function gate(value: number): Gate {
  let open = (): void => undefined
  const promise = new Promise<number>((resolve) => {
    open = () => {
      resolve(value)
    }
  })
  return { promise, open }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('inOrder: results in the order of the source, bounded', () => {
  it('yields in order whatever finishes first, and reads ahead no further than the cost allows', async () => {
    const gates = Array.from({ length: 6 }, (_, index) => gate(index))
    let started = 0
    const results = inOrder(
      gates,
      (item) => {
        started++
        return Promise.resolve({ cost: 10, result: item.promise })
      },
      30,
      undefined,
    )
    const first = results.next()
    await turn()
    assert.equal(started, 3)
    gates[1]?.open()
    gates[0]?.open()
    assert.deepEqual(await first, { value: 0, done: false })
    for (const each of gates) each.open()
    const rest: number[] = []
    for await (const value of results) rest.push(value)
    assert.deepEqual(rest, [1, 2, 3, 4, 5])
  })

  it('gives a finished result without waiting for a source that is silent', async () => {
    let release: () => void = () => undefined
    async function* source(): AsyncGenerator<number> {
      yield 1
      await new Promise<void>((resolve) => (release = resolve))
      yield 2
    }
    const results = inOrder(
      source(),
      (item) => Promise.resolve({ cost: 1, result: Promise.resolve(item) }),
      10,
      undefined,
    )
    assert.deepEqual(await results.next(), { value: 1, done: false })
    const second = results.next()
    await turn()
    release()
    assert.deepEqual(await second, { value: 2, done: false })
    assert.deepEqual(await results.next(), { value: undefined, done: true })
  })

  it('throws in its place what one item fails with, after the results before it', async () => {
    const results = inOrder(
      [1, 2, 3],
      (item) =>
        item === 3
          ? Promise.reject(new Error('third'))
          : Promise.resolve({ cost: 1, result: Promise.resolve(item) }),
      10,
      undefined,
    )
    assert.equal((await results.next()).value, 1)
    assert.equal((await results.next()).value, 2)
    await assert.rejects(results.next(), /third/)
  })

  it('closes the source when the consumer stops early', async () => {
    let closed = false
    function* source(): Generator<number> {
      try {
        for (let i = 0; ; i++) yield i
      } finally {
        closed = true
      }
    }
    for await (const value of inOrder(
      source(),
      (item) => Promise.resolve({ cost: 1, result: Promise.resolve(item) }),
      3,
      undefined,
    )) {
      if (value === 5) break
    }
    assert.equal(closed, true)
  })

  it('ends with the reason of its signal, even while the source is silent', async () => {
    const controller = new AbortController()
    async function* silent(): AsyncGenerator<number> {
      await new Promise(() => undefined)
      yield 0
    }
    const next = inOrder(silent(), () => Promise.reject(new Error('never')), 1, controller.signal).next()
    const reason = new Error('enough')
    controller.abort(reason)
    await assert.rejects(next, (error) => error === reason)
  })
})

describe('untilAborted', () => {
  it('rejects with the very reason, before and during the work', async () => {
    const reason = { any: 'value' }
    await assert.rejects(
      untilAborted(AbortSignal.abort(reason), () => Promise.resolve(1)),
      (error) => error === reason,
    )
    const controller = new AbortController()
    const pending = untilAborted(controller.signal, () => new Promise(() => undefined))
    controller.abort(reason)
    await assert.rejects(pending, (error) => error === reason)
  })

  it('leaves no listener behind', async () => {
    const { signal } = new AbortController()
    let listeners = 0
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++
      add(...args)
    }
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--
      remove(...args)
    }
    await untilAborted(signal, () => Promise.resolve(1))
    assert.equal(listeners, 0)
  })
})
