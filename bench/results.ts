import { createHash } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { MachineClass } from './targets'

/** Where a run took place, and of what. */
export interface Machine {
  cpu: string
  class: MachineClass
  features: string[]
  threads: number
  threads_rule: string
  cpus: number
  /** Version of each thing that was measured, by name. */
  versions: Record<string, string>
  commit: string
  date: string
  quick: boolean
}

/** What became of one process. */
export interface Outcome {
  trial: string
  round: number
  at: string
  /** Wall-clock time of the whole process. */
  seconds: number
  /** Load average of the last minute, when it began: what else the machine was doing. */
  load: number
  result?: Record<string, unknown>
  failure?: string
}

/** A run's outcomes, kept in a file of one JSON object a line, so that a run that was cut short goes on. */
export class Results {
  private constructor(
    readonly path: string,
    readonly machine: Machine,
    readonly outcomes: Outcome[],
  ) {}

  /** Begins a file, or goes on with the one that is there unless `fresh`. */
  static open(path: string, machine: Machine, fresh = false): Results {
    if (existsSync(path) && !fresh) return Results.read(path)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, JSON.stringify(machine) + '\n')
    return new Results(path, machine, [])
  }

  /** The line that a killed run left unfinished is passed over. */
  static read(path: string): Results {
    const lines = readFileSync(path, 'utf8').split('\n')
    const complete = lines.slice(0, -1)
    const [machine, ...outcomes] = complete.map((line) => JSON.parse(line) as unknown)
    if (machine === undefined) throw new Error(`${path} holds no results; remove it, or run with --fresh`)
    if (lines.at(-1) !== '') writeFileSync(path, complete.map((line) => line + '\n').join(''))
    return new Results(path, machine as Machine, outcomes as Outcome[])
  }

  add(outcome: Outcome): void {
    this.outcomes.push(outcome)
    appendFileSync(this.path, JSON.stringify(outcome) + '\n')
  }

  /** Whether a step has its figures; one that failed is tried again. */
  has(trial: string, round: number): boolean {
    return this.outcomes.some((each) => each.trial === trial && each.round === round && each.result)
  }

  /** What a trial printed, by round. */
  of(trial: string): Map<number, Outcome> {
    const rounds = this.outcomes.filter((each) => each.trial === trial && each.result)
    return new Map(rounds.map((each) => [each.round, each]))
  }

  /** Why a trial has no figures; undefined where it has some, or never ran. */
  failure(trial: string): string | undefined {
    if (this.of(trial).size) return undefined
    return this.outcomes.findLast((each) => each.trial === trial)?.failure
  }
}

/** The results file that was written last in a folder, of whole runs or of quick ones. */
export function newest(folder: string, quick: boolean): string | undefined {
  if (!existsSync(folder)) return undefined
  return readdirSync(folder)
    .filter((name) => name.startsWith(quick ? 'quick-' : 'full-') && name.endsWith('.jsonl'))
    .map((name) => join(folder, name))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0]
}

/** A short hash of files' contents and of facts: results of another build or machine never mix with these. */
export function fingerprint(files: readonly string[], facts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const file of [...files].sort()) hash.update(readFileSync(file)).update('\0')
  return hash.update(facts.join('\n')).digest('hex').slice(0, 12)
}

export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b)
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return ((low ?? NaN) + (high ?? NaN)) / 2
}

/** Median over the rounds that both have of `theirs / ours`: what slowed a round slowed both. */
export function pairedRatio(ours: ReadonlyMap<number, number>, theirs: ReadonlyMap<number, number>): number {
  const ratios = [...ours].flatMap(([round, own]) => {
    const their = theirs.get(round)
    return their === undefined ? [] : [their / own]
  })
  return median(ratios)
}

/** Unweighted mean of each class's F1, of labels written as one character each. */
export function macroF1(gold: string, predicted: string): number {
  const classes = [...new Set(gold)]
  const scores = classes.map((label) => {
    let [both, either] = [0, 0]
    for (let index = 0; index < gold.length; index++) {
      const [is, was] = [gold[index] === label, predicted[index] === label]
      if (is && was) both++
      either += Number(is) + Number(was)
    }
    return (2 * both) / either
  })
  return scores.reduce((sum, score) => sum + score, 0) / classes.length
}
