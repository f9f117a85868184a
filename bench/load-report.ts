import { median, type Machine, type Outcome } from './results'

/** What serves the requests: the classifier, and the naive ways beside it. */
export const ENGINES = ['scheduler', 'forward', 'packed', 'onnxruntime'] as const
export type Engine = (typeof ENGINES)[number]

const NAMES: Record<Engine, string> = {
  scheduler: 'classifier.classify',
  forward: 'one forward a request',
  packed: 'forward in full batches',
  onnxruntime: 'onnxruntime-node, one run a request',
}

/** What a load trial prints; each loop has some of it. */
interface Figures {
  texts_per_second: number
  p50_ms: number
  p99_ms: number
  max_ms: number
  /** Answers that are not those of their text alone. */
  wrong: number
  least: number
  most: number
  rate: number
  sent: number
  answered: number
  refused: number
  lost: number
  doubled: number
  refusal_p99_ms: number | null
  refusal_max_ms: number | null
  texts: number
  singles: number
  batches_before_max: number
  delay_p99_ms: number
  delay_max_ms: number
}

export interface LoadResults {
  machine: Machine
  outcomes: Outcome[]
}

/** Id of a trial of the load generator. */
export const trialOf = (loop: 'closed' | 'open' | 'large', engine: Engine, how: number | string): string =>
  `${loop} ${how} ${engine}`

export interface Table {
  title: string
  head: string[]
  rows: string[][]
}
export interface LoadTarget {
  what: string
  figure: string
  limit: string
  verdict: 'met' | 'missed' | 'not measured'
}

/** Medians over the rounds of each figure of a trial. */
function figuresOf({ outcomes }: LoadResults, trial: string): Figures | undefined {
  const results = outcomes.flatMap((each) => (each.trial === trial && each.result ? [each.result] : []))
  const [first] = results
  if (!first) return undefined
  const names = Object.keys(first)
  return Object.fromEntries(
    names.map((name) => [name, median(results.map((result) => Number(result[name] ?? NaN)))]),
  ) as unknown as Figures
}

/** What the classifier answers at most: what open loops take their shares of. */
export function capacityOf(results: LoadResults, callers: readonly number[]): number {
  const rates = callers.map((count) => figuresOf(results, trialOf('closed', 'scheduler', count)))
  return Math.max(...rates.map((figures) => figures?.texts_per_second ?? 0))
}

const number = (value: number | null | undefined, digits = 0): string =>
  value === undefined || value === null || !Number.isFinite(value)
    ? '–'
    : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })

const ms = (value: number | null | undefined): string => number(value, 1)

export function tables(results: LoadResults, callers: readonly number[], shares: readonly number[]): Table[] {
  const closed = callers.flatMap((count) =>
    ENGINES.flatMap((engine) => {
      const figures = figuresOf(results, trialOf('closed', engine, count))
      if (!figures) return []
      const { texts_per_second, p50_ms, p99_ms, least, most } = figures
      const fairness = engine === 'packed' ? '–' : `${number(least)} to ${number(most)}`
      const times = engine === 'packed' ? ['–', '–'] : [ms(p50_ms), ms(p99_ms)]
      return [[number(count), NAMES[engine], number(texts_per_second), ...times, fairness]]
    }),
  )
  const open = shares.flatMap((share) =>
    ENGINES.flatMap((engine) => {
      const figures = figuresOf(results, trialOf('open', engine, share))
      if (!figures) return []
      const { rate, sent, answered, refused, lost, p50_ms, p99_ms, refusal_max_ms } = figures
      return [
        [
          `${number(share * 100)} %, ${number(rate)} a second`,
          NAMES[engine],
          ...[sent, answered, refused, lost].map((count) => number(count)),
          ms(p50_ms),
          ms(p99_ms),
          ms(refusal_max_ms),
        ],
      ]
    }),
  )
  const large = figuresOf(results, trialOf('large', 'scheduler', 'array'))
  return [
    {
      title: 'Callers that ask again when they are answered',
      head: ['callers', 'engine', 'texts a second', 'p50, ms', 'p99, ms', 'answers a caller'],
      rows: closed,
    },
    {
      title: 'Requests that come at random, at shares of what the classifier can answer',
      head: [
        ...['load', 'engine', 'sent', 'answered', 'refused', 'not answered'],
        ...['p50, ms', 'p99, ms', 'longest refusal, ms'],
      ],
      rows: open,
    },
    ...(large
      ? [
          {
            title: `Single texts beside one call of ${number(large.texts)}`,
            head: [
              'texts a second of the call',
              'single texts',
              'p50, ms',
              'p99, ms',
              'batches before, at most',
            ],
            rows: [
              [
                number(large.texts_per_second),
                number(large.singles),
                ms(large.p50_ms),
                ms(large.p99_ms),
                number(large.batches_before_max),
              ],
            ],
          },
        ]
      : []),
  ]
}

