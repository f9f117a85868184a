import type { Step } from './plan'
import { speedTrial } from './plan'
import { macroF1, median, pairedRatio, type Machine, type Outcome, type Results } from './results'
import * as targets from './targets'
import type { Column, Comparison, SizeName } from './targets'

/** What an engine's trial prints. */
interface Speed {
  dense: Record<string, number>
  file: Stream
  sorted?: Stream
  padding?: { file: number; sorted: number }
  notes?: string[]
}
interface Stream {
  seconds: number
  texts: number
  labels: string
}

export interface Cell {
  column: Column
  /** How many times as fast as the peer. */
  ratio?: number
  target?: number
  /** Of a cell with a target. */
  verdict?: Verdict
}
/** A target that a peer's failure left without a figure is neither met nor missed. */
export type Verdict = 'met' | 'missed' | 'not measured'
export interface Line {
  size: SizeName
  ours: string
  peer: string
  note?: string
  /** Why there is no ratio. */
  missing?: string
  cells: Cell[]
}
/** An engine's own figures: milliseconds for the dense shapes, texts a second for the streams. */
export interface Figures {
  size: SizeName
  engine: string
  values: Partial<Record<Column, number>>
}
export interface Check {
  what: string
  figure: string
  limit?: string
  verdict?: Verdict
}
export interface Report {
  machine: Machine
  rounds: string
  /** Least and greatest load average of the minute before a trial; a quiet machine has its own trials' alone. */
  load: [number, number]
  comparisons: Line[]
  figures: Figures[]
  checks: Check[]
  failures: { trial: string; reason: string }[]
}

/** @param gold labels of the shipped model's stream, one character each; undefined where the file has none */
export function report(results: Results, steps: readonly Step[], gold?: string): Report {
  const { machine } = results
  const ids = [...new Set(steps.map(({ trial }) => trial.id))]
  const sizes = [...new Set(steps.map(({ trial }) => trial.size))].filter((size) =>
    ids.some((id) => id.startsWith(`${size}: `)),
  )
  const engines = (size: SizeName) =>
    ids.filter((id) => id.startsWith(`${size}: `)).map((id) => id.slice(size.length + 2))
  return {
    machine,
    rounds: roundsOf(steps),
    load: loadOf(results),
    comparisons: sizes.flatMap((size) =>
      targets.COMPARISONS.flatMap((comparison) => lineOf(results, size, comparison, engines(size))),
    ),
    figures: sizes.flatMap((size) =>
      engines(size).flatMap((engine) => {
        const values = figuresOf(results, size, engine)
        return Object.keys(values).length ? [{ size, engine, values }] : []
      }),
    ),
    checks: [...promises(results), ...derived(results, gold)],
    failures: ids.flatMap((trial) => {
      const reason = results.failure(trial)
      return reason === undefined ? [] : [{ trial, reason }]
    }),
  }
}

function roundsOf(steps: readonly Step[]): string {
  const counts = steps.map(({ trial }) => trial.rounds)
  const [least, most] = [Math.min(...counts), Math.max(...counts)]
  return least === most ? `${most}` : `${least} to ${most}`
}

function lineOf(results: Results, size: SizeName, comparison: Comparison, engines: string[]): Line[] {
  const { machine } = results
  const dtype = targets.CLASS_DTYPE[machine.class]
  const ours = comparison.ours === 'ours auto' ? `ours ${dtype}` : comparison.ours
  // On a machine whose class is fp32 the row without a target would only repeat the one that has it.
  if (!engines.includes(ours) || (comparison.ours === `ours ${dtype}` && !comparison.target)) return []
  const wanted = comparison.target?.(machine.class, size) ?? {}
  const [own, their] = [speeds(results, size, ours), speeds(results, size, comparison.peer)]
  const own_missing = notOffered(results, size, ours) ?? results.failure(speedTrial(size, ours))
  const missing = own_missing ?? results.failure(speedTrial(size, comparison.peer))
  const cells = targets.COLUMNS.map((column): Cell => {
    const own_column = column === 'stream, sorted' ? 'stream' : column
    const ratio = pairedRatio(times(own, own_column), times(their, column))
    const target = wanted[column]
    const known = Number.isFinite(ratio)
    return {
      column,
      ...(known && { ratio }),
      ...(target !== undefined && {
        target,
        verdict: known ? verdictOf(ratio >= target) : own_missing === undefined ? 'not measured' : 'missed',
      }),
    }
  })
  const { note, peer } = comparison
  return [
    {
      size,
      ours,
      peer,
      ...(note !== undefined && { note }),
      ...(missing !== undefined && { missing }),
      cells,
    },
  ]
}

function verdictOf(met: boolean): Verdict {
  return met ? 'met' : 'missed'
}

