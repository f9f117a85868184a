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
${histograms(data, plots)}
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
      note: 'Rows of the file by true and predicted class. The shade is the share of the true class.',
      spoken: `Confusion matrix of ${labels.length} classes, true by predicted. The counts are in the table below.`,
    }) + fold('Counts as a table', confusionTable(labels, confusion_matrix)),
  )
  const figures = `<div class="stack">${totals(data, whole)}${classes}</div>`
  const content = matrix.least_width > 0 ? figures + confusion : pair(figures, confusion)
  const classes_named = labels.length === 1 ? '1 class' : `${labels.length} classes`
  return section('Overall', `${rows(whole.rows)}, ${classes_named}.`, content)
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

function ranking(data: PageData, plots: PlotModule): string {
  const { labels, roc, precision_recall } = data
  const single = labels.length > plots.MOST_LINES ? ' Every frame goes from 0 to 1 both ways.' : ''
  const note = `How well the score of each class finds its rows among all others. The figures are areas under the curves.${single}`
  const roc_axes = { x: 'false positive rate', y: 'true positive rate' }
  const precision_recall_axes = { x: 'recall', y: 'precision' }
  const content = [
    curves(roc, 'ROC', roc_axes, true, plots),
    curves(precision_recall, 'Precision and recall', precision_recall_axes, false, plots),
    reliability(data, plots),
  ]
  return section('Curves and calibration', note, `<div class="columns">${content.join('\n')}</div>`)
}

function curves(
  all: readonly Curve[],
  title: string,
  axes: { x: string; y: string },
  chance: boolean,
  plots: PlotModule,
): string {
  if (!all.some(isDrawn)) return card(nothing(title, 'Not defined: it takes rows of two true classes.'))
  const note = `${axes.y} over ${axes.x}`
  const spoken = (some: readonly Curve[]): string =>
    `${title} curve, ${note}: ${some.map(({ label, area }) => `${label}, area ${figure(area)}`).join('; ')}`
  if (all.length <= plots.MOST_LINES) {
    const legend = all.map((curve, index) => {
      const dashes = plots.dashArray(index)
      const line = `<line x1="0" y1="6" x2="28" y2="6" stroke="var(--series-${index})" stroke-width="2.5" stroke-dasharray="${dashes}"/>`
      return legendItem(
        28,
        isDrawn(curve) ? line : '',
        `${isolated(curve.label)} <b>${figure(curve.area)}</b>`,
      )
    })
    const plot = plots.curvesPlot(all, axes, { chance })
    return card(figureOf(plot, title, { note, spoken: spoken(all), legend }))
  }
  const frames = all.map((curve) => {
    if (!isDrawn(curve)) return nothing(isolated(curve.label), 'Not defined.')
    const plot = plots.curvesPlot([curve], axes, { chance, small: true })
    return figureOf(plot, isolated(curve.label), { note: figure(curve.area), spoken: spoken([curve]) })
  })
  return card(`<h3>${title}<small>${note}</small></h3><div class="many">${frames.join('\n')}</div>`, 'across')
}

function isDrawn({ points }: Curve): boolean {
  return points.length > 1
}

function reliability({ reliability: bins, expected_calibration_error }: PageData, plots: PlotModule): string {
  const title = 'Reliability'
  if (!bins.length) return card(nothing(title, 'Not defined: there are no rows.'))
  const note = 'accuracy over confidence, and the rows in each bin'
  const spoken = `Reliability diagram of ${bins.length} bins. The figures are in the table below.`
  const legend = [`<li>expected calibration error <b>${figure(expected_calibration_error)}</b></li>`]
  const body = bins.map((bin) => [
    `${bin.from.toFixed(2)} – ${bin.to.toFixed(2)}`,
    figure(bin.confidence),
    figure(bin.accuracy),
    count(bin.count),
  ])
  const bin_table = table(['Bin', 'Confidence', 'Accuracy', 'Rows'], body, { label: 'Reliability by bin' })
  return card(
    figureOf(plots.reliabilityPlot(bins), title, { note, spoken, legend }) +
      fold('Bins as a table', bin_table),
  )
}

