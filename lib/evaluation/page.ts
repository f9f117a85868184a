import { createHash } from 'node:crypto'
import { count, escapeHtml, figure, isolated, rows } from './html'
import type { Curve, PageData, PageReport } from './page-data'
import { SCRIPT } from './page-script'
import { STYLE } from './page-style'
import type * as Plots from './plots'

type PlotModule = typeof Plots

/** Longest text shown of a mistake, in characters: one of a million would bury the rest. */
const LONGEST_TEXT = 1_000

/**
 * The report as one HTML page that needs nothing else: no network, fonts or scripts from elsewhere. Its content
 * security policy forbids them, so that a text that is shown can load or run nothing.
 *
 * @example
 * await writeFile('report.html', await renderPage(data))
 */
export async function renderPage(data: PageData): Promise<string> {
  // The plotting library is loaded here, by whoever wants a page, and not with the metrics.
  const plots = await import('./plots.js')
  const [whole, ...groups] = data.reports
  const script = createHash('sha256').update(SCRIPT).digest('base64')
  const policy = `default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-${script}'`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(data.title)} · evaluation</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<main>
<header>
<p class="eyebrow">Evaluation of a text classifier</p>
<h1>${isolated(data.title)}</h1>
<dl class="facts">
${data.facts.map(({ name, value }) => `<div><dt>${isolated(name)}</dt><dd>${isolated(value)}</dd></div>`).join('\n')}
</dl>
</header>
${whole ? overall(data, whole, plots) : ''}
${ranking(data, plots)}
${calibration(data, plots)}
${slices(data, whole, groups, plots)}
${mistakes(data)}
</main>
<script>${SCRIPT}</script>
</body>
</html>
`
}

function section(title: string, note: string, content: string): string {
  const id = title.toLowerCase().replace(/[^a-z]+/g, '-')
  return `<section aria-labelledby="${id}">
<h2 id="${id}">${title}</h2>
<p class="note">${note}</p>
${content}
</section>`
}

function overall(data: PageData, whole: PageReport, { confusionPlot }: PlotModule): string {
  const { labels, confusion_matrix } = data
  const matrix = confusionPlot(labels, confusion_matrix)
  const classes = card(classTable(whole, 'Per class'))
  const confusion = card(
    figureOf(matrix, 'Confusion matrix', {
      note: 'Rows of the file by true and predicted class; the shade is the share of the true class.',
      spoken: `Confusion matrix of ${labels.length} classes, true by predicted. The counts are in the table below.`,
    }) + fold('Counts as a table', confusionTable(labels, confusion_matrix)),
  )
  const content =
    matrix.least_width > 0 ? classes + confusion : `<div class="pair">${classes}${confusion}</div>`
  return section('Overall', `${isolated(whole.name)}, ${rows(whole.rows)}.`, totals(data, whole) + content)
}

function totals({ expected_calibration_error }: PageData, whole: PageReport): string {
  const figures: [string, string][] = [
    ['Accuracy', figure(whole.accuracy)],
    ['Macro F1', figure(whole.macro_f1)],
    ['Weighted F1', figure(whole.weighted_f1)],
    ['ROC AUC, macro', figure(whole.roc_auc)],
    ['Log loss', figure(whole.log_loss)],
    ['Brier score', figure(whole.brier)],
    ['Calibration error', figure(expected_calibration_error)],
  ]
  const items = figures.map(([name, value], index) => {
    return `<div${index < 2 ? ' class="lead"' : ''}><dt>${name}</dt><dd>${value}</dd></div>`
  })
  return `<dl class="card totals">${items.join('')}</dl>`
}

function classTable({ name, classes }: PageReport, caption: string): string {
  const body = classes.map(({ label, precision, recall, f1, support }) => [
    isolated(label),
    figure(precision),
    figure(recall),
    figure(f1),
    count(support),
  ])
  const head = ['Class', 'Precision', 'Recall', 'F1', 'Support']
  return table(head, body, { caption, label: `Precision, recall and F1 of each class, ${name}` })
}

function confusionTable(labels: readonly string[], matrix: readonly (readonly number[])[]): string {
  const head = ['True \\ predicted', ...labels.map(isolated)]
  const body = matrix.map((row, index) => [isolated(labels[index] ?? ''), ...row.map(count)])
  return table(head, body, { label: 'Confusion matrix, counts' })
}

function ranking({ labels, roc, precision_recall }: PageData, plots: PlotModule): string {
  const axes = {
    roc: { x: 'false positive rate', y: 'true positive rate' },
    precision_recall: { x: 'recall', y: 'precision' },
  }
  const content = `<div class="columns">
