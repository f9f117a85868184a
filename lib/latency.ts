import type { LatencyQuantiles } from './types'

/** Buckets for each doubling: a time is known within 5 %. */
const PER_DOUBLING = 8
const SHORTEST_MS = 1 / 1024
/** Up to 4.6 hours. */
const BUCKETS = 34 * PER_DOUBLING

/** How often which time was taken, in buckets that grow with the time; of the current period and the one before. */
export class Latency {
  private current = new Uint32Array(BUCKETS)
  private previous = new Uint32Array(BUCKETS)

  record(ms: number): void {
    const bucket = Math.ceil(PER_DOUBLING * Math.log2(Math.max(ms, SHORTEST_MS) / SHORTEST_MS))
    const last = Math.min(bucket, BUCKETS - 1)
    this.current[last] = (this.current[last] ?? 0) + 1
  }

  /** Begins a new period, and forgets the one before the last. */
  turn(): void {
    const oldest = this.previous.fill(0)
    this.previous = this.current
    this.current = oldest
  }

  quantiles(): LatencyQuantiles {
    const counts = this.current.map((count, bucket) => count + (this.previous[bucket] ?? 0))
    const total = counts.reduce((sum, count) => sum + count, 0)
    const quantile = (share: number): number => {
      if (total === 0) return NaN
      let left = share * total
      const bucket = counts.findIndex((count) => (left -= count) <= 0)
      // The middle of the bucket.
      return SHORTEST_MS * 2 ** ((bucket - 0.5) / PER_DOUBLING)
    }
    return { p50_ms: quantile(0.5), p90_ms: quantile(0.9), p99_ms: quantile(0.99) }
  }
}
