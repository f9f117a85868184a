import { fit } from './text-width'

const BAR_WIDTH = 24
/** More often than this nobody can read it. */
const REDRAW_MS = 100

/** One line on stderr, a terminal, that is drawn over and over. */
export class Bar {
  #drawn = -Infinity
  #pending: string | undefined

  /** @param share how much is done, 0 to 1; undefined where that is not known, so that no bar is drawn */
  draw(text: string, share?: number): void {
    const filled = Math.round((share ?? 0) * BAR_WIDTH)
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled)
    this.#pending = share === undefined ? text : `${bar} ${Math.floor(share * 100)}%  ${text}`
    if (performance.now() - this.#drawn >= REDRAW_MS) this.#flush()
  }

  /** Shows what was drawn last for a moment, and takes it off the terminal. */
  clear(): void {
    this.#flush()
    process.stderr.write('\r\x1b[K')
  }

  #flush(): void {
    if (this.#pending === undefined) return
    this.#drawn = performance.now()
    // The last column stays free: a terminal that wraps there would leave lines behind.
    const columns = process.stderr.columns || 80
    process.stderr.write(`\r${fit(this.#pending, columns - 1)}\x1b[K`)
    this.#pending = undefined
  }
}
