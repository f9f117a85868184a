import { pack, rowsAround, type Row } from './batch'

/** What the scheduler drives: packed rows in, row-major logits out; token types where a row has any. */
export type Forward = (
  input_ids: Int32Array,
  cu_seqlens: Int32Array,
  token_type_ids: Int32Array | undefined,
) => Promise<Float32Array>

/** Shared by the rows of one call; a cancelled call's waiting rows are dropped before they cost anything. */
export interface Call {
  cancelled: boolean
}

interface Entry {
  row: Row
  call: Call
  arrival: number
  resolve: (logits: Float32Array) => void
  reject: (reason: unknown) => void
}

/** One batch runs and one waits behind it on each lane, so that no lane idles between two. */
const IN_FLIGHT_PER_LANE = 2

/** Rows are grouped by length among this many batches' worth of the longest-waiting ones. */
const LOOKAHEAD = 8

/**
 * Puts waiting rows, whoever submitted them, into batches under a token budget, and at most two batches in
 * flight for each lane. There is no timer: what waits when the lane has room goes.
 */
export class Scheduler {
  /** In order of arrival; `head` is the first that still waits. */
  private queue: Entry[] = []
  private head = 0
  /** The longest-waiting rows, sorted by length. */
  private window: Entry[] = []
  private window_tokens = 0
  private readonly max_in_flight: number
  private in_flight = 0
  private arrivals = 0
  private pump_scheduled = false
  private closed: Error | undefined

  /**
   * @param forward runs one batch
   * @param max_batch_tokens the budget of one batch
   * @param mixes_lengths whether rows of unequal length may share a batch
   * @param lanes how many batches `forward` runs at a time
   */
  constructor(
    private readonly forward: Forward,
    readonly max_batch_tokens: number,
    private readonly mixes_lengths: boolean,
    lanes = 1,
  ) {
    this.max_in_flight = IN_FLIGHT_PER_LANE * lanes
  }

  /** Resolves to the row's logits. Rejects with what `forward` rejects with, or what `close` was given. */
  submit(row: Row, call: Call): Promise<Float32Array> {
    if (this.closed) return Promise.reject(this.closed)
    return new Promise((resolve, reject) => {
      this.queue.push({ row, call, arrival: this.arrivals++, resolve, reject })
      this.schedulePump()
    })
  }

  /** Rejects every waiting row, and every later one, with `reason`. Batches in flight are not touched. */
  close(reason: Error): void {
    this.closed = reason
    for (const entry of this.window) entry.reject(reason)
    for (const entry of this.queue.slice(this.head)) entry.reject(reason)
    this.window = []
    this.window_tokens = 0
    this.queue = []
    this.head = 0
  }

  /** In a microtask, so that rows submitted in one go share a batch. */
  private schedulePump(): void {
    if (this.pump_scheduled || this.in_flight >= this.max_in_flight) return
    this.pump_scheduled = true
    queueMicrotask(() => {
      this.pump_scheduled = false
      while (this.in_flight < this.max_in_flight) {
        const batch = this.take()
        if (batch.length === 0) return
        this.run(batch)
      }
    })
  }

  private run(batch: readonly Entry[]): void {
    this.in_flight++
    const { input_ids, cu_seqlens, token_type_ids } = pack(batch.map((entry) => entry.row))
    void this.forward(input_ids, cu_seqlens, token_type_ids)
      .then(
        (logits) => {
          const num_labels = logits.length / batch.length
          batch.forEach((entry, row) => {
            entry.resolve(logits.subarray(row * num_labels, (row + 1) * num_labels))
          })
        },
        (reason: unknown) => {
          for (const entry of batch) entry.reject(reason)
        },
      )
      .finally(() => {
        this.in_flight--
        this.schedulePump()
      })
  }

  /** The next batch: the row that has waited longest, and the waiting rows nearest to it in length. */
  private take(): Entry[] {
    this.fillWindow()
    let oldest = 0
    this.window.forEach((entry, index) => {
      if (entry.arrival < (this.window[oldest]?.arrival ?? Infinity)) oldest = index
    })
    if (this.window.length === 0) return []
    const lengths = this.window.map((entry) => entry.row.ids.length)
    const [from, to] = rowsAround(lengths, oldest, this.max_batch_tokens, !this.mixes_lengths)
    const batch = this.window.splice(from, to - from)
    for (const entry of batch) this.window_tokens -= entry.row.ids.length
    return batch
  }

  private fillWindow(): void {
    const cancelled = this.window.filter((entry) => entry.call.cancelled)
    if (cancelled.length > 0) {
      for (const entry of cancelled) this.drop(entry)
      this.window = this.window.filter((entry) => !entry.call.cancelled)
      this.window_tokens = this.window.reduce((sum, entry) => sum + entry.row.ids.length, 0)
    }
    let grown = false
    while (this.window_tokens < LOOKAHEAD * this.max_batch_tokens) {
      const entry = this.queue[this.head]
      if (!entry) break
      this.head++
      if (entry.call.cancelled) {
        this.drop(entry)
        continue
      }
      this.window.push(entry)
      this.window_tokens += entry.row.ids.length
      grown = true
    }
    if (this.head === this.queue.length) {
      this.queue = []
      this.head = 0
    } else if (this.head > 1024 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head)
      this.head = 0
    }
    if (grown) this.window.sort((a, b) => a.row.ids.length - b.row.ids.length || a.arrival - b.arrival)
  }

  private drop(entry: Entry): void {
    entry.reject(new Error('The call was cancelled.'))
  }
}
