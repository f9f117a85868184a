import { channel, tracingChannel } from 'node:diagnostics_channel'
import { Latency } from './latency'
import type { BatchMessage, CallMessage, ClassifierStats } from './types'

const batches = channel('electra-classifier:batch')
const calls = tracingChannel<string, CallMessage>('electra-classifier:call')

/** Shows a call to whoever traces calls; costs nothing where nobody does. */
export function traced<T>(message: CallMessage, call: () => Promise<T>): Promise<T> {
  return calls.hasSubscribers ? calls.tracePromise(call, message) : call()
}

/** Rates and latencies are those of the period that runs and of the one before it. */
const PERIOD_MS = 30_000

/** When what happened to a row of a batch, in milliseconds of one clock. */
export interface RowTimes {
  arrived: number
  submitted: number
}

/** A batch that was scored, or failed. */
export interface BatchTimes {
  rows: readonly RowTimes[]
  tokens: number
  /** When the engine was free for it, and when it was done. */
  started: number
  done: number
  error?: unknown
}

/** Counts what the scheduler does, a batch at a time. */
export class Stats {
  refused = 0
  private batches = 0
  private texts = 0
  private tokens = 0
  private readonly latency = {
    total: new Latency(),
    tokenize: new Latency(),
    queue: new Latency(),
    compute: new Latency(),
  }
  /** What the totals were when the period before the current one began, and when the current one did. */
  private previous: Mark
  private current: Mark

  /** @param max_batch_tokens what a full batch holds */
  constructor(
    private readonly max_batch_tokens: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.previous = this.current = this.mark()
  }

  batch({ rows, tokens, started, done, error }: BatchTimes): void {
    this.turn()
    this.batches++
    this.texts += rows.length
    this.tokens += tokens
    const { total, tokenize, queue, compute } = this.latency
    for (const { arrived, submitted } of rows) {
      tokenize.record(submitted - arrived)
      queue.record(started - submitted)
      compute.record(done - started)
      total.record(done - arrived)
    }
    if (!batches.hasSubscribers) return
    const message: BatchMessage = { texts: rows.length, tokens, compute_ms: done - started }
    if (error !== undefined) message.error = error
    batches.publish(message)
  }

  read(): Omit<ClassifierStats, 'queued_texts' | 'queued_tokens' | 'batches_in_flight'> {
    this.turn()
    const { previous, batches, texts, tokens, refused, latency } = this
    const seconds = (this.now() - previous.at) / 1000
    return {
      batches,
      texts,
      tokens,
      refused,
      batch_fill: (tokens - previous.tokens) / (batches - previous.batches) / this.max_batch_tokens,
      texts_per_second: (texts - previous.texts) / seconds,
      tokens_per_second: (tokens - previous.tokens) / seconds,
      latency: {
        total: latency.total.quantiles(),
        tokenize: latency.tokenize.quantiles(),
        queue: latency.queue.quantiles(),
        compute: latency.compute.quantiles(),
      },
    }
  }

  private mark(): Mark {
    return { at: this.now(), batches: this.batches, texts: this.texts, tokens: this.tokens }
  }

  /** Begins as many periods as have passed; after two nothing of before is left. */
  private turn(): void {
    const passed = Math.min(2, Math.floor((this.now() - this.current.at) / PERIOD_MS))
    for (let period = 0; period < passed; period++) {
      this.previous = this.current
      this.current = this.mark()
      for (const each of Object.values(this.latency)) each.turn()
    }
  }
}

interface Mark {
  at: number
  batches: number
  texts: number
  tokens: number
}
