import assert from 'node:assert/strict'
import { FairQueue, type Place, type Priority, type Waiting } from '../../lib/queue'

const place = (priority: Priority = 'normal'): Place => ({ priority, rows: [], turn: 0, large: false })

function push(queue: FairQueue<Waiting>, to: Place, ...lengths: number[]): Waiting[] {
  return lengths.map((length) => {
    const entry: Waiting = { row: { ids: new Int32Array(length) }, place: to, passed: false }
    queue.push(entry)
    return entry
  })
}

/** A call of many rows, such as a large array has in the queue. */
function bulk(queue: FairQueue<Waiting>, count: number, length: (index: number) => number): Place {
  const own = place()
  push(queue, own, ...Array.from({ length: count }, (_, index) => length(index)))
  return own
}

/** Texts of a call each. */
function singles(queue: FairQueue<Waiting>, ...lengths: number[]): Waiting[] {
  return lengths.flatMap((length) => push(queue, place(), length))
}

const lengths = (batch: readonly Waiting[]): number[] => batch.map((entry) => entry.row.ids.length)
const tokens = (batch: readonly Waiting[]): number => lengths(batch).reduce((sum, length) => sum + length, 0)

/** The same numbers each run, from 0 to 1. */
function random(seed: number): () => number {
  let state = seed
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
}

