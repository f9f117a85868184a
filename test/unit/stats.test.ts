import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Latency } from '../../lib/latency'
import { Stats, type RowTimes } from '../../lib/stats'

const near = (actual: number, expected: number, share = 0.05): void => {
  assert.ok(Math.abs(actual - expected) <= share * expected, `${actual} against ${expected}`)
}

describe('latency', () => {
  it('knows quantiles within 5 %, from microseconds to hours', () => {
    for (const unit of [0.01, 1, 1000]) {
      const latency = new Latency()
      for (let ms = 1; ms <= 1000; ms++) latency.record(ms * unit)
      const { p50_ms, p90_ms, p99_ms } = latency.quantiles()
      near(p50_ms, 500 * unit)
      near(p90_ms, 900 * unit)
      near(p99_ms, 990 * unit)
    }
  })

  it('takes nothing, negative times and endless ones', () => {
    const latency = new Latency()
    assert.ok(Number.isNaN(latency.quantiles().p50_ms))
    for (const ms of [0, -1, 1e300, Infinity]) latency.record(ms)
    assert.ok(latency.quantiles().p50_ms < 0.001)
    assert.ok(latency.quantiles().p99_ms > 1e6)
  })

  it('forgets what is older than a period', () => {
    const latency = new Latency()
    latency.record(1)
    latency.turn()
    near(latency.quantiles().p50_ms, 1)
    latency.record(100)
    latency.turn()
    near(latency.quantiles().p50_ms, 100)
    latency.turn()
    assert.ok(Number.isNaN(latency.quantiles().p50_ms))
  })
})

describe('stats', () => {
  const rows = (...times: [number, number][]): RowTimes[] =>
    times.map(([arrived, submitted]) => ({ arrived, submitted }))

  it('counts for good, and rates the last periods', () => {
    let now = 0
    const stats = new Stats(100, () => now)
    now = 10_000
    stats.batch({ rows: rows([0, 2], [1, 2]), tokens: 50, started: 12, done: 32 })
    const first = stats.read()
    assert.deepEqual([first.batches, first.texts, first.tokens], [1, 2, 50])
    assert.equal(first.batch_fill, 0.5)
    assert.equal(first.texts_per_second, 0.2)
    assert.equal(first.tokens_per_second, 5)
    near(first.latency.total.p99_ms, 32)
    near(first.latency.tokenize.p99_ms, 2)
    near(first.latency.queue.p99_ms, 10)
    near(first.latency.compute.p99_ms, 20)

    // Two periods later: of the first batch only the counts are left.
    now = 70_000
    stats.batch({ rows: rows([0, 0]), tokens: 100, started: 0, done: 1 })
    now = 80_000
    const later = stats.read()
    assert.deepEqual([later.batches, later.texts, later.tokens], [2, 3, 150])
    assert.equal(later.batch_fill, 1)
    assert.equal(later.texts_per_second, 0.1)
    near(later.latency.total.p99_ms, 1)
  })

  it('publishes batches, failed ones with their error', () => {
    const messages: unknown[] = []
    const listener = (message: unknown): void => {
      messages.push(message)
    }
    subscribe('electra-classifier:batch', listener)
    const stats = new Stats(100)
    stats.batch({ rows: rows([0, 0]), tokens: 5, started: 1, done: 3 })
    const error = new Error('broken')
    stats.batch({ rows: rows([0, 0]), tokens: 5, started: 1, done: 3, error })
    unsubscribe('electra-classifier:batch', listener)
    stats.batch({ rows: rows([0, 0]), tokens: 5, started: 1, done: 3 })
    assert.deepEqual(messages, [
      { texts: 1, tokens: 5, compute_ms: 2 },
      { texts: 1, tokens: 5, compute_ms: 2, error },
    ])
  })
})
