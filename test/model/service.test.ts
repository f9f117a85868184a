import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import {
  ElectraClassifier,
  type BatchMessage,
  type CallMessage,
  type Classification,
  type ShippedLabel,
} from '../../lib/index'

const text = (i: number): string => `This is text number ${i}, and it was rather nice.`
const many = (count: number): string[] => Array.from({ length: count }, (_, i) => text(i))

describe('ElectraClassifier in a service', () => {
  let classifier: ElectraClassifier<ShippedLabel>

  before(async () => {
    classifier = await ElectraClassifier.load()
  })

  after(() => classifier.close())

  it('answers a single text long before a large call that began earlier', async () => {
    const order: string[] = []
    const large = classifier.classify(many(1500)).then((results) => {
      order.push('large')
      return results
    })
    for (let i = 0; i < 3; i++) {
      await classifier.classify(text(i))
      order.push('single')
    }
    assert.deepEqual(order, ['single', 'single', 'single'])
    assert.equal((await large).length, 1500)
  })

  it('gives the same results to callers of one text each, by priority or not, as to one of many', async () => {
    const texts = many(200)
    const together = await classifier.classify(texts)
    const apart = await Promise.all(
      texts.map((each, i) => classifier.classify(each, { priority: i % 3 ? 'normal' : 'high' })),
    )
    assert.deepEqual(apart, together)
  })

  it('has only a few batches’ worth of a large array in the queue', async () => {
    let most = 0
    const onBatch = (): void => {
      most = Math.max(most, classifier.stats().queued_tokens)
    }
    subscribe('electra-classifier:batch', onBatch)
    const results = await classifier.classify(many(2000))
    unsubscribe('electra-classifier:batch', onBatch)
    const tokens = results.reduce((sum, { num_tokens }) => sum + num_tokens, 0)
    // Eight batches of 1,024 tokens are under way at most, and one text more.
    assert.ok(tokens > 20_000 && most > 0 && most < 8 * 1024 + 50, `${most} of ${tokens}`)
  })

  it('ends a call that is not done in time with DEADLINE_EXCEEDED, and others go on', async () => {
    const other = classifier.classify('Lovely!')
    await assert.rejects(classifier.classify(many(3000), { timeout_ms: 20 }), {
      name: 'ElectraError',
      code: 'DEADLINE_EXCEEDED',
      message:
        'The call was not done within its timeout_ms (20); try again later, raise the option, or pass fewer texts at once.',
    })
    assert.equal((await other).label, 'positive')
    assert.equal(classifier.stats().queued_texts, 0)
  })

  it('ends a stream and a forward in time as well', async () => {
    async function* silent(): AsyncGenerator<string> {
      yield 'Good.'
      await new Promise(() => undefined)
    }
    const stream = classifier.classifyStream(silent(), { timeout_ms: 200 })
    assert.equal((await stream.next()).value?.label, 'positive')
    await assert.rejects(stream.next(), { code: 'DEADLINE_EXCEEDED' })
    const rows = Array.from({ length: 3000 }, () => [101, 2204, 102])
    await assert.rejects(classifier.forward(rows, { timeout_ms: 1 }), { code: 'DEADLINE_EXCEEDED' })
  })

  it('keeps an abort’s reason beside a deadline, and answers in time with one', async () => {
    const reason = new Error('caller left')
    const signal = AbortSignal.abort(reason)
    const is = (error: unknown): boolean => error === reason
    await assert.rejects(classifier.classify('a', { signal, timeout_ms: 60_000 }), is)
    const controller = new AbortController()
    const aborted = classifier.classify(many(500), { signal: controller.signal, timeout_ms: 60_000 })
    controller.abort(reason)
    await assert.rejects(aborted, is)
    assert.equal((await classifier.classify('Lovely!', { timeout_ms: 60_000 })).label, 'positive')
  })

  it('shows the caller in the stack of a deadline', async () => {
    async function theCaller(): Promise<void> {
      await classifier.classify(many(3000), { timeout_ms: 1 })
    }
    await assert.rejects(
      theCaller(),
      (error) => error instanceof Error && error.stack?.includes('theCaller') === true,
    )
  })

  it('says what it does, in numbers', async () => {
    const own = await ElectraClassifier.load(undefined, { max_batch_tokens: 64 })
    assert.equal(own.stats().texts, 0)
    assert.ok(Number.isNaN(own.stats().latency.total.p50_ms))
    const results = own.classify(many(40))
    const waiting = own.classify('Good.')
    await waiting
    const tokens = (await results).reduce((sum, { num_tokens }) => sum + num_tokens, 0) + 4
    const stats = own.stats()
    assert.equal(stats.texts, 41)
    assert.equal(stats.tokens, tokens)
    assert.equal(stats.queued_texts, 0)
    assert.equal(stats.queued_tokens, 0)
    assert.equal(stats.batches_in_flight, 0)
    assert.equal(stats.refused, 0)
    assert.equal(stats.batch_fill, tokens / stats.batches / 64)
    assert.ok(stats.texts_per_second > 0 && stats.tokens_per_second > stats.texts_per_second)
    for (const { p50_ms, p90_ms, p99_ms } of Object.values(stats.latency)) {
      assert.ok(p50_ms > 0 && p50_ms <= p90_ms && p90_ms <= p99_ms)
    }
    await own.close()
  })

  it('publishes batches and calls to whoever listens', async () => {
    const batches: BatchMessage[] = []
    const onBatch = (message: unknown): void => {
      batches.push(message as BatchMessage)
    }
    const calls: unknown[] = []
    const names = ['start', 'asyncEnd', 'error'] as const
    const listeners = names.map((name) => (message: unknown) => {
      calls.push([name, { ...(message as CallMessage) }])
    })
    subscribe('electra-classifier:batch', onBatch)
    names.forEach((name, i) => {
      subscribe(`tracing:electra-classifier:call:${name}`, listeners[i] ?? assert.fail())
    })
    const result = await classifier.classify('Lovely!', { priority: 'high' })
    await classifier.forward([
      [101, 102],
      [101, 102],
    ])
    await assert.rejects(classifier.classify(many(100), { timeout_ms: 1 }))
    unsubscribe('electra-classifier:batch', onBatch)
    names.forEach((name, i) => {
      unsubscribe(`tracing:electra-classifier:call:${name}`, listeners[i] ?? assert.fail())
    })
    assert.deepEqual(
      batches.slice(0, 2).map(({ texts, tokens }) => [texts, tokens]),
      [
        [1, 4],
        [2, 4],
      ],
    )
    assert.ok(batches.every(({ compute_ms }) => compute_ms > 0))
    const lovely = { method: 'classify', texts: 1, priority: 'high' }
    assert.deepEqual(calls.slice(0, 2), [
      ['start', lovely],
      ['asyncEnd', { ...lovely, result }],
    ])
    const [, last] = calls.at(-1) as [string, { error: { code: string } }]
    assert.equal(last.error.code, 'DEADLINE_EXCEEDED')
  })
})