describe('queue: rows of all callers, fairly', () => {
  it('takes whatever waits, up to the budget', () => {
    const queue = new FairQueue(100, true)
    const waiting = singles(queue, 20, 30, 40)
    assert.equal(queue.rows, 3)
    assert.equal(queue.tokens, 90)
    assert.deepEqual(new Set(queue.take()), new Set(waiting))
    assert.equal(queue.rows, 0)
    assert.equal(queue.tokens, 0)
    assert.deepEqual(queue.take(), [])
    singles(queue, 60, 60)
    assert.equal(queue.take().length, 1)
    assert.equal(queue.take().length, 1)
  })

  it('takes a row that is longer than the budget, alone', () => {
    const queue = new FairQueue(100, true)
    singles(queue, 500)
    assert.deepEqual(lengths(queue.take()), [500])
  })

  it('has a new call in the very next batch, whatever large calls have queued', () => {
    const next = random(7)
    const length = () => 3 + Math.floor(next() ** 4 * 500)
    for (let round = 0; round < 100; round++) {
      const queue = new FairQueue(1024, true)
      for (let calls = Math.ceil(next() * 12); calls > 0; calls--) bulk(queue, 400, length)
      for (let before = Math.floor(next() * 12); before > 0; before--) queue.take()
      const [single] = singles(queue, length())
      assert.ok(single && queue.take().includes(single), `round ${round}`)
    }
  })

  it('fills a batch with rows of a large call, but not with much longer ones', () => {
    const queue = new FairQueue(200, true)
    bulk(queue, 200, (index) => (index % 5 ? 10 : 150))
    queue.take()
    const [single] = singles(queue, 12)
    const batch = queue.take()
    assert.ok(single && batch.includes(single))
    assert.ok(batch.length > 5)
    assert.equal(Math.max(...lengths(batch)), 12)
  })

  it('does not make a single row wait for much longer ones of a large call', () => {
    const queue = new FairQueue(1000, true)
    bulk(queue, 20, () => 100)
    singles(queue, 10)
    assert.deepEqual(lengths(queue.take()), [10])
    assert.deepEqual(
      lengths(queue.take()),
      Array.from({ length: 10 }, () => 100),
    )
  })

  it('lets large calls take turns, by tokens', () => {
    const queue = new FairQueue(1000, true)
    const [short, long] = [bulk(queue, 500, () => 10), bulk(queue, 500, () => 20)]
    const taken = Array.from({ length: 6 }, () => queue.take()).flat()
    const share = (of: Place) => tokens(taken.filter((entry) => entry.place === of)) / tokens(taken)
    assert.ok(share(short) > 0.4 && share(long) > 0.4, `${share(short)} and ${share(long)}`)
  })

  it('never lets a large call starve, though single texts never end', () => {
    const queue = new FairQueue(100, true)
    const large = bulk(queue, 40, () => 10)
    queue.take()
    let batches = 0
    for (; large.rows.length > 0; batches++) {
      // One and a half times what a batch holds.
      singles(queue, ...Array.from({ length: 15 }, () => 10))
      queue.take()
      assert.ok(batches < 400, `${large.rows.length} rows wait`)
    }
  })

  it('sends short rows before much longer ones, which go next', () => {
    const queue = new FairQueue(1000, true)
    singles(queue, 400, 10, 20)
    assert.deepEqual(lengths(queue.take()), [10, 20])
    singles(queue, 12)
    assert.deepEqual(lengths(queue.take()), [12, 400])
  })

  it('does not part the rows of one call for their lengths', () => {
    const queue = new FairQueue(1000, true)
    push(queue, place(), 10, 20, 400)
    assert.deepEqual(lengths(queue.take()), [10, 20, 400])
  })

  it('takes the row that was passed over longest, however many short ones come', () => {
    const queue = new FairQueue(100, true)
    const [long] = singles(queue, 90)
    assert.ok(long)
    singles(queue, ...Array.from({ length: 10 }, () => 10))
    assert.ok(!queue.take().includes(long))
    singles(queue, ...Array.from({ length: 10 }, () => 10))
    assert.ok(queue.take().includes(long))
  })

  it('takes only equal lengths where lengths may not mix, and every row in the end', () => {
    const queue = new FairQueue(100, false)
    bulk(queue, 40, (index) => 3 + (index % 5))
    singles(queue, 4, 9, 4)
    const taken: number[] = []
    while (queue.rows > 0) {
      const batch = lengths(queue.take())
      assert.equal(new Set(batch).size, 1)
      taken.push(...batch)
    }
    assert.equal(taken.length, 43)
  })

  it('takes high priority first and by itself, and one batch in nine of normal priority', () => {
    const queue = new FairQueue(100, true)
    bulk(queue, 10, () => 10)
    const kinds = Array.from({ length: 18 }, () => {
      push(queue, place('high'), 10)
      const batch = queue.take()
      const found = new Set(batch.map((entry) => entry.place.priority))
      assert.equal(found.size, 1)
      return [...found][0]
    })
    assert.deepEqual(
      kinds.map((kind, index) => (kind === 'normal' ? index : -1)).filter((index) => index >= 0),
      [8],
    )
  })

  it('drops the rows of a call, and no others', () => {
    const queue = new FairQueue(100, true)
    const gone = bulk(queue, 50, () => 10)
    const [kept] = singles(queue, 20)
    assert.equal(queue.drop(gone).length, 50)
    assert.equal(queue.rows, 1)
    assert.equal(queue.tokens, 20)
    assert.deepEqual(queue.take(), [kept])
  })

  it('takes every row once, in whatever order calls come and go', () => {
    const next = random(3)
    for (let round = 0; round < 100; round++) {
      const queue = new FairQueue(200, next() < 0.8)
      const open: Place[] = []
      const pushed = new Set<Waiting>()
      const out = (rows: readonly Waiting[]) => {
        for (const row of rows) assert.ok(pushed.delete(row), 'a row is taken once')
      }
      for (let step = 0; step < 100; step++) {
        const what = next()
        if (what < 0.2) open.push(place(next() < 0.2 ? 'high' : 'normal'))
        const at = Math.floor(next() * open.length)
        const one = open[at]
        if (what < 0.7 && one) {
          const count = next() < 0.1 ? 60 : 1
          const rows = push(
            queue,
            one,
            ...Array.from({ length: count }, () => 1 + Math.floor(next() ** 3 * 250)),
          )
          for (const row of rows) pushed.add(row)
        } else if (what < 0.75 && one) {
          open.splice(at, 1)
          out(queue.drop(one))
        } else {
          const batch = queue.take()
          assert.ok(batch.length === 1 || tokens(batch) <= 200)
          assert.equal(batch.length === 0, pushed.size === 0)
          out(batch)
        }
        assert.equal(queue.rows, pushed.size)
        assert.equal(queue.tokens, tokens([...pushed]))
      }
      out(queue.clear())
      assert.equal(pushed.size, 0)
    }
  })
})
