import assert from 'node:assert/strict'
import type { Scheduler } from '../../lib/scheduler'
import { FakeForward, open, outcome, row, schedule, single, turn } from '../fixtures/fake-forward'

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
