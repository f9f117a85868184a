import type { SingleBar } from 'cli-progress'

/** A progress bar on stderr; where the length of the input is not known, only the count and the rate. */
export class Progress {
  readonly #bar: SingleBar
  readonly #total: number | undefined
  readonly #start = performance.now()
  #texts = 0

  private constructor(bar: SingleBar, total: number | undefined) {
    this.#bar = bar
    this.#total = total
    bar.start(total ?? 0, 0, this.#payload(0))
  }

  /** The bar's library is loaded when there is something to show, and not before. */
  static async start(total: number | undefined): Promise<Progress> {
    const { SingleBar } = await import('cli-progress')
    const format =
      total === undefined
        ? '{texts} texts  {rate} texts/s'
        : '{bar} {percentage}%  {texts} texts  {rate} texts/s  {remaining} left'
    const bar = new SingleBar({
      format,
      barsize: 24,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      stream: process.stderr,
      clearOnComplete: true,
    })
    return new Progress(bar, total)
  }

  /** @param bytes where the input stands after the text that was just scored */
  advance(bytes: number): void {
    this.#texts += 1
    this.#bar.update(Math.min(bytes, this.#total ?? 0), this.#payload(bytes))
  }

  /** Takes the bar off the terminal. */
  stop(): void {
    this.#bar.stop()
  }

  #payload(bytes: number): Record<string, string> {
    const seconds = (performance.now() - this.#start) / 1000
    const remaining = bytes > 0 ? (seconds * Math.max((this.#total ?? 0) - bytes, 0)) / bytes : undefined
    return {
      texts: this.#texts.toLocaleString('en'),
      rate: seconds > 0 ? Math.round(this.#texts / seconds).toLocaleString('en') : '–',
      remaining: remaining === undefined ? '–' : clock(remaining),
    }
  }
}

/** Seconds as `0:09`, `12:30` or `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.ceil(seconds)
  const two = (value: number): string => String(value).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  const tail = two(whole % 60)
  return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${tail}`
}
