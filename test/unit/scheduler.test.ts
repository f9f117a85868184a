import assert from 'node:assert/strict'
import type { Row } from '../../lib/batch'
import { ElectraError } from '../../lib/errors'
import { Scheduler, type Call, type CallSettings, type Forward, type Limits } from '../../lib/scheduler'
import { Stats } from '../../lib/stats'

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

function schedule(fake: FakeForward, limits: Partial<Limits> = {}): Scheduler {
  const all = { max_batch_tokens: 100, max_queue_tokens: 10_000, mixes_lengths: true, ...limits }
  return new Scheduler(fake.forward, all, new Stats(all.max_batch_tokens))
}

function open(scheduler: Scheduler, settings: Partial<CallSettings> = {}, finite = true): Call {
  return scheduler.open({ priority: 'normal', on_full: 'error', deadline: Infinity, ...settings }, finite)
}

/** One row as a call of its own, which ends with it. */
async function single(
  scheduler: Scheduler,
  length: number,
  first = 0,
  settings: Partial<CallSettings> = {},
): Promise<number[]> {
  const call = open(scheduler, settings)
  try {
    return [...(await scheduler.submit(row(length, first), call))]
  } finally {
    scheduler.end(call)
  }
}

/** What became of a promise by now. */
async function outcome(promise: Promise<unknown>): Promise<string> {
  const settled = promise.then(
    () => 'answered',
    (reason: unknown) => (reason instanceof ElectraError ? reason.code : String(reason)),
  )
  await turn()
  return Promise.race([settled, turn().then(() => 'waits')])
}

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

describe('scheduler: the bounded queue', () => {
  /** Two batches of four tokens in flight, and ten tokens waiting, which is all there is room for. */
  async function full(): Promise<{ fake: FakeForward; scheduler: Scheduler; answers: Promise<unknown> }> {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 4, max_queue_tokens: 10 })
    const flying = [single(scheduler, 4), single(scheduler, 4)]
    await turn()
    const waiting = [single(scheduler, 4), single(scheduler, 4), single(scheduler, 2)]
    return { fake, scheduler, answers: Promise.all([...flying, ...waiting]) }
  }

  it('refuses a call that finds it full, at once and with the remedy, and takes it later', async () => {
    const { fake, scheduler, answers } = await full()
    assert.throws(() => open(scheduler), {
      name: 'ElectraError',
      code: 'QUEUE_FULL',
      message:
        "10 tokens wait, and max_queue_tokens is 10; try again later, raise the option, or pass on_full: 'wait'.",
    })
    await fake.answerAll()
    await answers
    const later = single(scheduler, 4)
    await turn()
    await fake.answerAll()
    await later
  })

  it('refuses a row that does not fit, though a shorter one would', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 4, max_queue_tokens: 10 })
    const answers = [single(scheduler, 4), single(scheduler, 4)]
    await turn()
    answers.push(single(scheduler, 8))
    assert.equal(await outcome(single(scheduler, 3)), 'QUEUE_FULL')
    answers.push(single(scheduler, 2))
    await fake.answerAll()
    await Promise.all(answers)
  })

  it('takes a row that is longer than the whole queue when nothing waits', async () => {
    const fake = new FakeForward()
    const answer = single(schedule(fake, { max_queue_tokens: 10 }), 50)
    await turn()
    await fake.answerAll()
    assert.deepEqual(await answer, [0, 50])
  })

  it('lets calls wait for room where they ask for it, in order, high priority first', async () => {
    const { fake, scheduler, answers } = await full()
    const done: string[] = []
    const wait = async (name: string, first: number, priority: 'high' | 'normal'): Promise<void> => {
      await single(scheduler, 4, first, { on_full: 'wait', priority })
      done.push(name)
    }
    const waiting = [wait('first', 1, 'normal'), wait('second', 2, 'normal'), wait('high', 3, 'high')]
    await turn()
    assert.throws(() => open(scheduler), { code: 'QUEUE_FULL' })
    await fake.answerAll()
    await Promise.all([answers, ...waiting])
    assert.deepEqual(done, ['high', 'first', 'second'])
  })

  it('forgets a call that ends while it waits for room', async () => {
    const { fake, scheduler, answers } = await full()
    const gone = open(scheduler, { on_full: 'wait' })
    const dropped = scheduler.submit(row(4, 99), gone)
    const kept = single(scheduler, 4, 7, { on_full: 'wait' })
    scheduler.end(gone)
    await assert.rejects(dropped, /cancelled/)
    await fake.answerAll()
    await Promise.all([answers, kept])
    assert.ok(fake.batches.every((batch) => !batch.ids.includes(99)))
  })

  it('never refuses a call that has begun, and leaves half of the queue to others', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 4, max_queue_tokens: 40 })
    const large = open(scheduler)
    const bulk = Promise.all(Array.from({ length: 50 }, (_, i) => scheduler.submit(row(4, i), large)))
    await turn()
    const others = Array.from({ length: 5 }, () => single(scheduler, 4))
    assert.equal(await outcome(single(scheduler, 4)), 'QUEUE_FULL')
    await fake.answerAll()
    await Promise.all(others)
    const answers = (await bulk).map((logits) => logits[0])
    assert.deepEqual(
      answers,
      Array.from({ length: 50 }, (_, i) => i),
    )
  })
})