describe('a full queue', () => {
  it('refuses with QUEUE_FULL and the caller in the stack, or waits, and loses nothing', async () => {
    const classifier = await ElectraClassifier.load(undefined, {
      max_queue_tokens: 128,
      max_batch_tokens: 64,
    })
    const outcomes = await Promise.allSettled(many(100).map((each) => classifier.classify(each)))
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    assert.ok(refused.length > 0 && refused.length < 100)
    for (const { reason } of refused) {
      assert.equal((reason as { code: string }).code, 'QUEUE_FULL')
      assert.match((reason as Error).stack ?? '', /service\.test/)
    }
    assert.equal(classifier.stats().refused, refused.length)
    const patient = await Promise.all(many(100).map((each) => classifier.classify(each, { on_full: 'wait' })))
    assert.deepEqual(patient, await classifier.classify(many(100)))
    await classifier.close()
  })
})

describe('close({ drain: true })', () => {
  it('finishes what has begun, refuses what comes, and frees the model', async () => {
    const classifier = await ElectraClassifier.load()
    const large = classifier.classify(many(600))
    const singles = Promise.all(many(50).map((each) => classifier.classify(each)))
    const read: Classification[] = []
    const stream = (async () => {
      function* endless(): Generator<string> {
        for (let i = 0; ; i++) yield text(i)
      }
      for await (const result of classifier.classifyStream(endless())) read.push(result)
    })()
    const streamed = assert.rejects(stream, { code: 'CLOSED' })
    await singles
    const closing = classifier.close({ drain: true })
    await assert.rejects(classifier.classify('a'), { code: 'CLOSED' })
    assert.equal((await large).length, 600)
    await Promise.all([closing, streamed])
    assert.ok(read.length > 0)
    assert.deepEqual(read.slice(0, 600), await large.then((results) => results.slice(0, read.length)))
    await assert.rejects(classifier.forward([[101, 102]]), { code: 'CLOSED' })
  })

  it('is cut short by another close', async () => {
    const classifier = await ElectraClassifier.load()
    const large = classifier.classify(many(5000))
    const outcome = assert.rejects(large, { code: 'CLOSED' })
    const draining = classifier.close({ drain: true })
    await classifier.close()
    await Promise.all([draining, outcome])
  })

  it('refuses options that are none', async () => {
    await using classifier = await ElectraClassifier.load()
    await assert.rejects(classifier.close({ drain: 'yes' } as object), {
      name: 'TypeError',
      message: "drain must be true or false, not 'yes'.",
    })
    assert.equal((await classifier.classify('Lovely!')).label, 'positive')
  })
})
