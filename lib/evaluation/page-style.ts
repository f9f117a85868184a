/* The page's style sheet. Every colour is a variable, once for light and once for dark; plots use the same ones. */

interface Theme {
  colors: Readonly<Record<string, string>>
  /** From "no rows" to "all rows of the class"; each is at least 4.5 to 1 under black or white figures. */
  heat: readonly string[]
}

const LIGHT: Theme = {
  colors: {
    page: '#f6f7f9',
    surface: '#ffffff',
    ink: '#1a2029',
    muted: '#57606c',
    line: '#d9dde3',
    grid: '#e8ebef',
    axis: '#8a929d',
    track: '#e8ebef',
    edge: '#c4cad2',
    accent: '#0b5cad',
    bar: '#7d93ad',
    other: '#858e9a',
    wrong: '#b3400a',
    // At least 3 to 1 on the card, and apart (0.08 in OKLab) for simulated protanopia, deuteranopia and tritanopia.
    'series-0': '#0b62b0',
    'series-1': '#d26b15',
    'series-2': '#20a18d',
    'series-3': '#ac0271',
    'series-4': '#544c00',
    'series-5': '#3c194a',
  },
  heat: [
    ...['#f1f3f6', '#e3eefa', '#cfe2f6', '#b4d2f1', '#94bfea', '#72a9e0'],
    ...['#3f7fc4', '#2a6cb5', '#1a5a9f', '#104886', '#08366a'],
  ],
}

const DARK: Theme = {
  colors: {
    page: '#0e1217',
    surface: '#171c23',
    ink: '#e4e8ed',
    muted: '#9ba5b1',
    line: '#2d353f',
    grid: '#262d36',
    axis: '#6c7683',
    track: '#262d36',
    edge: '#05070a',
    accent: '#7cb8f5',
    bar: '#6680a0',
    other: '#737e8b',
    wrong: '#ff9d66',
    'series-0': '#5fb0f0',
    'series-1': '#ee7e3e',
    'series-2': '#00e088',
    'series-3': '#c98caf',
    'series-4': '#f6e759',
    'series-5': '#c3cad3',
  },
  heat: [
    ...['#1f252d', '#1b2f45', '#1c3a59', '#1e466e', '#215383', '#256199'],
    ...['#5d9ad6', '#75abe0', '#8fbde9', '#abcff2', '#c9e2fa'],
  ],
}

/** Names and values of a theme's variables. */
function variables({ colors, heat }: Theme): string {
  const shades = heat.map((color, step) => `--heat-${step}: ${color}; --heat-${step}-ink: ${inkOn(color)};`)
  return [...Object.entries(colors).map(([name, color]) => `--${name}: ${color};`), ...shades].join(' ')
}