${curves(roc, 'ROC curves', 'AUC', axes.roc, true, plots)}
${curves(precision_recall, 'Precision-recall curves', 'area', axes.precision_recall, false, plots)}
</div>`
  const note =
    labels.length > plots.MOST_LINES
      ? 'Each class against the rest, one frame each, from 0 to 1 both ways; the figure is the area under the curve.'
      : 'Each class against the rest, over every threshold of its score; the figure is the area under the curve.'
  return section('Ranking', note, content)
}

function curves(
  all: readonly Curve[],
  title: string,
  area_name: string,
  axes: { x: string; y: string },
  chance: boolean,
  plots: PlotModule,
): string {
  const drawn = all.filter(({ points }) => points.length > 1)
  const note = `${axes.y} over ${axes.x}`
  if (!drawn.length) return card(nothing(title, 'It takes rows of at least two true classes.'))
  const spoken = (some: readonly Curve[]): string =>
    `${title}, ${note}: ${some.map(({ label, area }) => `${label} ${area_name} ${figure(area)}`).join(', ')}`
  if (all.length <= plots.MOST_LINES) {
    const legend = all.map(({ label, area, points }, index) => {
      const line = `<line x1="0" y1="6" x2="28" y2="6" stroke="var(--series-${index})" stroke-width="2.5" stroke-dasharray="${plots.dashArray(index)}"/>`
      const mark = points.length > 1 ? line : ''
      return `<li><svg width="28" height="12" aria-hidden="true">${mark}</svg><span>${isolated(label)} <b>${figure(area)}</b></span></li>`
    })
    const plot = plots.curvesPlot(all, axes, { chance })
    return card(figureOf(plot, title, { note, spoken: spoken(all), legend: legend.join('') }))
  }
  const small = all.map((curve) => {
    if (curve.points.length < 2) return nothing(isolated(curve.label), 'Not defined.')
    const plot = plots.curvesPlot([curve], axes, { chance, small: true })
    return figureOf(plot, isolated(curve.label), { note: figure(curve.area), spoken: spoken([curve]) })
  })
  return card(`<h3>${title}</h3><p class="note">${note}</p><div class="many">${small.join('\n')}</div>`)
}

function calibration(data: PageData, plots: PlotModule): string {
  const { reliability, expected_calibration_error, histograms } = data
  const bins = reliability.map((bin) => [
    `${bin.from.toFixed(2)} – ${bin.to.toFixed(2)}`,
    figure(bin.confidence),
    figure(bin.accuracy),
    count(bin.count),
  ])
  const head = ['Confidence', 'Mean', 'Accuracy', 'Rows']
  const diagram = reliability.length
    ? figureOf(plots.reliabilityPlot(reliability), 'Reliability', {
        note: `How often the predicted class is right, by its score, and below it the rows in each bin. On the dashed line the score can be taken at its word; under it the model is too sure. Expected calibration error ${figure(expected_calibration_error)}.`,
        spoken: `Reliability diagram of ${reliability.length} bins. The figures are in the table below.`,
      }) + fold('Bins as a table', table(head, bins, { label: 'Reliability by bin' }))
    : nothing('Reliability', 'There are no rows.')
  const many = histograms.length > plots.MOST_LINES
  const key = (color: string, name: string): string =>
    `<li><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" rx="2" fill="var(--${color})"/></svg><span>${name}</span></li>`
  const legend = key('series-0', 'rows of this class') + key('other', 'rows of other classes')
  const plotted = histograms.map((histogram) => {
    const { label, when_true, when_other } = histogram
    const empty = ![...when_true, ...when_other].some((value) => value > 0)
    if (empty) return nothing(isolated(label), 'There are no rows.')
    return figureOf(plots.histogramPlot(histogram, many), isolated(label), {
      spoken: `Histogram of the scores of ${label}, in ${when_true.length} bins, for rows of that class and for others`,
    })
  })
  const note =
    'The score each class was given. Bars show the share of rows, on a square root scale, up for rows of the class and down for others.'
  return section(
    'Scores',
    'Whether a score means what it says, and how well scores set the classes apart.',
    `<div class="pair">${card(diagram)}${card(`<h3>Score histograms</h3><p class="note">${note}</p><ul class="legend">${legend}</ul><div class="${many ? 'many' : 'histograms'}">${plotted.join('\n')}</div>`)}</div>`,
  )
}

function slices(
  data: PageData,
  whole: PageReport | undefined,
  groups: readonly PageReport[],
  plots: PlotModule,
): string {
  const { f1_by_group, f1_by_length } = data
  const reference = whole?.macro_f1 ?? null
  const bars = (title: string, all: PageData['f1_by_group'], none: string): string => {
    if (!all.length) return card(nothing(title, none))
    const spoken = `${title}: ${all.map(({ name, f1, rows: of }) => `${name} ${figure(f1)} of ${rows(of)}`).join(', ')}`
    return card(figureOf(plots.barsPlot(all, reference), title, { spoken }))
  }
  const length = bars(`By length in ${f1_by_length.unit}`, f1_by_length.bins, 'There are no rows.')
  const note = `Macro F1 of parts of the file, with the rows in each; the dashed line is the whole, ${figure(reference)}.`
  if (!groups.length && !f1_by_group.length)
    return section('Slices', note, `<div class="pair">${length}</div>`)
  const head = ['Group', 'Rows', 'Accuracy', 'Macro F1', 'Weighted F1', 'ROC AUC', 'Log loss', 'Brier']
  const body = groups.map((group) => [
    isolated(group.name),
    count(group.rows),
    ...[group.accuracy, group.macro_f1, group.weighted_f1, group.roc_auc, group.log_loss, group.brier].map(
      figure,
    ),
  ])
  const folds = groups.map((group) =>
    fold(`${isolated(group.name)}<small>${rows(group.rows)}</small>`, classTable(group, '')),
  )
  const by_group = bars('By group', f1_by_group, 'There are no groups.')
  const tables = card(
    table(head, body, { caption: 'Groups', label: 'Figures of each group' }) + folds.join('\n'),
  )
  return section('Slices', note, `<div class="columns">${by_group}${length}</div>${tables}`)
}

