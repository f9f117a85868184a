import { Bar } from './bar'

/** How far the scoring of texts is, on stderr; where the length of the input is not known, only count and rate. */
export class Progress {
  readonly #bar = new Bar()
  readonly #total: number | undefined
  readonly #from: number
  readonly #start = performance.now()
  #texts = 0

  /** @param from where the input stands already, in bytes: what an earlier run did tells nothing about the rate */
  constructor(total: number | undefined, from = 0) {
    this.#total = total
    this.#from = from
    this.#draw(from)
  }

  /** @param bytes where the input stands after the text that was just scored */
  advance(bytes: number): void {
    this.#texts += 1
    this.#draw(bytes)
  }

  /** Takes the bar off the terminal. */
  stop(): void {
    this.#bar.clear()
  }

  #draw(bytes: number): void {
    const seconds = (performance.now() - this.#start) / 1000
    const rate = seconds > 0 ? Math.round(this.#texts / seconds).toLocaleString('en') : '–'
    const text = `${this.#texts.toLocaleString('en')} texts  ${rate} texts/s`
    if (this.#total === undefined) {
      this.#bar.draw(text)
      return
    }
    const done = bytes - this.#from
    const left = done > 0 ? clock((seconds * Math.max(this.#total - bytes, 0)) / done) : '–'
    this.#bar.draw(`${text}  ${left} left`, this.#total > 0 ? Math.min(bytes / this.#total, 1) : 1)
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
