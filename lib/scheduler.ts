import { pack, type Row } from './batch'
import { areNumbers } from './classification'
import { ElectraError } from './errors'
import { FairQueue, type Place, type Priority, type Waiting } from './queue'
import type { RowTimes, Stats } from './stats'
import type { ClassifierStats } from './types'

/** What the scheduler drives: packed rows in, row-major logits out; token types where a row has any. */
export type Forward = (
  input_ids: Int32Array,
  cu_seqlens: Int32Array,
  token_type_ids: Int32Array | undefined,
) => Promise<Float32Array>

/** What is promised to all callers together. */
export interface Limits {
  /** Budget of one batch. */
  max_batch_tokens: number
  /** Tokens that may wait. */
  max_queue_tokens: number
  /** Whether rows of unequal length may share a batch. */
  mixes_lengths: boolean
  /** Batches that run at a time. Default 1. */
  lanes?: number
}

/** How a call's rows are treated. */
export interface CallSettings {
  priority: Priority
  /** What becomes of a call that finds the queue full. */
  on_full: 'error' | 'wait'
  /** When the call expires, in milliseconds of `performance.now()`. */
  deadline: number
}

/** A call from its beginning to its end: where its rows wait. */
export interface Call extends Place, Readonly<CallSettings> {
  /** Whether draining waits for its end: false for a stream, whose end only its source knows. */
  readonly finite: boolean
  /** Whether its first row got into the queue; what has begun is not refused any more. */
  begun: boolean
  /** Rows of it that stand outside the queue. */
  outside: number
  /** Nobody waits for its rows any more. */
  ended: boolean
}

interface Entry extends Waiting, RowTimes {
  readonly place: Call
  resolve: (logits: Float32Array) => void
  reject: (reason: unknown) => void
}

/**
 * Tokens in one batch. On a CPU the products are as fast per token from about a thousand rows on, and a
 * smaller batch lets a single text in sooner; a GPU needs more to be full.
 */
export const MAX_BATCH_TOKENS = { cpu: 1024, cuda: 16384 }

/** One batch runs and one waits behind it on each lane, so that no lane idles between two. */
const IN_FLIGHT_PER_LANE = 2

/** Share of the queue for rows that follow a call's first: large calls leave the rest to calls that come. */
const SHARE_OF_BEGUN = 1 / 2

/**
 * Puts waiting rows, whoever submitted them, into batches under a token budget, with at most two batches in flight
 * for each lane. There is no timer: what waits when the lane has room goes.
 */
export class Scheduler {
  readonly lanes: number
  private readonly queue: FairQueue<Entry>
  /** Rows for which the queue has no room: first rows of calls by priority, then rows of calls that have begun. */
  private readonly outside = { high: [] as Entry[], normal: [] as Entry[], begun: [] as Entry[] }
  private in_flight = 0
  /** Batches in flight for which no lane was free when they were handed over; the first gets the next that is. */
  private readonly behind: { started: number }[] = []
  private pump_scheduled = false
  /** Finite calls that have not ended. */
  private open_calls = 0
  /** Why no call is taken any more, and why no row is. */
  private refusal: Error | undefined
  private closed: Error | undefined
  private draining: Promise<void> | undefined
  private drained: () => void = () => undefined

  /** @param forward runs one batch */
  constructor(
    private readonly forward: Forward,
    readonly limits: Limits,
    private readonly stats_: Stats,
  ) {
    this.lanes = limits.lanes ?? 1
    this.queue = new FairQueue(limits.max_batch_tokens, limits.mixes_lengths)
  }

  /**
   * Begins a call; {@link end} must follow.
   *
   * @param finite whether draining waits for its end
   * @throws what `close` or `drain` was given; ElectraError `QUEUE_FULL` where there is no room and it will not wait
   */
  open({ priority, on_full, deadline }: CallSettings, finite = true): Call {
    if (this.refusal) throw this.refusal
    const call: Call = {
      priority,
      on_full,
      deadline,
      finite,
      rows: [],
      turn: 0,
      large: false,
      begun: false,
      outside: 0,
      ended: false,
    }
    this.refuseIfFull(call)
    if (finite) this.open_calls++
    return call
  }

  /** Ends a call; its rows that wait are dropped and cost nothing. Ending twice is fine. */
  end(call: Call): void {
    if (call.ended) return
    call.ended = true
    const dropped = this.queue.drop(call)
    for (const name of ['high', 'normal', 'begun'] as const) {
      if (call.outside === 0) break
      dropped.push(...this.outside[name].filter((entry) => entry.place === call))
      this.outside[name] = this.outside[name].filter((entry) => entry.place !== call)
    }
    if (call.finite) this.open_calls--
    if (dropped.length > 0) {
      const reason = new Error('The call was cancelled.')
      for (const entry of dropped) entry.reject(reason)
      this.admit()
    }
    this.checkDrained()
  }

  /**
   * Resolves to the row's logits. Rejects with what `forward` rejects with, what `close` was given, or `QUEUE_FULL`;
   * a row that must wait for room in the queue is no failure.
   *
   * @param arrived when its text came, by `performance.now()`
   */
  submit(row: Row, call: Call, arrived = performance.now()): Promise<Float32Array> {
    if (call.ended) return Promise.reject(new Error('The call was cancelled.'))
    const refusal = call.finite ? this.closed : this.refusal
    if (refusal) return Promise.reject(refusal)
    return new Promise((resolve, reject) => {
      const submitted = performance.now()
      const entry: Entry = { row, place: call, passed: false, arrived, submitted, resolve, reject }
      const outside = this.outside[call.begun ? 'begun' : call.priority]
      if (outside.length === 0 && this.hasRoom(entry)) {
        this.enter(entry)
      } else if (call.begun || call.on_full === 'wait') {
        outside.push(entry)
        call.outside++
      } else {
        reject(this.full())
      }
    })
  }

