import { SingleBar } from 'cli-progress'
import { fit, widthOf } from '../text-width'

const MAX_BAR_WIDTH = 24

/** One line on stderr, a terminal, that is drawn over and over. */
export class Bar {
  readonly #bar = new SingleBar({
    format: (_, __, payload: { line: string }) => payload.line,
    stream: process.stderr,
    // More often than this nobody can read it.
    fps: 10,
    clearOnComplete: true,
    // The line has been cut to the terminal already.
    linewrap: true,
  })
  #line = ''
  #started = false

  /** @param share how much is done, 0 to 1; undefined where that is not known, so that no bar is drawn */
  draw(text: string, share?: number): void {
    // The last column stays free: a terminal that wraps there would leave lines behind.
    const columns = (process.stderr.columns || 80) - 1
    this.#line = fit(share === undefined ? text : withBar(text, share, columns), columns)
    if (this.#started) this.#bar.update({ line: this.#line })
    else this.#bar.start(1, 0, { line: this.#line })
    this.#started = true
  }

  /** Shows what was drawn last for a moment, and takes it off the terminal. */
  clear(): void {
    this.#bar.stop()
  }
}

/** The bar gives way where the terminal is narrow. */
function withBar(text: string, share: number, columns: number): string {
  const rest = ` ${Math.floor(share * 100)}%  ${text}`
  const width = Math.max(0, Math.min(MAX_BAR_WIDTH, columns - widthOf(rest)))
  const filled = Math.round(share * width)
  return '█'.repeat(filled) + '░'.repeat(width - filled) + rest
}
