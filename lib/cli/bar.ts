import { fit, widthOf } from './text-width'

const MAX_BAR_WIDTH = 24
/** More often than this nobody can read it. */
const REDRAW_MS = 100

/** One line on stderr, a terminal, that is drawn over and over. */
export class Bar {
  #drawn = -Infinity
  #pending: { text: string; share: number | undefined } | undefined

  /** @param share how much is done, 0 to 1; undefined where that is not known, so that no bar is drawn */
  draw(text: string, share?: number): void {
    this.#pending = { text, share }
    if (performance.now() - this.#drawn >= REDRAW_MS) this.#flush()
  }

  /** Shows what was drawn last for a moment, and takes it off the terminal. */
  clear(): void {
    this.#flush()
    process.stderr.write('\r\x1b[K')
  }

  #flush(): void {
    if (!this.#pending) return
    const { text, share } = this.#pending
    // The last column stays free: a terminal that wraps there would leave lines behind.
    const columns = (process.stderr.columns || 80) - 1
    const line = share === undefined ? text : withBar(text, share, columns)
    process.stderr.write(`\r${fit(line, columns)}\x1b[K`)
    this.#drawn = performance.now()
    this.#pending = undefined
  }
}

/** The bar gives way where the terminal is narrow. */
function withBar(text: string, share: number, columns: number): string {
  const rest = ` ${Math.floor(share * 100)}%  ${text}`
  const width = Math.max(0, Math.min(MAX_BAR_WIDTH, columns - widthOf(rest)))
  const filled = Math.round(share * width)
  return '█'.repeat(filled) + '░'.repeat(width - filled) + rest
}