  /** As `submit` does it, before a text is tokenized. */
  refuseIfFull(call: Call): void {
    if (call.begun || call.on_full === 'wait') return
    const { max_queue_tokens } = this.limits
    if (this.queue.tokens >= max_queue_tokens || this.outside[call.priority].length > 0) throw this.full()
  }

  /** Rejects every waiting row, and every later call, with `reason`. Batches in flight are not touched. */
  close(reason: Error): void {
    this.refusal ??= reason
    this.closed ??= reason
    const { high, normal, begun } = this.outside
    const waiting = [...this.queue.clear(), ...high.splice(0), ...normal.splice(0), ...begun.splice(0)]
    for (const entry of waiting) entry.reject(reason)
    this.drained()
  }

  /**
   * Refuses every later call, and further texts of a stream, with `reason`. Resolves when the calls that have begun have
   * ended and nothing waits or runs, or by `close`.
   */
  drain(reason: Error): Promise<void> {
    this.refusal ??= reason
    this.draining ??= new Promise((resolve) => {
      this.drained = resolve
    })
    this.checkDrained()
    return this.draining
  }

  stats(): ClassifierStats {
    const { high, normal, begun } = this.outside
    const outside = [...high, ...normal, ...begun]
    return {
      queued_texts: this.queue.rows + outside.length,
      queued_tokens: this.queue.tokens + outside.reduce((sum, { row }) => sum + row.ids.length, 0),
      batches_in_flight: this.in_flight,
      ...this.stats_.read(),
    }
  }

  private checkDrained(): void {
    const idle = this.open_calls === 0 && this.in_flight === 0 && this.queue.rows === 0
    if (idle || this.closed) this.drained()
  }

  private full(): ElectraError {
    this.stats_.refused++
    return new ElectraError(
      'QUEUE_FULL',
      `${this.queue.tokens} tokens wait, and max_queue_tokens is ${this.limits.max_queue_tokens}; try again later, raise the option, or pass on_full: 'wait'.`,
    )
  }

  /** An empty queue has room for any row, so that one that is longer than the whole queue goes too. */
  private hasRoom({ row, place }: Entry): boolean {
    const { max_queue_tokens } = this.limits
    const share = place.begun && place.rows.length > 0 ? max_queue_tokens * SHARE_OF_BEGUN : max_queue_tokens
    return this.queue.tokens === 0 || this.queue.tokens + row.ids.length <= share
  }

  private enter(entry: Entry): void {
    entry.place.begun = true
    this.queue.push(entry)
    this.schedulePump()
  }

  /** Lets in what stands outside, as far as there is room. */
  private admit(): void {
    for (const name of ['high', 'normal', 'begun'] as const) {
      const outside = this.outside[name]
      let entered = 0
      for (const entry of outside) {
        if (!this.hasRoom(entry)) break
        entry.place.outside--
        this.enter(entry)
        entered++
      }
      if (entered > 0) this.outside[name] = outside.slice(entered)
    }
  }

  /**
   * At once where a lane is idle; else when the promises of this turn of the event loop have run, so that rows
   * submitted by callers that were just answered share a batch.
   */
  private schedulePump(): void {
    if (this.pump_scheduled || this.in_flight >= IN_FLIGHT_PER_LANE * this.lanes) return
    this.pump_scheduled = true
    const pump = () => {
      this.pump_scheduled = false
      this.pump()
    }
    if (this.in_flight < this.lanes) queueMicrotask(pump)
    else process.nextTick(pump)
  }

  private pump(): void {
    const batch = this.nextBatch()
    if (batch.length > 0) void this.run(batch)
    this.admit()
    if (batch.length > 0) this.schedulePump()
  }

  /** Without rows whose time is up: the timers that end their calls are about to run. */
  private nextBatch(): Entry[] {
    for (;;) {
      const batch = this.queue.take()
      const now = performance.now()
      const timely = batch.filter(({ place }) => place.deadline > now)
      if (timely.length > 0 || batch.length === 0) return timely
    }
  }

  private async run(rows: readonly Entry[]): Promise<void> {
    this.in_flight++
    const { input_ids, cu_seqlens, token_type_ids } = pack(rows.map((entry) => entry.row))
    const time = { started: performance.now() }
    if (this.in_flight > this.lanes) this.behind.push(time)
    let outcome: { logits: Float32Array } | { error: unknown }
    try {
      outcome = { logits: await this.forward(input_ids, cu_seqlens, token_type_ids) }
    } catch (error) {
      outcome = { error }
    }
    const done = performance.now()
    const next = this.behind.shift()
    if (next) next.started = done
    this.in_flight--
    this.schedulePump()
    if ('logits' in outcome) {
      const { logits } = outcome
      const num_labels = logits.length / rows.length
      rows.forEach((entry, row) => {
        const own = logits.subarray(row * num_labels, (row + 1) * num_labels)
        // Its neighbours have what they asked for.
        if (areNumbers(own)) entry.resolve(own)
        else entry.reject(noNumbers())
      })
    } else {
      for (const entry of rows) entry.reject(outcome.error)
    }
    this.stats_.batch({ rows, tokens: input_ids.length, ...time, done, ...outcome })
    this.checkDrained()
  }
}

function noNumbers(): ElectraError {
  return new ElectraError(
    'FORWARD_FAILED',
    "The model put out no numbers for this text (NaN or infinite logits); load it with dtype 'fp32', or another model.",
  )
}
