const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/** Two cells: emoji, flags, and the scripts that terminals draw in full width. */
const WIDE =
  /\p{Emoji_Presentation}|\p{Extended_Pictographic}\uFE0F|\p{Regional_Indicator}|[\u3000-\u303E\uFF01-\uFF60\uFFE0-\uFFE6]|(?![\uFF61-\uFFDC])[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Bopo}\p{sc=Yiii}]/u

const NO_WIDTH = /^[\p{M}\p{Cf}]+$/u

/** One line without anything that would move the cursor or change the terminal. */
export function onOneLine(text: string): string {
  return text.replace(/[\s\p{Cc}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]+/gu, ' ').trim()
}

/** Cells that a text takes in a terminal. */
export function widthOf(text: string): number {
  let width = 0
  for (const { segment } of segmenter.segment(text)) width += cells(segment)
  return width
}

/** The text, or as much of it as fits with an ellipsis at its end; no character is cut in two. */
export function fit(text: string, width: number): string {
  let taken = 0
  let end = 0
  for (const { segment, index } of segmenter.segment(text)) {
    taken += cells(segment)
    if (taken > width) return `${text.slice(0, end)}…`
    // What may stay when an ellipsis has to follow.
    if (taken < width) end = index + segment.length
  }
  return text
}

function cells(grapheme: string): number {
  if (WIDE.test(grapheme)) return 2
  return NO_WIDTH.test(grapheme) ? 0 : 1
}
