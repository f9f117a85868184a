import { sizesOf, titleOf } from './print'
import type { Report } from './report'
import type { SizeName } from './targets'

const WIDTH = 800
const LABELS = 280
const BARS = 400
const ROW = 22
const HEAD = 38

interface Bar {
  size: SizeName
  label: string
  texts_per_second: number
  ours: boolean
}

/** A bar for each engine and order of texts, fastest first within a size. */
export function chartRows(report: Report): Bar[] {
  const bars = report.figures.flatMap(({ size, engine, values }): Bar[] => {
    const ours = engine.startsWith('ours')
    const bar = (label: string, rate: number | undefined): Bar[] =>
      rate === undefined ? [] : [{ size, label, texts_per_second: rate, ours }]
    return [
      ...bar(ours ? engine.replace('ours', 'electra-classifier') : `${engine}, file order`, values.stream),
      ...bar(`${engine}, sorted by length`, values['stream, sorted']),
    ]
  })
  return bars.sort((a, b) => b.texts_per_second - a.texts_per_second)
}

/** Texts a second as bars, a panel for each size; it reads on light and dark pages. */
export function chart(report: Report): string {
  const parts: string[] = []
  let y = 0
  for (const size of sizesOf(report)) {
    const bars = chartRows(report).filter((bar) => bar.size === size)
    const most = bars[0]?.texts_per_second ?? 1
    parts.push(
      `<text class="title" x="0" y="${y + 24}">${escape(titleOf(size))}: texts a second, text in, label out</text>`,
    )
    y += HEAD
    for (const { label, texts_per_second, ours } of bars) {
      const length = Math.max(1, Math.round((BARS * texts_per_second) / most))
      const rate =
        texts_per_second < 100
          ? texts_per_second.toFixed(1)
          : Math.round(texts_per_second).toLocaleString('en')
      parts.push(
        `<text x="${LABELS - 8}" y="${y + 15}" text-anchor="end">${escape(label)}</text>`,
        `<rect class="${ours ? 'ours' : 'peer'}" x="${LABELS}" y="${y + 3}" width="${length}" height="${ROW - 6}" rx="2"/>`,
        `<text x="${LABELS + length + 6}" y="${y + 15}">${rate}</text>`,
      )
      y += ROW
    }
    y += 10
  }
  const { cpu, class: kind, threads, date } = report.machine
  parts.push(
    `<text class="foot" x="0" y="${y + 14}">${escape(`${cpu} (${kind}), ${threads} threads, ${date}`)}</text>`,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 24}" role="img" aria-label="Texts a second, by engine">`,
    '<style>',
    'text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600 } .foot { font-size: 11px; opacity: 0.7 }',
    '.ours { fill: #0969da } .peer { fill: #8c959f }',
    '@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .ours { fill: #58a6ff } .peer { fill: #6e7681 } }',
    '</style>',
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
