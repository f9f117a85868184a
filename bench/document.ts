import { chartRows } from './chart'
import { cellText, counts, figureText, machineLines, roundsLine, sizesOf, titleOf } from './print'
import type { Report } from './report'
import { COLUMNS } from './targets'

/** Parts of the document that are measured, and the scripts that write them. */
const SECTIONS = { bench: 'npm run bench', load: 'npm run bench:load' }

/** The document with its measured part replaced; prose before and after it is kept. */
export function withMeasured(document: string, report: Report): string {
  return withSection(document, 'bench', measured(report))
}

/** The document with one of its measured parts replaced. */
export function withSection(document: string, name: keyof typeof SECTIONS, text: string): string {
  const first = `<!-- ${name}: begin (written by \`${SECTIONS[name]} -- --write\`) -->`
  const last = `<!-- ${name}: end -->`
  const [begin, end] = [document.indexOf(first), document.indexOf(last)]
  if (begin < 0 || end < begin) throw new Error(`the document has no line ${first} with ${last} after it`)
  return document.slice(0, begin) + `${first}\n\n${text}\n\n` + document.slice(end)
}

function measured(report: Report): string {
  const blocks = [
    `Machine: ${machineLines(report.machine).join('. ')}. Figures are ${roundsLine(report)}. Targets: ${counts(report)}.`,
  ]
  if (chartRows(report).length) blocks.push('![Texts a second](performance.svg)')
  for (const size of sizesOf(report)) {
    const lines = report.comparisons.filter((line) => line.size === size)
    const rows = lines.map((line) => [
      `${line.ours} : ${line.peer}${line.note === undefined ? '' : ` (${line.note})`}${line.missing === undefined ? '' : ` (${line.missing})`}`,
      ...line.cells.map(cellText),
    ])
    blocks.push(`### ${titleOf(size)}, how many times as fast as the peer`)
    blocks.push(markdownTable(['ours : peer', ...COLUMNS], rows))
  }
  if (report.checks.length) {
    blocks.push('### Everything else that is promised')
    blocks.push(
      markdownTable(
        ['what', 'measured', 'promised', ''],
        report.checks.map(({ what, figure, limit, verdict }) => [what, figure, limit ?? '', verdict ?? '']),
      ),
    )
  }
  for (const size of sizesOf(report)) {
    const rows = report.figures
      .filter((each) => each.size === size)
      .map(({ engine, values }) => [engine, ...COLUMNS.map((column) => figureText(column, values))])
    blocks.push(`### ${titleOf(size)}, milliseconds for rows × tokens, and texts a second`)
    blocks.push(markdownTable(['engine', ...COLUMNS], rows))
  }
  if (report.failures.length) {
    blocks.push('Without figures:')
    blocks.push(report.failures.map(({ trial, reason }) => `- ${trial}: ${reason}`).join('\n'))
  }
  return blocks.join('\n\n')
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}
