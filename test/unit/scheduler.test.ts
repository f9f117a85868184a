import assert from 'node:assert/strict'
import { Scheduler } from '../../lib/scheduler'
import { Stats } from '../../lib/stats'
import { FakeForward, open, row, schedule, single, turn } from '../fixtures/fake-forward'

describe('scheduler: rows of all callers into batches', () => {
  it('sends a lone row at once, without a turn of the event loop', async () => {
    const fake = new FakeForward()
    void single(schedule(fake), 5)
    await Promise.resolve()
    assert.equal(fake.batches.length, 1)
  })

  it('sends rows submitted in one go together, and answers each with its own logits', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake)
    const answers = Promise.all([5, 3, 9, 3].map((length, index) => single(scheduler, length, index)))
    await turn()
    assert.deepEqual(
      fake.batches.map((batch) => batch.lengths),
      [[3, 3, 5, 9]],
    )
    await fake.answerAll()
    assert.deepEqual(await answers, [
      [0, 5],
      [1, 3],
      [2, 9],
      [3, 3],
    ])
  })

  it('gives callers that were just answered, and ask again, one batch', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake)
    const caller = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) await single(scheduler, 5)
    }
    const callers = Promise.all(Array.from({ length: 6 }, caller))
    await turn()
    await fake.answerAll()
    await callers
    const rows = fake.batches.map((batch) => batch.lengths.length)
    assert.deepEqual(rows, [6, 6, 6])
  })

  it('waits for callers that come back within the turn, while another batch runs', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 50 })
    const caller = async (number: number): Promise<void> => {
      await single(scheduler, 5)
      // As many promises as a caller may have between two calls.
      for (let i = 0; i < number; i++) await Promise.resolve()
      await single(scheduler, 5)
    }
    const callers = Promise.all(Array.from({ length: 20 }, (_, number) => caller(number)))
    await turn()
    assert.equal(fake.batches.length, 2)
    fake.batches[0]?.answer()
    await turn()
    assert.equal(fake.batches[2]?.lengths.length, 10)
    await fake.answerAll()
    await callers
  })

  it('passes token types where a row of the batch has some, and none where no row has', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 4 })
    const pair = { ids: Int32Array.of(7, 8), token_type_ids: Int32Array.of(0, 1) }
    const call = open(scheduler)
    const answers = Promise.all([row(2), pair, row(3)].map((each) => scheduler.submit(each, call)))
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
    const scheduler = schedule(fake, { max_batch_tokens: 10 })
    const answers = Promise.all(Array.from({ length: 20 }, () => single(scheduler, 4)))
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

  it('keeps two batches in flight for each lane, and counts the time of one from when a lane was free', async () => {
    const fake = new FakeForward()
    const times: number[] = []
    const stats = new Stats(10)
    stats.batch = ({ started }) => times.push(started)
    const limits = { max_batch_tokens: 10, max_queue_tokens: 1000, mixes_lengths: true, lanes: 2 }
    const scheduler = new Scheduler(fake.forward, limits, stats)
    const answers = Promise.all(Array.from({ length: 10 }, () => single(scheduler, 4)))
    await turn()
    assert.equal(fake.batches.length, 4)
    const handed_over = performance.now()
    fake.batches[1]?.answer()
    await turn()
    assert.equal(fake.batches.length, 5)
    await fake.answerAll()
    await answers
    // In the order in which they were answered: the second, the first, and three that waited for a lane.
    assert.deepEqual(
      times.map((started) => started > handed_over),
      [false, false, true, true, true],
    )
    assert.deepEqual(
      times.slice(2),
      times.slice(2).sort((a, b) => a - b),
    )
  })

  it('delays a single text by two batches at most, whatever a large call has waiting', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake)
    const large = open(scheduler)
    const bulk = Promise.all(
      Array.from({ length: 300 }, (_, i) => scheduler.submit(row(3 + (i % 50)), large)),
    )
    await turn()
    for (let i = 0; i < 10; i++) {
      const before = fake.batches.length
      const answer = single(scheduler, 5 + i * 7, 1000 + i)
      await turn()
      assert.equal(fake.batches.length, before, 'two are in flight')
      fake.batches[before - 2]?.answer()
      await turn()
      assert.ok(fake.batches[before]?.ids.includes(1000 + i), 'it is in the third')
      fake.batches[before - 1]?.answer()
      fake.batches[before]?.answer()
      await answer
      await turn()
    }
    await fake.answerAll()
    await bulk
  })

  it('batches only equal lengths where they may not mix', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { mixes_lengths: false })
    const answers = Promise.all([4, 5, 4, 5].map((length) => single(scheduler, length)))
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

  it('gives a batch that fails to its own rows, and goes on', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 4 })
    const failing = single(scheduler, 4)
    const fine = single(scheduler, 4, 9)
    await turn()
    fake.batches[0]?.fail(new Error('broken'))
    await assert.rejects(failing, /broken/)
    fake.batches[1]?.answer()
    assert.deepEqual(await fine, [9, 4])
  })

  it('rejects a row whose logits are no numbers, and answers its neighbours', async () => {
    const limits = { max_batch_tokens: 100, max_queue_tokens: 100, mixes_lengths: true }
    const forward = () => Promise.resolve(Float32Array.of(1, 5, NaN, 5))
    const scheduler = new Scheduler(forward, limits, new Stats(100))
    const [good, bad] = [single(scheduler, 5), single(scheduler, 5)]
    assert.deepEqual(await good, [1, 5])
    await assert.rejects(bad, {
      code: 'FORWARD_FAILED',
      message:
        /^The model put out no numbers for this text \(NaN or infinite logits\); load it with dtype 'fp32'/,
    })
  })
})

describe('scheduler: callers that are gone', () => {
  it('drops waiting rows of a call that ends before they cost anything', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 4 })
    const answers = [1, 2].map((first) => single(scheduler, 4, first))
    const gone = open(scheduler)
    const dropped = Promise.allSettled([3, 4].map((first) => scheduler.submit(row(4, first), gone)))
    answers.push(single(scheduler, 4, 5))
    await turn()
    scheduler.end(gone)
    scheduler.end(gone)
    assert.deepEqual(
      (await dropped).map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    await assert.rejects(scheduler.submit(row(4, 6), gone), /cancelled/)
    await fake.answerAll()
    await Promise.all(answers)
    assert.deepEqual(
      fake.batches.map((batch) => batch.ids[0]),
      [1, 2, 5],
    )
  })

  it('sends no row whose deadline has passed, though its timer is late', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake)
    void scheduler.submit(row(4, 1), open(scheduler, { deadline: performance.now() }))
    const timely = single(scheduler, 4, 2, { deadline: performance.now() + 60_000 })
    await turn()
    await fake.answerAll()
    await timely
    assert.deepEqual(
      fake.batches.map((batch) => batch.ids[0]),
      [2],
    )
  })
})