function loadOf({ outcomes }: Results): [number, number] {
  const loads = outcomes.flatMap(({ load, result }) => (result ? [load] : []))
  return [Math.min(...loads), Math.max(...loads)]
}

function speeds(results: Results, size: SizeName, engine: string): Map<number, Speed> {
  const rounds = [...results.of(speedTrial(size, engine))].filter(([, { result }]) => isSpeed(result))
  return new Map(rounds.map(([round, { result }]) => [round, result as unknown as Speed]))
}

function isSpeed(result: Outcome['result']): boolean {
  return result !== undefined && 'dense' in result
}

function notOffered(results: Results, size: SizeName, engine: string): string | undefined {
  const [first] = results.of(speedTrial(size, engine)).values()
  return first?.result && 'not_offered' in first.result ? 'not offered by this version' : undefined
}

/** Seconds or milliseconds of a column, by round. */
function times(speeds: ReadonlyMap<number, Speed>, column: Column): Map<number, number> {
  const figure = ({ dense, file, sorted }: Speed): number | undefined => {
    if (column === 'stream') return file.seconds
    if (column === 'stream, sorted') return sorted?.seconds
    return dense[column]
  }
  return new Map(
    [...speeds].flatMap(([round, speed]) => {
      const time = figure(speed)
      return time === undefined ? [] : [[round, time] as const]
    }),
  )
}

function figuresOf(results: Results, size: SizeName, engine: string): Figures['values'] {
  const own = speeds(results, size, engine)
  const values: Figures['values'] = {}
  for (const column of targets.COLUMNS) {
    const time = median([...times(own, column).values()])
    const texts = [...own.values()][0]?.file.texts ?? NaN
    if (Number.isFinite(time)) values[column] = column.startsWith('stream') ? texts / time : time
  }
  return values
}

function promises(results: Results): Check[] {
  return targets.PROMISES.flatMap((promised): Check[] => {
    const outcomes = [...results.of(promised.trial).values()]
    if (!outcomes.length) return []
    const read = (metric: string) =>
      median(
        outcomes.map(({ seconds, result }) => (metric === 'process_s' ? seconds : Number(result?.[metric]))),
      )
    const value = read(promised.metric)
    const { at_most, at_least, unit, digits, beside } = promised
    const shown = `${value.toFixed(digits)}${unit}`
    const extra = beside && ` (${beside.what} ${read(beside.metric).toFixed(beside.digits)}${beside.unit})`
    return [
      {
        what: promised.what,
        figure: shown + (extra ?? ''),
        limit: at_most === undefined ? `≥ ${at_least ?? NaN}${unit}` : `≤ ${at_most}${unit}`,
        verdict: verdictOf(at_most === undefined ? value >= (at_least ?? NaN) : value <= at_most),
      },
    ]
  })
}

/** Figures that come from several trials together. */
function derived(results: Results, gold?: string): Check[] {
  const labels = (engine: string) => [...speeds(results, 'shipped', engine).values()][0]?.file.labels
  const checks: Check[] = []
  const padding = [...speeds(results, 'shipped', 'onnxruntime fp32').values()][0]?.padding
  if (padding) {
    const percent = (ratio: number) => `${((ratio - 1) * 100).toFixed(0)} %`
    checks.push({
      what: 'padding in linear layers',
      figure: `0 %, for rows are packed (peers by 32: ${percent(padding.file)} in file order, ${percent(padding.sorted)} sorted)`,
      limit: '0 %',
      verdict: 'met',
    })
  }
  const reference = labels('PyTorch eager') ?? labels('onnxruntime fp32')
  const fp32 = labels('ours fp32')
  for (const engine of ['ours fp32', 'ours bf16', 'ours fp16', 'ours int8']) {
    const own = labels(engine)
    if (own === undefined) continue
    if (reference !== undefined) {
      const differing = Array.from(own).filter((label, index) => label !== reference[index]).length
      checks.push({
        what: `labels that differ from the peer’s fp32, ${engine}`,
        figure: `${differing} of ${own.length}`,
      })
    }
    if (gold?.length !== own.length || fp32 === undefined || engine === 'ours fp32') continue
    const [score, full] = [macroF1(gold, own), macroF1(gold, fp32)]
    const loss = (full - score) * 100
    checks.push({
      what: `macro F1 that ${engine} loses against fp32, shipped model`,
      figure: `${loss.toFixed(2)} points (${score.toFixed(4)} against ${full.toFixed(4)})`,
      ...(engine === 'ours int8' && {
        limit: `≤ ${targets.INT8_F1_LOSS} points`,
        verdict: verdictOf(loss <= targets.INT8_F1_LOSS),
      }),
    })
  }
  return checks
}
