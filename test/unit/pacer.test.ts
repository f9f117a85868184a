import assert from 'node:assert/strict'
import { Pacer } from '../../lib/pacer'

describe('pacer: turns of the event loop', () => {
  /** Works for that long, as tokenization would. */
  function work(ms: number): void {
    const end = performance.now() + ms
    while (performance.now() < end);
  }

  it('gives time at once, and makes others wait in line when a slice is over, high priority first', async () => {
    const pacer = new Pacer()
    assert.equal(pacer.turn('normal'), undefined)
    work(5)
    const order: string[] = []
    const wait = async (name: string, priority: 'high' | 'normal'): Promise<void> => {
      const pause = pacer.turn(priority)
      assert.ok(pause)
      await pause
      order.push(name)
    }
    await Promise.all([wait('first', 'normal'), wait('second', 'normal'), wait('high', 'high')])
    assert.deepEqual(order, ['high', 'first', 'second'])
  })

  it('lets the event loop turn between slices, however many wait', async () => {
    const pacer = new Pacer()
    let turns = 0
    let done = false
    const count = (): void => {
      turns++
      if (!done) setImmediate(count)
    }
    setImmediate(count)
    const one = async (): Promise<void> => {
      const pause = pacer.turn('normal')
      if (pause) await pause
      work(1)
    }
    await Promise.all(Array.from({ length: 40 }, one))
    done = true
    assert.ok(turns >= 8, `${turns} turns`)
  })
})
