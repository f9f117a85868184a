/* Text and figures as HTML that shows what they hold and does nothing else. */

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

// eslint-disable-next-line no-control-regex -- these are what is looked for
const CONTROLS = /[\0-\x1f\x7f-\x9f]/g

/** One line, with control characters spelled out (`\x1b`) and lone surrogates as U+FFFD. */
export function visible(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(CONTROLS, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`)
    .replace(/[\ud800-\udfff]/gu, '\ufffd')
}

/** For text and for attributes in double quotes. */
export function escapeHtml(text: string): string {
  return visible(text).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}

/** Somebody's text among ours: its direction, and any marks in it that turn the direction, end with it. */
export function isolated(text: string): string {
  return `<bdi>${escapeHtml(text)}</bdi>`
}

/** A rate or a loss with four decimals; a dash where it is not defined. */
export function figure(value: number | null): string {
  return value === null ? '–' : value.toFixed(4)
}

const COUNTS = new Intl.NumberFormat('en')
const SHORT_COUNTS = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

/** 12,345 */
export function count(value: number): string {
  return COUNTS.format(value)
}

/** 12.3K, where there is no room for more. */
export function shortCount(value: number): string {
  return value < 10_000 ? COUNTS.format(value) : SHORT_COUNTS.format(value)
}

/** "1 row", "2 rows". */
export function rows(value: number): string {
  return `${count(value)} ${value === 1 ? 'row' : 'rows'}`
}
