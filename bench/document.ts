import { chartRows } from './chart'
import { cellText, counts, figureText, machineLines, roundsLine, sizesOf, titleOf } from './print'
import type { Report } from './report'
import { COLUMNS } from './targets'

const BEGIN = '<!-- bench: begin (written by `npm run bench -- --write`) -->'
const END = '<!-- bench: end -->'

/** The document with its measured part replaced; prose before and after it is kept. */
export function withMeasured(document: string, report: Report): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`the document has no line ${BEGIN} with ${END} after it`)
  return document.slice(0, begin) + `${BEGIN}\n\n${measured(report)}\n\n` + document.slice(end)
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
    blocks.push(table(['ours : peer', ...COLUMNS], rows))
  }
  if (report.checks.length) {
    blocks.push('### Everything else that is promised')
    blocks.push(
      table(
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
    blocks.push(table(['engine', ...COLUMNS], rows))
  }
  if (report.failures.length) {
    blocks.push('Without figures:')
    blocks.push(report.failures.map(({ trial, reason }) => `- ${trial}: ${reason}`).join('\n'))
  }
  return blocks.join('\n\n')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}
