import { SIZES } from './plan'
import type { Cell, Figures, Report, Verdict } from './report'
import type { Machine } from './results'
import { COLUMNS, type Column, type SizeName } from './targets'

const WIDTH = 20

/** The report as text for a terminal: ratios first. */
export function asText(report: Report): string {
  const lines = [...machineLines(report.machine), roundsLine(report), '']
  for (const size of sizesOf(report)) {
    lines.push(`${titleOf(size)}: how many times as fast as the peer`)
    lines.push(row('', COLUMNS))
    for (const line of report.comparisons.filter((each) => each.size === size)) {
      lines.push(row(`  ${line.ours} : ${line.peer}`, line.cells.map(cellText)))
      if (line.note !== undefined) lines.push(`      ${line.note}`)
      if (line.missing !== undefined) lines.push(`      ${line.missing}`)
    }
    lines.push('')
  }
  for (const { what, figure, limit, verdict } of report.checks) {
    lines.push(`${what}: ${figure}${limit === undefined ? '' : `   ${limit} ${verdict ?? ''}`}`)
  }
  for (const size of sizesOf(report)) {
    lines.push('', `${titleOf(size)}: milliseconds, and texts a second`)
    lines.push(row('', COLUMNS))
    for (const { engine, values } of report.figures.filter((each) => each.size === size)) {
      lines.push(
        row(
          `  ${engine}`,
          COLUMNS.map((column) => figureText(column, values)),
        ),
      )
    }
  }
  if (report.failures.length) lines.push('', 'without figures:')
  for (const { trial, reason } of report.failures) lines.push(`  ${trial}: ${reason}`)
  lines.push('', `targets: ${counts(report)}`)
  return lines.join('\n')
}

export function machineLines(machine: Machine): string[] {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`)
  return [
    `${machine.cpu}, ${machine.cpus} CPUs, ${machine.threads} threads (${machine.threads_rule}); ${machine.features.join(' ')}`,
    `Class ${machine.class}; commit ${machine.commit}, ${machine.date}${machine.quick ? ', quick' : ''}`,
    versions.join(', '),
  ]
}

/** How much was measured, and how busy the machine was. */
export function roundsLine({ rounds, load }: Report): string {
  const [least, most] = load.map((each) => each.toFixed(1))
  return `medians of ${rounds} rounds, a process each, engines taking turns; load average ${least ?? ''} to ${most ?? ''}`
}

export function counts(report: Report): string {
  const cells = report.comparisons.flatMap((line) => line.cells)
  const verdicts = [...cells, ...report.checks].map(({ verdict }) => verdict)
  const count = (wanted: Verdict) => verdicts.filter((verdict) => verdict === wanted).length
  const open = count('not measured')
  return `${count('met')} met, ${count('missed')} missed${open ? `, ${open} not measured` : ''}`
}

export function sizesOf(report: Report): SizeName[] {
  return [...new Set(report.comparisons.map(({ size }) => size))]
}

export function titleOf(name: SizeName): string {
  const size = SIZES.find((each) => each.name === name)
  return `${name} (${size?.layers ?? 0} × ${size?.hidden ?? 0})`
}

export function cellText({ ratio, target, verdict }: Cell): string {
  const figure = ratio === undefined ? '–' : `${ratio.toFixed(2)}×`
  if (target === undefined) return figure
  return verdict === 'not measured' ? `? ≥ ${target}` : `${figure} ≥ ${target} ${verdict ?? ''}`
}

export function figureText(column: Column, values: Figures['values']): string {
  const value = values[column]
  if (value === undefined) return '–'
  if (column.startsWith('stream'))
    return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en')
  return value < 100 ? value.toFixed(2) : value.toFixed(0)
}

function row(head: string, cells: readonly string[]): string {
  return head.padEnd(46) + cells.map((cell) => cell.padStart(WIDTH)).join('')
}