export function targetsOf(results: LoadResults): LoadTarget[] {
  const figures = (...trial: Parameters<typeof trialOf>) => figuresOf(results, trialOf(...trial))
  const target = (
    what: string,
    value: number | undefined,
    limit: { at_least?: number; at_most?: number },
    shown: (value: number) => string,
    beside = '',
  ): LoadTarget => {
    const { at_least = -Infinity, at_most = Infinity } = limit
    const known = value !== undefined && Number.isFinite(value)
    return {
      what,
      figure: known ? shown(value) + beside : '–',
      limit: at_most === Infinity ? `≥ ${shown(at_least)}` : `≤ ${shown(at_most)}`,
      verdict: !known ? 'not measured' : value >= at_least && value <= at_most ? 'met' : 'missed',
    }
  }
  const ratio = (value: number) => `${value.toFixed(2)}×`
  const times = (value: number) => `${value.toFixed(1)} ms`
  const [ours, naive, packed, peer] = ENGINES.map((engine) => figures('closed', engine, 64)?.texts_per_second)
  const [busy, over] = [figures('open', 'scheduler', 0.9), figures('open', 'scheduler', 1.5)]
  const large = figures('large', 'scheduler', 'array')
  const by = (a: number | undefined, b: number | undefined) => (a ?? NaN) / (b ?? NaN)
  const own = results.outcomes.flatMap(({ trial, result }) =>
    result && trial.endsWith(' scheduler') ? [result] : [],
  )
  const sum = (name: string) => own.reduce((total, result) => total + Number(result[name] ?? 0), 0)
  return [
    target(
      '64 callers, throughput against one forward a request',
      by(ours, naive),
      { at_least: 2 },
      ratio,
      ` (full batches of forward alone: ${by(packed, naive).toFixed(2)}×)`,
    ),
    target(
      '64 callers, throughput against onnxruntime-node, one run a request',
      by(ours, peer),
      { at_least: 2 },
      ratio,
    ),
    target('90 % load, p99 against p50', by(busy?.p99_ms, busy?.p50_ms), { at_most: 5 }, ratio),
    target(
      '150 % load, p99 of the accepted against p99 at 90 %',
      by(over?.p99_ms, busy?.p99_ms),
      { at_most: 2 },
      ratio,
    ),
    target(
      '150 % load, refusals, p99',
      over?.refusal_p99_ms ?? NaN,
      { at_most: 5 },
      times,
      ` (longest ${ms(over?.refusal_max_ms)} ms)`,
    ),
    target(
      'answers lost, doubled or of another text',
      own.length > 0 ? sum('lost') + sum('doubled') + sum('wrong') : undefined,
      { at_most: 0 },
      (value) => value.toFixed(0),
    ),
    target(
      'batches before a single text beside a large call',
      large?.batches_before_max,
      { at_most: 2 },
      (value) => value.toFixed(0),
    ),
    target(
      `event-loop delay, p99, while ${number(large?.texts)} texts are scored`,
      large?.delay_p99_ms,
      { at_most: 10 },
      times,
      ` (longest ${ms(large?.delay_max_ms)} ms)`,
    ),
  ]
}
