/** Longest stretch of work on the JavaScript thread before the event loop gets a turn. */
const SLICE_MS = 4

/**
 * Shares each turn of the event loop among all calls that work on the JavaScript thread: one slice for all
 * of them together, so that a thousand callers hold it no longer than one.
 */
export class Pacer {
  private slice_end: number | undefined
  private next_turn: Promise<void> | undefined

  /** undefined while this turn has time left, else a promise for the next turn; then ask again. */
  pause(): Promise<void> | undefined {
    if (this.slice_end === undefined) {
      this.slice_end = performance.now() + SLICE_MS
      setImmediate(() => {
        this.slice_end = undefined
      })
      return undefined
    }
    if (performance.now() < this.slice_end) return undefined
    this.next_turn ??= new Promise((resolve) => {
      setImmediate(() => {
        this.next_turn = undefined
        this.slice_end = undefined
        resolve()
      })
    })
    return this.next_turn
  }

  /** Waits, if it must, until there is time in a turn of the event loop. */
  async turn(): Promise<void> {
    for (let pause = this.pause(); pause !== undefined; pause = this.pause()) await pause
  }
}