function mistakes({ mistakes: all }: PageData): string {
  const title = 'Most confident mistakes'
  const note = 'Wrong predictions, those with the highest score first. A click on a header sorts by it.'
  if (!all.length) return section(title, note, card('<p class="none">There are no mistakes.</p>'))
  const columns: [name: string, style: string, first: 'ascending' | 'descending'][] = [
    ['Row', 'number', 'ascending'],
    ['Text', 'text', 'ascending'],
    ['True', '', 'ascending'],
    ['Predicted', '', 'ascending'],
    ['Score', 'number', 'descending'],
  ]
  const head = columns.map(([name, style, first]) => {
    const sorted = name === 'Score' ? ' aria-sort="descending"' : ''
    return `<th scope="col" role="columnheader" class="${style}" data-first="${first}"${sorted}>${name}</th>`
  })
  const cell = (name: string, style: string, content: string, value?: number): string =>
    `<td role="cell" class="${style}" data-name="${name}"${value === undefined ? '' : ` data-value="${value}"`}>${content}</td>`
  const body = all.map(({ row, text, true_label, predicted_label, score }) => {
    const cells = [
      cell('Row', 'number', count(row), row),
      cell('Text', 'text', shortened(text)),
      cell('True', '', isolated(true_label)),
      cell('Predicted', 'predicted', isolated(predicted_label)),
      cell('Score', 'number', figure(score), score),
    ]
    return `<tr role="row">${cells.join('')}</tr>`
  })
  // The roles are the elements' own; they are lost where a narrow screen lays the table out otherwise.
  return section(
    title,
    note,
    card(`<table class="sortable mistakes" role="table" aria-label="${title}">
<thead role="rowgroup"><tr role="row">${head.join('')}</tr></thead>
<tbody role="rowgroup">
${body.join('\n')}
</tbody>
</table>`),
  )
}

function shortened(text: string): string {
  if (!text.trim()) return '<span class="none">(empty)</span>'
  if (text.length <= LONGEST_TEXT) return isolated(text)
  const shown = Array.from(text.slice(0, LONGEST_TEXT + 1))
    .slice(0, -1)
    .join('')
  return `${isolated(shown)} <span class="none">… ${count(text.length)} characters</span>`
}

function card(content: string): string {
  return `<div class="card">${content}</div>`
}

/** @param title HTML, as `note` and `legend` are; `spoken` is text */
function figureOf(
  plot: Plots.Plot,
  title: string,
  { note, spoken, legend }: { note?: string; spoken: string; legend?: string },
): string {
  const caption = `<figcaption>${title}${note === undefined ? '' : `<small>${note}</small>`}</figcaption>`
  const size = `max-width:${Math.round(plot.width * 1.25)}px${plot.least_width ? `;min-width:${Math.round(plot.least_width)}px` : ''}`
  const svg = plot.svg.replace('<svg ', `<svg style="${size}" `)
  // What may have to be scrolled must be reachable without a mouse.
  const scroll = plot.least_width ? ' tabindex="0"' : ''
  return `<figure>${caption}<div class="scroll"${scroll}><div class="plot" role="img" aria-label="${escapeHtml(spoken)}">${svg}</div></div>${legend === undefined ? '' : `<ul class="legend">${legend}</ul>`}</figure>`
}

function nothing(title: string, why: string): string {
  return `<h3>${title}</h3><p class="none">${why}</p>`
}

function fold(summary: string, content: string): string {
  return `<details><summary>${summary}</summary>${content}</details>`
}

/** A table whose first column names the row and whose others are figures; all is HTML but the label. */
function table(
  head: readonly string[],
  body: readonly (readonly string[])[],
  { caption = '', label }: { caption?: string; label: string },
): string {
  const [corner = '', ...names] = head
  const header = `<tr><th scope="col">${corner}</th>${names.map((name) => `<th scope="col" class="number">${name}</th>`).join('')}</tr>`
  const lines = body.map(([name = '', ...figures]) => {
    return `<tr><th scope="row">${name}</th>${figures.map((value) => `<td class="number">${value}</td>`).join('')}</tr>`
  })
  return `<div class="scroll" tabindex="0" role="group" aria-label="${escapeHtml(label)}"><table class="tight">${caption && `<caption>${caption}</caption>`}
<thead>${header}</thead>
<tbody>
${lines.join('\n')}
</tbody>
</table></div>`
}