describe('scheduler: its end', () => {
  const reason = new Error('closed')

  it('rejects what waits and what comes after close, but not what runs', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 4, max_queue_tokens: 8 })
    const running = [single(scheduler, 4), single(scheduler, 4)]
    await turn()
    const begun = open(scheduler)
    const waiting = [1, 2, 3, 4].map(() => scheduler.submit(row(4), begun))
    waiting.push(scheduler.submit(row(4), open(scheduler, { on_full: 'wait' })))
    scheduler.close(reason)
    for (const each of waiting) await assert.rejects(each, /closed/)
    assert.throws(() => open(scheduler), /closed/)
    await assert.rejects(scheduler.submit(row(4), begun), /closed/)
    await fake.answerAll()
    assert.equal((await Promise.all(running)).length, 2)
  })

  it('drains: finishes the calls that have begun, also what they submit later, and takes no other', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 4 })
    const begun = open(scheduler)
    const first = [1, 2, 3].map(() => scheduler.submit(row(4), begun))
    const drained = scheduler.drain(reason)
    assert.throws(() => open(scheduler), /closed/)
    await turn()
    await fake.answerAll()
    await Promise.all(first)
    assert.equal(await outcome(drained), 'waits')
    const last = scheduler.submit(row(4), begun)
    await turn()
    await fake.answerAll()
    await last
    assert.equal(await outcome(drained), 'waits')
    scheduler.end(begun)
    await drained
    await scheduler.drain(reason)
  })

  it('drains a stream of what it has read, and no further', async () => {
    const fake = new FakeForward()
    const scheduler = schedule(fake, { max_batch_tokens: 4 })
    const stream = open(scheduler, {}, false)
    const read = [1, 2, 3].map(() => scheduler.submit(row(4), stream))
    const drained = scheduler.drain(reason)
    await assert.rejects(scheduler.submit(row(4), stream), /closed/)
    await turn()
    await fake.answerAll()
    await Promise.all([...read, drained])
  })

  it('is drained at once where nothing was begun, and by close', async () => {
    const fake = new FakeForward()
    await schedule(fake).drain(reason)
    const scheduler = schedule(fake, { max_batch_tokens: 4 })
    const begun = open(scheduler)
    const rows = Promise.allSettled([1, 2, 3].map(() => scheduler.submit(row(4), begun)))
    const drained = scheduler.drain(reason)
    await turn()
    scheduler.close(reason)
    await drained
    await fake.answerAll()
    assert.deepEqual(
      (await rows).map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected'],
    )
  })
})
