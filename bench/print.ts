import { SIZES } from './plan'
import type { Cell, Figures, Line, Report } from './report'
import type { Machine } from './results'
import { COLUMNS, type Column, type SizeName } from './targets'

const WIDTH = 18

/** The report as text for a terminal: ratios first. */
export function asText(report: Report): string {
  const lines = [...machineLines(report.machine), `medians of ${report.rounds} rounds, a process each`, '']
  for (const size of sizesOf(report)) {
    lines.push(`${titleOf(size)}: how many times as fast as the peer`)
    lines.push(row('', COLUMNS))
    for (const line of report.comparisons.filter((each) => each.size === size)) {
      lines.push(
        row(
          `  ${line.ours} : ${line.peer}`,
          line.cells.map((cell) => cellText(cell, line)),
        ),
      )
      if (line.note !== undefined) lines.push(`      ${line.note}`)
      if (line.missing !== undefined) lines.push(`      ${line.missing}`)
    }
    lines.push('')
  }
  for (const { what, figure, limit, met } of report.checks) {
    lines.push(`${what}: ${figure}${limit === undefined ? '' : `   ${limit} ${verdict(met)}`}`)
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
  const { met, missed } = counts(report)
  lines.push('', `targets: ${met} met, ${missed} missed`)
  return lines.join('\n')
}

export function machineLines(machine: Machine): string[] {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`)
  return [
    `${machine.cpu}, ${machine.cpus} CPUs, ${machine.threads} threads (${machine.threads_rule}); ${machine.features.join(' ')}`,
    `class ${machine.class}; commit ${machine.commit}, ${machine.date}${machine.quick ? ', quick' : ''}`,
    versions.join(', '),
  ]
}

/** A target without a figure was not reached. */
export function counts(report: Report): { met: number; missed: number } {
  const cells = report.comparisons.flatMap((line) => line.cells).filter(({ target }) => target !== undefined)
  const verdicts = [...cells, ...report.checks.filter(({ limit }) => limit !== undefined)].map(
    ({ met }) => met,
  )
  return { met: verdicts.filter(Boolean).length, missed: verdicts.filter((met) => !met).length }
}

export function sizesOf(report: Report): SizeName[] {
  return [...new Set(report.comparisons.map(({ size }) => size))]
}

export function titleOf(name: SizeName): string {
  const size = SIZES.find((each) => each.name === name)
  return `${name} (${size?.layers ?? 0} × ${size?.hidden ?? 0})`
}

export function cellText({ ratio, target }: Cell, line: Line): string {
  if (ratio === undefined) return target === undefined ? '–' : `${line.missing ? '' : '? '}≥ ${target} missed`
  const shown = `${ratio.toFixed(2)}×`
  return target === undefined ? shown : `${shown} ≥ ${target} ${verdict(ratio >= target)}`
}

export function figureText(column: Column, values: Figures['values']): string {
  const value = values[column]
  if (value === undefined) return '–'
  if (column.startsWith('stream'))
    return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en')
  return value < 100 ? value.toFixed(2) : value.toFixed(0)
}

export function verdict(met: boolean | undefined): string {
  return met === true ? 'met' : 'missed'
}

function row(head: string, cells: readonly string[]): string {
  return head.padEnd(46) + cells.map((cell) => cell.padStart(WIDTH)).join('')
}
