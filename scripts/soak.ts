/**
 * `npm run soak -- --texts 1000000`: the shipped model under a service's load for as long as that takes. Calls of one
 * text, arrays and streams by 32 callers at once; lengths as sentences have them and 1 % up to 512 tokens; some calls
 * are aborted, and now and then the classifier is closed under load and another one loaded.
 *
 *   --texts N   how many (default 1,000,000)
 *   --seed S    another sequence of calls (default 1)
 *
 * Exits with 1 where a call was not answered once, with its own texts' results to the bit, or where resident memory
 * grew by more than 2 % after the first tenth.
 */
import { setFlagsFromString } from 'node:v8'
import { parseArgs } from 'node:util'
import { runInNewContext } from 'node:vm'
import { ElectraClassifier, ElectraError, type Classification } from '../lib/index'

/** How many of 5,421 sentences of reviews and conversations have 0, 1, 2 … tokens. */
const LENGTHS = [
  0, 0, 0, 1, 13, 39, 79, 108, 177, 199, 200, 228, 229, 243, 262, 236, 261, 220, 232, 239, 205, 218, 189, 156,
  162, 164, 111, 127, 113, 103, 85, 83, 78, 75, 58, 58, 54, 50, 40, 38, 36, 30, 26, 17, 23, 18, 18, 16, 15,
  12, 10, 3, 5, 14, 8, 4, 3, 4, 5, 2, 4, 0, 0, 0, 0, 1, 3, 0, 0, 1, 0, 0, 1, 1, 1, 0, 0, 2, 1, 0, 0, 0, 0, 0,
  0, 1, 0, 0, 0, 1, 1, 0, 1,
]
const LONG = 0.01
const LONGEST = 512
/** Different texts, each scored alone first; every later result must equal that one. */
const POOL = 2000
const CALLERS = 32
const ABORTED = 0.03
/** After each of them memory is measured; in every eighth the classifier is closed. */
const ROUNDS = 200
const MOST_GROWTH = 0.02
/** Small rounds before memory is looked at, each with a load: heaps and compiled code reach their size, and that is no growth. */
const SETTLING = { rounds: 40, texts: 200 }
/** Nothing is answered for so long only where something is lost. */
const LOST_AFTER_MS = 120_000

const { values } = parseArgs({
  options: { texts: { type: 'string', default: '1000000' }, seed: { type: 'string', default: '1' } },
})
const [total, seed] = [Number(values.texts), Number(values.seed)]
if (!Number.isSafeInteger(total) || total < 1000 || !Number.isSafeInteger(seed)) {
  console.error('soak: --texts must be a whole number of 1000 or more, and --seed a whole number')
  process.exit(2)
}

let state = seed >>> 0
/** From 0 to below 1; the same sequence for the same seed. */
function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 2 ** 32
}
const below = (limit: number): number => Math.floor(random() * limit)

function randomLength(long: number): number {
  if (random() < long) return 93 + below(LONGEST - 93 + 1)
  let place = below(LENGTHS.reduce((sum, count) => sum + count))
  return LENGTHS.findIndex((count) => (place -= count) < 0)
}

/** Words that are one token each, between [CLS] and [SEP]. */
const WORDS =
  'the food was good bad and service slow we never came back again great place love it not very nice'.split(
    ' ',
  )
const makeText = (tokens: number): string =>
  Array.from({ length: tokens - 2 }, () => WORDS[below(WORDS.length)]).join(' ')

const watchdog = setTimeout(() => {
  console.error(`soak: nothing was answered for ${LOST_AFTER_MS / 1000} s`)
  process.exit(1)
}, LOST_AFTER_MS)

const noCounts = () => ({ scored: 0, unanswered: 0, aborted: 0, closed: 0, closes: 0 })

class Soak {
  readonly #texts: string[] = []
  readonly #expected: string[] = []
  readonly #closed = new WeakSet<ElectraClassifier>()
  #classifier = ElectraClassifier.load()
  counts = noCounts()

  /** Makes the texts, and scores each alone. */
  async prepare(): Promise<void> {
    const classifier = await this.#classifier
    for (let i = 0; i < POOL; ++i) {
      const tokens = i < LONG * POOL ? randomLength(1) : randomLength(0)
      const text = makeText(tokens)
      const result = await classifier.classify(text)
      if (result.num_tokens !== tokens || result.truncated) throw new Error(`${text} is not ${tokens} tokens`)
      this.#texts.push(text)
      this.#expected.push(JSON.stringify(result))
      watchdog.refresh()
    }
  }

  /** Closes the classifier under everything that waits; calls from now on get another one. */
  async reopen(): Promise<void> {
    const classifier = await this.#classifier
    this.#closed.add(classifier)
    const closing = classifier.close()
    this.#classifier = ElectraClassifier.load()
    this.counts.closes++
    await closing
  }

