/** Longest stretch of work on the JavaScript thread before the event loop gets a turn. */
const SLICE_MS = 4

/** Callbacks that wait, first in, first out. */
class Line {
  private waiting: (() => void)[] = []
  private head = 0

  get empty(): boolean {
    return this.head === this.waiting.length
  }

  push(callback: () => void): void {
    this.waiting.push(callback)
  }

  shift(): (() => void) | undefined {
    const first = this.waiting[this.head++]
    if (this.head >= this.waiting.length) {
      this.waiting = []
      this.head = 0
    }
    return first
  }
}

/**
 * Shares each turn of the event loop among all calls that work on the JavaScript thread: one slice for all of them
 * together, so that a thousand callers hold it no longer than one. Who finds no time left waits in line.
 */
export class Pacer {
  private slice_end: number | undefined
  private readonly lines = { high: new Line(), normal: new Line() }

  /** undefined where there is time at once; else a promise for the time when there is. */
  turn(priority: 'high' | 'normal'): Promise<void> | undefined {
    const { high, normal } = this.lines
    if (high.empty && (priority === 'high' || normal.empty)) {
      if (this.slice_end === undefined) this.beginSlice()
      if (this.hasTime()) return undefined
    }
    return new Promise((resolve) => {
      this.lines[priority].push(resolve)
    })
  }

  private hasTime(): boolean {
    return performance.now() < (this.slice_end ?? Infinity)
  }

  private beginSlice(): void {
    this.slice_end = performance.now() + SLICE_MS
    setImmediate(() => {
      this.slice_end = undefined
      if (!this.lines.high.empty || !this.lines.normal.empty) void this.serve()
    })
  }

  private async serve(): Promise<void> {
    this.beginSlice()
    while (this.hasTime()) {
      const { high, normal } = this.lines
      const next = high.empty ? normal.shift() : high.shift()
      if (!next) return
      next()
      // Whoever has waited does its work before this goes on.
      await Promise.resolve()
    }
  }
}
