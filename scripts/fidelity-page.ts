/* What scripts/fidelity.ts measured, compared with what is demanded, as Markdown. */

/** The model that ships, the small checkpoints of the tests, and random models of the published sizes. */
export type Group = 'shipped' | 'small' | 'base' | 'large'

export interface Path {
  kind: 'checkpoint' | 'archive' | 'trace'
  /** Of a trace: what made it. */
  transformers?: string
  attn?: string
}

/** A row whose label is another than Python's; margins are the first logit minus the second. */
interface Disagreement {
  row: number
  label: number
  margin: number
  label_here: number
  margin_here: number
}

export interface Comparison {
  largest: number
  mean: number
  disagreements: Disagreement[]
}

export type Measured = { variant: string; group: Group; path: Path; dtype: string; rows: number } & (
  Comparison | { refused: string }
)

export interface Conditions {
  machine: string
  reference: string
}

/** Largest logit difference in fp32. */
const PARITY: Record<Group, number> = { shipped: 1e-4, small: 1e-4, base: 1e-4, large: 5e-4 }
/** Share of equal labels in half precision, on the model that ships. */
const AGREEMENT = 0.995
const MARKS = ['<!-- token ids: begin -->', '<!-- token ids: end -->'] as const
const PATHS = { checkpoint: 'checkpoint', archive: 'our archive', trace: 'foreign trace' }
const TITLES: Record<Group, string> = {
  shipped: 'The model that ships',
  small: 'Every architecture variant',
  base: 'Base size: 12 × 768, random weights',
  large: 'Large size: 24 × 1024, random weights',
}

/** Both are rows × labels, in the same order. */
export function compare(expected: readonly number[][], actual: readonly number[][]): Comparison {
  let largest = 0
  let sum = 0
  let count = 0
  const disagreements: Disagreement[] = []
  for (const [row, logits] of expected.entries()) {
    const here = actual[row] ?? []
    for (const [i, value] of logits.entries()) {
      const difference = Math.abs(value - (here[i] ?? NaN))
      largest = Math.max(largest, difference)
      sum += difference
      count++
    }
    const [label, margin] = top(logits)
    const [label_here, margin_here] = top(here)
    if (label !== label_here) disagreements.push({ row, label, margin, label_here, margin_here })
  }
  return { largest, mean: sum / count, disagreements }
}

/** Index of the largest, and its lead over the next; one logit leads over nothing. */
function top(logits: readonly number[]): [index: number, margin: number] {
  const order = logits.map((_, i) => i).sort((a, b) => (logits[b] ?? NaN) - (logits[a] ?? NaN))
  const [first = 0, second = first] = order
  return [first, (logits[first] ?? NaN) - (logits[second] ?? NaN)]
}

const agreement = ({ disagreements }: Comparison, rows: number): number => 1 - disagreements.length / rows
const percent = (share: number): string => `${(share * 100).toFixed(2)} %`
export const spellPath = ({ kind, transformers, attn }: Path): string =>
  PATHS[kind] + (transformers === undefined ? '' : ` (transformers ${transformers}, ${attn ?? ''})`)

/** Whether a row meets what is demanded of it; undefined where nothing is. */
function meets(row: Measured): boolean | undefined {
  // int8 is by choice, for its speed.
  if (row.dtype === 'int8' || (row.dtype !== 'fp32' && row.group !== 'shipped')) return undefined
  if ('refused' in row) return false
  return row.dtype === 'fp32' ? row.largest <= PARITY[row.group] : agreement(row, row.rows) >= AGREEMENT
}

function table(rows: readonly Measured[]): string[] {
  const lines = rows.map((row) => {
    const met = meets(row)
    const mark = met === undefined ? '' : met ? 'yes' : '**no**'
    const figures =
      'refused' in row
        ? [`refused: ${row.refused}`, '', '']
        : [row.largest.toExponential(1), row.mean.toExponential(1), percent(agreement(row, row.rows))]
    return `| ${[row.variant, spellPath(row.path), row.dtype, row.rows, ...figures, mark].join(' | ')} |`
  })
  return [
    '| variant | path | dtype | texts | largest | mean | labels equal | meets the demand |',
    '|---|---|---|---|---|---|---|---|',
    ...lines,
  ]
}

