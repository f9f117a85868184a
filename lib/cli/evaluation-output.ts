import { rename, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Comparison } from '../evaluation/comparison'
import type { PageData } from '../evaluation/page-data'
import { reportJson } from '../evaluation/report-json'
import { pageData } from '../evaluation/report-page'
import { reportText } from '../evaluation/report-text'
import { comparisonText } from './comparison-text'
import type { Checked } from './evaluation-rows'
import type { Job, Outcome } from './evaluation-run'

/** Files that are written when all is done. */
export const REPORTS = ['report.html', 'report.json'] as const

/** The report of the whole and of each group, how fast it was, and the comparison. */
export function table({ path, columns, scorer }: Job, outcome: Outcome): string {
  const { evaluation, throughput, comparison } = outcome
  const speed = throughput
    ? `Throughput: ${perSecond(throughput).toFixed(1)} texts/s (${throughput.texts} texts in ${throughput.seconds.toFixed(1)} s)\n`
    : ''
  const parts = [
    `${reportText(evaluation.whole, basename(path))}${speed}`,
    ...evaluation.groups.map((report) => reportText(report)),
  ]
  if (comparison) {
    const { isTTY, columns: width } = process.stdout
    const second = { name: columns.compare ?? '', comparison }
    parts.push(comparisonText({ name: scorer.name, evaluation }, second, isTTY ? width : undefined))
  }
  return parts.join('\n\n')
}

/** What `--format json` prints and report.json holds. */
export function json({ columns, scorer }: Job, { ignored }: Checked, outcome: Outcome): string {
  const { evaluation, throughput, comparison } = outcome
  const report = {
    scored_by: scorer.name,
    ...reportJson(evaluation),
    ignored_rows: ignored,
    throughput: throughput ? { ...throughput, texts_per_second: perSecond(throughput) } : null,
    ...(comparison && { comparison: comparisonJson(columns.compare ?? '', comparison) }),
  }
  return `${JSON.stringify(report, null, 2)}\n`
}

/** Writes both reports, each whole or not at all. */
export async function writeReports(
  output: string,
  job: Job,
  checked: Checked,
  outcome: Outcome,
): Promise<void> {
  // What draws the page is loaded when there is a page to draw, and not before.
  const { renderPage } = await import('../evaluation/page.js')
  const title = `${job.scorer.name} on ${basename(job.path)}`
  const page = await renderPage(pageData(outcome.evaluation, title, facts(job, checked, outcome)))
  const contents = { 'report.html': page, 'report.json': json(job, checked, outcome) }
  const written = REPORTS.map((name) => ({ path: join(output, name), content: contents[name] }))
  for (const { path, content } of written) await writeFile(`${path}.part`, content)
  for (const { path } of written) await rename(`${path}.part`, path)
}

function facts(
  { path, columns, scorer }: Job,
  { rows, ignored }: Checked,
  { throughput, truncated, comparison }: Outcome,
): PageData['facts'] {
  const { classifier } = scorer
  const all: [name: string, value: string | undefined][] = [
    ['File', basename(path)],
    ['Rows', String(rows)],
    ['Rows left out', ignored > 0 ? `${ignored}, for their label is unknown` : undefined],
    [classifier ? 'Model' : 'Predictions', scorer.name],
    ['Computed in', classifier && `${classifier.info.dtype} on ${classifier.device}`],
    ['Texts truncated', truncated > 0 ? String(truncated) : undefined],
    ['Texts a second', throughput && perSecond(throughput).toFixed(1)],
    ['Compared with', comparison && `${columns.compare ?? ''}: ${mcnemarFact(comparison)}`],
    ['Date', new Date().toISOString().slice(0, 10)],
  ]
  return all.flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }]))
}

function mcnemarFact({ evaluation, only_first_right, only_second_right, p_value }: Comparison): string {
  const accuracy = evaluation.whole.accuracy?.toFixed(6) ?? ''
  return `accuracy ${accuracy}; McNemar's p = ${p_value.toPrecision(3)} (${only_first_right} rows only right here, ${only_second_right} only there)`
}

function comparisonJson(name: string, comparison: Comparison): object {
  const { evaluation, only_first_right, only_second_right, p_value, different, differences } = comparison
  return {
    scored_by: name,
    report: reportJson(evaluation),
    mcnemar: { only_first_right, only_second_right, p_value },
    different_rows: different,
    differences,
  }
}

function perSecond({ texts, seconds }: { texts: number; seconds: number }): number {
  return texts / seconds
}