function histograms({ histograms: all }: PageData, plots: PlotModule): string {
  const small = all.length > plots.MOST_LINES
  const largest = plots.largestShare(all)
  const key = (color: string, name: string): string =>
    legendItem(12, `<rect width="12" height="12" rx="2" fill="var(--${color})"/>`, name)
  const legend = key('series-0', 'rows of the class') + key('other', 'rows of other classes')
  const frames = all.map((histogram) => {
    const { label, when_true, when_other } = histogram
    const title = isolated(label)
    if (![...when_true, ...when_other].some((value) => value > 0)) return nothing(title, 'There are no rows.')
    const spoken = `Histogram of the scores of ${label} in ${when_true.length} bins, for rows of the class and for others`
    return figureOf(plots.histogramPlot(histogram, largest, small), title, { spoken })
  })
  const note =
    'The score that each class was given. Bars are shares of rows on a square root scale, so that small ones can be seen too: up for rows of the class, down for the others.'
  const content = `<ul class="legend">${legend}</ul><div class="${small ? 'many' : 'few'}">${frames.join('\n')}</div>`
  return section('Score histograms', note, card(content))
}

function legendItem(width: number, mark: string, name: string): string {
  return `<li><svg width="${width}" height="12" aria-hidden="true">${mark}</svg><span>${name}</span></li>`
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
  const whole_line =
    reference === null ? '' : ` The mark on each bar is that of the whole, ${figure(reference)}.`
  const note = `Macro F1 of parts of the file, with the rows in each.${whole_line}`
  if (!groups.length && !f1_by_group.length) return section('Slices', note, pair(length, ''))
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
  const note = 'Wrong predictions, those with the highest score first.'
  if (!all.length) return section(title, note, card('<p class="none">There are no mistakes.</p>'))
  const columns: [name: string, style: string, first: 'ascending' | 'descending'][] = [
    ['Row', 'number', 'ascending'],
    ['Text', 'text', 'ascending'],
    ['True', 'label', 'ascending'],
    ['Predicted', 'label', 'ascending'],
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
      cell('True', 'label', isolated(true_label)),
      cell('Predicted', 'label predicted', isolated(predicted_label)),
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

function card(content: string, style = ''): string {
  return `<div class="card ${style}">${content}</div>`
}

/** Side by side where there is room. */
function pair(left: string, right: string): string {
  return `<div class="pair">${left}${right}</div>`
}

/** @param title HTML, as `note` and `legend` are; `spoken` is text */
function figureOf(
  plot: Plots.Plot,
  title: string,
  { note, spoken, legend }: { note?: string; spoken: string; legend?: readonly string[] },
): string {
  const caption = `<figcaption>${title}${note === undefined ? '' : `<small>${note}</small>`}</figcaption>`
  const size = `max-width:${Math.round(plot.width * 1.25)}px${plot.least_width ? `;min-width:${Math.round(plot.least_width)}px` : ''}`
  const svg = plot.svg.replace('<svg ', `<svg style="${size}" `)
  // What may have to be scrolled must be reachable without a mouse.
  const scroll = plot.least_width ? ' tabindex="0"' : ''
  return `<figure>${caption}<div class="scroll"${scroll}><div class="plot" role="img" aria-label="${escapeHtml(spoken)}">${svg}</div></div>${legend === undefined ? '' : `<ul class="legend">${legend.join('')}</ul>`}</figure>`
}

function nothing(title: string, why: string): string {
  return `<div><h3>${title}</h3><p class="none">${why}</p></div>`
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
  return `<div class="scroll" tabindex="0" role="group" aria-label="${escapeHtml(label)}"><table class="tight${names.length > 5 ? ' broad' : ''}">${caption && `<caption>${caption}</caption>`}
<thead>${header}</thead>
<tbody>
${lines.join('\n')}
</tbody>
</table></div>`
}