/** Black or white, whichever is easier to read on a colour. */
function inkOn(color: string): string {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(color.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? '#000' : '#fff'
}

export const STYLE = `
:root { ${variables(LIGHT)} }
@media screen {
  :root { color-scheme: light dark; }
}
@media screen and (prefers-color-scheme: dark) {
  :root { ${variables(DARK)} }
}

* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0;
  background: var(--page);
  color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif;
  overflow-wrap: anywhere;
}
main { max-width: 1280px; margin: 0 auto; padding: 40px 32px 64px; }
h1, h2, h3, p, dl, dd, figure { margin: 0; }
h1 { font-size: 28px; line-height: 1.25; font-weight: 650; letter-spacing: -0.01em; text-wrap: balance; }
h2 { font-size: 20px; line-height: 1.3; font-weight: 650; }
h3, figcaption { font-size: 14px; line-height: 1.4; font-weight: 600; }
.eyebrow { color: var(--muted); font-size: 14px; margin-bottom: 6px; }
.note { color: var(--muted); font-size: 14px; max-width: 90ch; text-wrap: pretty; }
section { margin-top: 48px; }
section > h2 + .note { margin-top: 4px; }
section > * + * { margin-top: 16px; }

.facts { display: flex; flex-wrap: wrap; gap: 6px 28px; margin-top: 16px; font-size: 14px; }
.facts div { min-width: 0; }
.facts :is(dt, dd) { display: inline; }
.facts dt { color: var(--muted); margin-right: 8px; }

.card { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; padding: 20px; min-width: 0; }
.columns { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
.across { grid-column: 1 / -1; }
.stack { display: grid; gap: 16px; min-width: 0; }
.pair { display: grid; gap: 16px; align-items: start; }
.many { display: grid; gap: 20px 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 150px), 1fr)); margin-top: 16px; }
.few { display: grid; gap: 20px 24px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); margin-top: 16px; }
.none { color: var(--muted); font-size: 14px; }

.totals { display: grid; grid-template-columns: repeat(auto-fit, minmax(124px, 1fr)); padding: 6px; }
.totals div { padding: 12px 14px; }
.totals dt { color: var(--muted); font-size: 13px; line-height: 1.4; }
.totals dd { font-size: 22px; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums; }
.totals .lead dd { color: var(--accent); }

figcaption { margin-bottom: 4px; }
figcaption small, h3 small { display: block; color: var(--muted); font-size: 13px; font-weight: 400; }
.many figcaption { font-size: 13px; }
.scroll {
  overflow-x: auto;
  /* A shade at the edge beyond which there is more. */
  background:
    linear-gradient(to right, var(--surface) 30%, transparent) left / 32px 100% no-repeat local,
    linear-gradient(to left, var(--surface) 30%, transparent) right / 32px 100% no-repeat local,
    linear-gradient(to right, var(--edge), transparent) left / 10px 100% no-repeat,
    linear-gradient(to left, var(--edge), transparent) right / 10px 100% no-repeat;
}
.plot svg { display: block; width: 100%; height: auto; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 8px 0 0; padding: 0; list-style: none; font-size: 13px; }
.legend li { display: flex; gap: 8px; align-items: center; min-width: 0; }
.legend svg { flex: none; }
.legend b { font-weight: 600; font-variant-numeric: tabular-nums; }

table { width: 100%; border-collapse: collapse; font-size: 14px; line-height: 1.45; }
caption { text-align: left; font-weight: 600; padding-bottom: 6px; }
th, td { padding: 7px 10px; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { color: var(--muted); font-weight: 500; font-size: 13px; vertical-align: bottom; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { font-weight: 500; min-width: 6em; }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
details { border-top: 1px solid var(--line); margin-top: 16px; padding-top: 12px; }
details details { margin-left: 0; }
summary { cursor: pointer; font-size: 14px; font-weight: 500; }
summary small { color: var(--muted); font-size: 13px; font-weight: 400; margin-left: 6px; }
details[open] > summary { margin-bottom: 10px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }

.sortable th button { all: unset; cursor: pointer; white-space: nowrap; }
.sortable th button:hover { color: var(--ink); }
.sortable th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.sortable th button::after { content: '↕'; display: inline-block; width: 1em; margin-left: 4px; opacity: 0.45; text-align: center; }
.sortable th[aria-sort] button { color: var(--ink); font-weight: 600; }
.sortable th[aria-sort='ascending'] button::after { content: '↑'; opacity: 1; }
.sortable th[aria-sort='descending'] button::after { content: '↓'; opacity: 1; }
.mistakes .text { width: 60%; }
.mistakes .label { min-width: 6.5em; }
.mistakes .predicted { color: var(--wrong); font-weight: 500; }

@media (min-width: 900px) {
  .pair { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
}
@media screen and (max-width: 640px) {
  main { padding: 24px 12px 40px; }
  h1 { font-size: 23px; }
  section { margin-top: 36px; }
  .card { padding: 14px; }
  .totals { padding: 5px 0; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); }
  .totals div { padding: 9px 14px; }
  .totals dd { font-size: 19px; }
  .tight :is(th, td) { padding-left: 5px; padding-right: 5px; font-size: 13px; }
  .tight :is(th, td):first-child { padding-left: 0; }
  .tight :is(th, td):last-child { padding-right: 0; }
  .tight tbody th { min-width: 5.4em; }
  .broad tbody th { min-width: 8em; }

  /* Each mistake as a small card, the sort buttons in a line above. */
  .mistakes, .mistakes thead, .mistakes tbody { display: block; }
  .mistakes thead tr { display: flex; flex-wrap: wrap; gap: 0 16px; border-bottom: 1px solid var(--line); padding-bottom: 6px; }
  .mistakes thead th { border: 0; padding: 4px 0; width: auto; }
  .mistakes tbody tr { display: flex; flex-wrap: wrap; gap: 0 16px; padding: 10px 0; border-bottom: 1px solid var(--line); }
  .mistakes tbody tr:last-child { border-bottom: 0; }
  .mistakes tbody td { border: 0; padding: 0; white-space: normal; text-align: left; max-width: 100%; }
  .mistakes tbody td::before { content: attr(data-name) ' '; color: var(--muted); font-weight: 400; }
  .mistakes .label { min-width: 0; }
  .mistakes tbody .text { order: -1; width: 100%; margin-bottom: 4px; }
  .mistakes tbody .text::before { content: none; }
}
@media print {
  @page { margin: 14mm; }
  body { background: none; font-size: 11pt; }
  main { max-width: none; padding: 0; }
  section { margin-top: 28px; }
  .card { padding: 12px; }
  .pair { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  .columns { grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); }
  .few { grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); }
  .totals { padding: 4px; grid-template-columns: repeat(auto-fit, minmax(90px, 1fr)); }
  .totals div { padding: 6px 8px; }
  .totals dd { font-size: 13pt; }
  table { font-size: 9pt; }
  th, td { padding: 4px 6px; }
  .card, figure, tr { break-inside: avoid; }
  .card:has(table), .card:has(.many) { break-inside: auto; }
  h2, h3, .note, figcaption, caption, thead { break-after: avoid; }
  .note { break-inside: avoid; }
  .scroll { overflow: visible; }
  .plot svg { min-width: 0 !important; }
  .sortable th button::after { content: none; }
}
`