  async close(): Promise<void> {
    await (await this.#classifier).close()
  }

  /** Most calls are of one text. */
  randomSize(): number {
    return random() < 0.7 ? 1 : 1 + below(64)
  }

  /** One call of some texts: right to the bit, or ended by its abort or by the close. */
  async call(size: number): Promise<void> {
    const places = Array.from({ length: size }, () => below(POOL))
    const controller = random() < ABORTED ? new AbortController() : undefined
    const reason = new Error('the client hung up')
    if (controller) this.#abortSoon(controller, reason)
    const classifier = await this.#classifier
    try {
      this.#check(places, await this.#score(classifier, places, controller?.signal))
      this.counts.scored += size
    } catch (error) {
      if (error === reason) this.counts.aborted++
      else if (error instanceof ElectraError && error.code === 'CLOSED' && this.#closed.has(classifier)) {
        this.counts.closed++
      } else throw error
      this.counts.unanswered += size
    }
  }

  /** At once, or after some turns of the event loop: while it waits, runs or is done. */
  #abortSoon(controller: AbortController, reason: Error): void {
    let turns = below(20)
    const turn = (): void => {
      if (turns-- === 0) controller.abort(reason)
      else setImmediate(turn)
    }
    turn()
  }

  async #score(
    classifier: ElectraClassifier,
    places: number[],
    signal: AbortSignal | undefined,
  ): Promise<Classification[]> {
    const texts = places.map((place) => this.#texts[place] ?? '')
    const options = signal ? { signal } : {}
    if (texts.length === 1) return [await classifier.classify(texts[0] ?? '', options)]
    if (random() < 0.8) return classifier.classify(texts, options)
    const results: Classification[] = []
    for await (const result of classifier.classifyStream(texts, options)) results.push(result)
    return results
  }

  #check(places: number[], results: Classification[]): void {
    if (results.length !== places.length) {
      throw new Error(`${places.length} texts were given ${results.length} results`)
    }
    for (const [i, result] of results.entries()) {
      const expected = this.#expected[places[i] ?? -1]
      const got = JSON.stringify(result)
      if (got !== expected) throw new Error(`a result is not its own: ${got}, expected ${expected}`)
    }
  }
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
/** With nothing under way, so that what is measured is what stays. */
function resident(): number {
  collectGarbage()
  return process.memoryUsage.rss()
}

const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN

/** Calls of about so many texts in all, then quiet. */
async function round(soak: Soak, texts: number, reopen: boolean): Promise<void> {
  let [left, closes] = [texts, reopen ? 1 : 0]
  await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (left > 0) {
        const size = Math.min(left, soak.randomSize())
        left -= size
        if (left < texts / 2 && closes-- > 0) await soak.reopen()
        await soak.call(size)
        watchdog.refresh()
      }
    }),
  )
}

async function main(): Promise<void> {
  const soak = new Soak()
  await soak.prepare()
  for (let i = 0; i < SETTLING.rounds; ++i) await round(soak, SETTLING.texts, true)
  soak.counts = noCounts()
  const start = performance.now()
  const samples: number[] = []
  for (let i = 1; i <= ROUNDS; ++i) {
    await round(soak, Math.round((total * i) / ROUNDS) - Math.round((total * (i - 1)) / ROUNDS), i % 8 === 4)
    samples.push(resident())
    if (i % (ROUNDS / 10) === 0) report(soak, i, samples, start)
  }
  await soak.close()
  clearTimeout(watchdog)

  const { scored, unanswered } = soak.counts
  if (scored + unanswered !== total)
    throw new Error(`of ${total} texts ${scored + unanswered} were accounted for`)
  const tenth = ROUNDS / 10
  // Over several loads, for each begins with less than what is there before the next.
  const early = median(samples.slice(tenth, 2 * tenth))
  const late = median(samples.slice(-tenth))
  const growth = late / early - 1
  console.log(
    `resident memory: ${megabytes(early)} in the second tenth, ${megabytes(late)} in the last, ${(100 * growth).toFixed(2)} % growth`,
  )
  if (growth > MOST_GROWTH) throw new Error(`resident memory grew by more than ${100 * MOST_GROWTH} %`)
}

function report({ counts }: Soak, rounds: number, samples: number[], start: number): void {
  const seconds = (performance.now() - start) / 1000
  const { scored, aborted, closed, closes } = counts
  console.log(
    `${(100 * rounds) / ROUNDS} %: ${scored} texts scored, each as alone; ${aborted} calls aborted, ${closed} ended by ${closes} closes; ${megabytes(samples.at(-1) ?? 0)}, ${seconds.toFixed(0)} s`,
  )
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

main().catch((error: unknown) => {
  console.error('soak:', error instanceof Error ? error.message : error)
  process.exit(1)
})
