import assert from 'node:assert/strict'
import type { Row } from '../../lib/batch'
import { Scheduler, type Call, type Forward } from '../../lib/scheduler'

/** A forward under the test's control: every batch waits until it is answered. */
class FakeForward {
  readonly batches: {
    lengths: number[]
    ids: number[]
    types: Int32Array | undefined
    answer: () => void
    fail: (e: Error) => void
  }[] = []

  readonly forward: Forward = (input_ids, cu_seqlens, types) =>
    new Promise((resolve, reject) => {
      const starts = [...cu_seqlens.slice(0, -1)]
      this.batches.push({
        ids: [...input_ids],
        types,
        lengths: starts.map((start, row) => (cu_seqlens[row + 1] ?? 0) - start),
        // Two labels: the row's first id, and its length.
        answer: () => {
          resolve(
            Float32Array.from(
              starts.flatMap((start, row) => [input_ids[start] ?? 0, (cu_seqlens[row + 1] ?? 0) - start]),
            ),
          )
        },
        fail: reject,
      })
    })

  /** Answers every batch, also those that come meanwhile. */
  async answerAll(): Promise<void> {
    // An array's iterator sees what is pushed while it runs.
    for (const batch of this.batches) {
      batch.answer()
      await turn()
    }
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const row = (length: number, first = 0): Row => ({ ids: new Int32Array(length).fill(first, 0, 1) })
const call = (): Call => ({ cancelled: false })

describe('scheduler: rows of all callers into batches', () => {
  it('sends rows submitted in one go together, and answers each with its own logits', async () => {
    const fake = new FakeForward()
    const scheduler = new Scheduler(fake.forward, 100, true)
    const answers = Promise.all(
      [5, 3, 9, 3].map((length, index) => scheduler.submit(row(length, index), call())),
    )
    await turn()
    assert.deepEqual(
      fake.batches.map((batch) => batch.lengths),
      [[3, 3, 5, 9]],
    )
    await fake.answerAll()
    assert.deepEqual(
      (await answers).map((logits) => [...logits]),
      [
        [0, 5],
        [1, 3],
        [2, 9],
        [3, 3],
      ],
    )
  })

  it('passes token types where a row of the batch has some, and none where no row has', async () => {
    const fake = new FakeForward()
    const scheduler = new Scheduler(fake.forward, 4, true)
    const pair = { ids: Int32Array.of(7, 8), token_type_ids: Int32Array.of(0, 1) }
    const answers = Promise.all([row(2), pair, row(3)].map((each) => scheduler.submit(each, call())))
    await turn()
    await fake.answerAll()
    await answers
    assert.deepEqual(
      fake.batches.map((batch) => batch.types),
      [Int32Array.of(0, 0, 0, 1), undefined],
    )
  })

  it('keeps at most two batches in flight, each within the budget', async () => {
    const fake = new FakeForward()
    const scheduler = new Scheduler(fake.forward, 10, true)
    const answers = Promise.all(Array.from({ length: 20 }, () => scheduler.submit(row(4), call())))
    await turn()
    assert.equal(fake.batches.length, 2)
    fake.batches[0]?.answer()
    await turn()
    assert.equal(fake.batches.length, 3)
    await fake.answerAll()
    await answers
    assert.deepEqual(
      fake.batches.map((batch) => batch.lengths.length),
      Array.from({ length: 10 }, () => 2),
    )
  })

  it('never lets a row starve for its length', async () => {
    const fake = new FakeForward()
    const scheduler = new Scheduler(fake.forward, 20, true)
    const answers = [scheduler.submit(row(5), call()), scheduler.submit(row(19, 7), call())]
    for (let i = 0; i < 30; i++) answers.push(scheduler.submit(row(5), call()))
    await turn()
    assert.deepEqual(fake.batches[1]?.lengths, [19])
    await fake.answerAll()
    await Promise.all(answers)
  })

  it('batches only equal lengths where they may not mix', async () => {
    const fake = new FakeForward()
    const scheduler = new Scheduler(fake.forward, 100, false)
    const answers = Promise.all([4, 5, 4, 5].map((length) => scheduler.submit(row(length), call())))
    await turn()
    await fake.answerAll()
    await answers
    assert.deepEqual(
      fake.batches.map((batch) => batch.lengths),
      [
        [4, 4],
        [5, 5],
      ],
    )
  })

  it('drops waiting rows of a cancelled call before they cost anything', async () => {
    const fake = new FakeForward()
    const scheduler = new Scheduler(fake.forward, 4, true)
    const [kept, gone] = [call(), call()]
    const answers = [1, 2].map((first) => scheduler.submit(row(4, first), kept))
    const dropped = [3, 4].map((first) => scheduler.submit(row(4, first), gone))
    answers.push(scheduler.submit(row(4, 5), kept))
    await turn()
    gone.cancelled = true
    const outcomes = Promise.allSettled(dropped)
    await fake.answerAll()
    await Promise.all(answers)
    assert.deepEqual(
      (await outcomes).map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    assert.deepEqual(
      fake.batches.map((batch) => batch.ids[0]),
      [1, 2, 5],
    )
  })

  it('gives a batch that fails to its own rows, and goes on', async () => {
    const fake = new FakeForward()
    const scheduler = new Scheduler(fake.forward, 4, true)
    const failing = scheduler.submit(row(4), call())
    const fine = scheduler.submit(row(4, 9), call())
    await turn()
    fake.batches[0]?.fail(new Error('broken'))
    await assert.rejects(failing, /broken/)
    fake.batches[1]?.answer()
    assert.deepEqual([...(await fine)], [9, 4])
  })

  it('rejects what waits and what comes after close, but not what runs', async () => {
    const fake = new FakeForward()
    const scheduler = new Scheduler(fake.forward, 4, true)
    const running = [scheduler.submit(row(4), call()), scheduler.submit(row(4), call())]
    await turn()
    const waiting = scheduler.submit(row(4), call())
    scheduler.close(new Error('closed'))
    await assert.rejects(waiting, /closed/)
    await assert.rejects(scheduler.submit(row(4), call()), /closed/)
    await fake.answerAll()
    assert.equal((await Promise.all(running)).length, 2)
  })
})