function disagreements(rows: readonly Measured[]): string[] {
  const lines = rows.flatMap((row) =>
    'refused' in row
      ? []
      : row.disagreements.map(
          ({ row: index, label, margin, label_here, margin_here }) =>
            `| ${spellPath(row.path)} | ${row.dtype} | ${index} | ${label} by ${margin.toFixed(4)} | ${label_here} by ${margin_here.toFixed(4)} |`,
        ),
  )
  if (lines.length === 0) return [rows.length === 0 ? 'Not measured.' : 'There are none.']
  return [
    '| path | dtype | text | Python’s label, by margin | label here, by margin |',
    '|---|---|---|---|---|',
    ...lines,
  ]
}

/** One line for each demand: the worst of all rows that it is made of. */
function summary(measured: readonly Measured[]): string[] {
  const line = (
    what: string,
    demand: string,
    rows: readonly Measured[],
    worst: (row: Comparison & { rows: number }) => number,
    spellWorst: (value: number) => string,
  ): string => {
    const figures = rows.flatMap((row) => ('refused' in row ? [] : [worst(row)]))
    const found = figures.length ? spellWorst(figures.reduce((a, b) => (b >= a ? b : a))) : 'not measured'
    const met = rows.length > 0 && rows.every((row) => meets(row) !== false)
    return `| ${what} | ${demand} | ${found} | ${met ? 'yes' : '**no**'} |`
  }
  const fp32 = measured.filter(({ dtype }) => dtype === 'fp32')
  const largest = (row: Comparison): number => row.largest
  const exponential = (value: number): string => value.toExponential(1)
  const lines = [
    line(
      'fp32, largest difference',
      '≤ 1e-4',
      fp32.filter(({ group }) => group !== 'large'),
      largest,
      exponential,
    ),
    line(
      'fp32 at large size, largest difference',
      '≤ 5e-4',
      fp32.filter(({ group }) => group === 'large'),
      largest,
      exponential,
    ),
  ]
  for (const dtype of ['bf16', 'fp16']) {
    const rows = measured.filter((row) => row.group === 'shipped' && row.dtype === dtype)
    const unequal = (row: Comparison & { rows: number }): number => 1 - agreement(row, row.rows)
    lines.push(
      line(`${dtype} on the model that ships, labels equal`, '≥ 99.5 %', rows, unequal, (share) =>
        percent(1 - share),
      ),
    )
  }
  return ['| what | demand | worst measured | met |', '|---|---|---|---|', ...lines]
}

/** The document; what stands between the marks of the token ids in the one before is kept. */
export function page(
  measured: readonly Measured[],
  { machine, reference }: Conditions,
  before: string,
): { document: string; missed: string[] } {
  const [begin, end] = MARKS
  const kept =
    before.includes(begin) && before.includes(end)
      ? before.slice(before.indexOf(begin) + begin.length, before.indexOf(end))
      : '\n'
  const of = (group: Group): Measured[] => measured.filter((row) => row.group === group)
  const count = (group: Group): number => of(group)[0]?.rows ?? 0
  const sections = (['shipped', 'small', 'base', 'large'] as const)
    .filter((group) => of(group).length > 0)
    .flatMap((group) => [`## ${TITLES[group]}`, '', ...table(of(group)), ''])
  const document = [
    '# Fidelity',
    '',
    'How near the logits are to Python’s in fp32, and how often the label is the same: measured, for every way to a',
    'model. `npx tsx scripts/fidelity.ts` writes this page.',
    '',
    `- Here: ${machine}.`,
    `- The reference: ${reference}, fp32, each row without padding.`,
    `- Texts: real sentences, ${count('shipped')} for the model that ships. The small checkpoints have a vocabulary of`,
    `  their own and get ${count('small')} rows of random tokens with the lengths of those texts. Base size is scored on`,
    `  ${count('base')} texts, large size on ${count('large')}.`,
    '- Random weights have a spread that makes labels vary. They amplify rounding more than trained ones, so what they',
    '  show in other dtypes is how those round, and the demand is made of the model that ships.',
    '- A foreign trace is `torch.jit.trace` as it comes, devices and dtypes of the tracing machine written into it.',
    '',
    '## What is demanded',
    '',
    ...summary(measured),
    '',
    ...sections,
    '## Where labels differ on the model that ships',
    '',
    'Labels are numbered as in `id2label`, texts by their place among those scored; a margin is the first logit minus the',
    'second:',
    '',
    ...disagreements(of('shipped')),
    '',
    '## Token ids',
    '',
    begin + kept + end,
    '',
  ].join('\n')
  const missed = measured
    .filter((row) => meets(row) === false)
    .map(
      (row) =>
        `${row.variant}, ${spellPath(row.path)}, ${row.dtype}` + ('refused' in row ? `: ${row.refused}` : ''),
    )
  return { document, missed }
}
