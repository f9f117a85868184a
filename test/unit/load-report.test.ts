import assert from 'node:assert/strict'
import { withSection } from '../../bench/document'
import { capacityOf, tables, targetsOf, trialOf, type LoadResults } from '../../bench/load-report'
import type { Outcome } from '../../bench/results'

const outcome = (trial: string, result?: Record<string, unknown>, round = 1): Outcome => ({
  trial,
  round,
  at: '2026-01-01T00:00:00Z',
  seconds: 1,
  load: 1,
  ...(result ? { result } : { failure: 'Error: it broke' }),
})

function results(...outcomes: Outcome[]): LoadResults {
  const machine = {
    cpu: 'A CPU',
    class: 'AVX2' as const,
    features: [],
    threads: 2,
    threads_rule: 'physical cores',
    cpus: 2,
    versions: {},
    commit: 'abc',
    date: '2026-01-01',
    quick: false,
  }
  return { machine, outcomes }
}

const closed = (
  engine: 'scheduler' | 'forward' | 'packed',
  callers: number,
  texts_per_second: number,
  round = 1,
) => outcome(trialOf('closed', engine, callers), { texts_per_second, p50_ms: 2, p99_ms: 9, wrong: 0 }, round)

const open = (share: number, p99_ms: number, more: Record<string, unknown> = {}) =>
  outcome(trialOf('open', 'scheduler', share), {
    ...{ rate: 900, sent: 1000, answered: 900, refused: 100, lost: 0, doubled: 0, wrong: 0 },
    ...{ p50_ms: 10, p99_ms, refusal_p99_ms: 1.5, refusal_max_ms: 4, ...more },
  })

const verdicts = (of: LoadResults): Record<string, string> =>
  Object.fromEntries(targetsOf(of).map(({ what, verdict }) => [what, verdict]))

describe('the load generator’s report', () => {
  it('takes the median of a trial’s rounds, and the best of all callers as the capacity', () => {
    const measured = results(
      closed('scheduler', 8, 700),
      closed('scheduler', 64, 800, 1),
      closed('scheduler', 64, 780, 2),
      closed('scheduler', 64, 100, 3),
    )
    assert.equal(capacityOf(measured, [1, 8, 64]), 780)
  })

  it('says which targets are met, missed, and not measured', () => {
    const measured = results(
      closed('scheduler', 64, 800),
      closed('forward', 64, 600),
      closed('packed', 64, 820),
      outcome(trialOf('closed', 'onnxruntime', 64)),
      open(0.9, 40),
      open(1.5, 70),
    )
    assert.deepEqual(Object.values(verdicts(measured)), [
      'missed',
      'not measured',
      'met',
      'met',
      'met',
      'met',
      'not measured',
      'not measured',
    ])
    assert.equal(targetsOf(measured)[0]?.figure, '1.33× (full batches of forward alone: 1.37×)')
  })

  it('misses where the tail is long, refusals are slow, or an answer is lost', () => {
    const measured = results(open(0.9, 60), open(1.5, 121, { refusal_p99_ms: 6, lost: 1 }))
    const missed = Object.entries(verdicts(measured)).filter(([, verdict]) => verdict === 'missed')
    assert.equal(missed.length, 4)
  })

  it('has a row for each trial that has figures', () => {
    const [first, second] = tables(
      results(closed('scheduler', 1, 600), outcome(trialOf('closed', 'onnxruntime', 1)), open(0.5, 20)),
      [1, 8],
      [0.5, 0.9],
    )
    assert.deepEqual(first?.rows, [['1', 'classifier.classify', '600', '2.0', '9.0', '– to –']])
    assert.equal(second?.rows[0]?.[0], '50 %, 900 a second')
    assert.equal(second.rows.length, 1)
  })

  it('is written between its marks, and touches nothing else', () => {
    const begin = '<!-- load: begin (written by `npm run bench:load -- --write`) -->'
    const document = `before\n${begin}\nold\n<!-- load: end -->\nafter\n`
    assert.equal(
      withSection(document, 'load', 'new'),
      `before\n${begin}\n\nnew\n\n<!-- load: end -->\nafter\n`,
    )
    assert.throws(() => withSection(document, 'bench', 'new'), /has no line <!-- bench: begin/)
  })
})
