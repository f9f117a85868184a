import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chart } from '../../bench/chart'
import { withMeasured } from '../../bench/document'
import { plan, speedTrial, type Step } from '../../bench/plan'
import { lastLines } from '../../bench/prepare'
import { asText } from '../../bench/print'
import { report, type Report } from '../../bench/report'
import { macroF1, median, pairedRatio, Results, type Machine, type Outcome } from '../../bench/results'
import { COMPARISONS, machineClass, type MachineClass, type Ratios, type SizeName } from '../../bench/targets'

const MACHINE: Machine = {
  cpu: 'A CPU',
  class: 'AVX512-BF16',
  features: ['avx2', 'avx512_bf16'],
  threads: 2,
  threads_rule: 'physical cores',
  cpus: 2,
  versions: { Node: 'v20' },
  commit: 'abc',
  date: '2026-01-01',
  quick: true,
}

const steps = (machine: MachineClass, quick: boolean): Step[] =>
  plan(machine, quick, (size) => ({ model: `models/${size}`, peers: `peers/${size}` }))

describe('the bench’s arithmetic', () => {
  it('takes medians of odd and even counts', () => {
    assert.equal(median([3, 1, 2]), 2)
    assert.equal(median([4, 1, 2, 3]), 2.5)
    assert.ok(Number.isNaN(median([])))
  })

  it('compares engines round by round, and only in rounds that both have', () => {
    const ours = new Map([
      [1, 1],
      [2, 10], // the machine was slow: theirs is, too
      [3, 1],
    ])
    const theirs = new Map([
      [1, 2],
      [2, 20],
    ])
    assert.equal(pairedRatio(ours, theirs), 2)
    assert.ok(Number.isNaN(pairedRatio(ours, new Map())))
  })

  it('weighs every class alike in macro F1', () => {
    assert.equal(macroF1('0011', '0011'), 1)
    // Class 0: precision 2/3, recall 1; class 1: precision 1, recall 1/2.
    assert.ok(Math.abs(macroF1('0011', '0001') - (0.8 + 2 / 3) / 2) < 1e-12)
  })

  it('finds what a failed process had to say', () => {
    assert.equal(lastLines('Traceback\nValueError: no such mask\n'), 'ValueError: no such mask')
    assert.equal(lastLines('x.js:3\nError: gone\n    at f (x.js:3:1)\n\nNode.js v20\n'), 'Error: gone')
    assert.equal(lastLines('killed\n'), 'killed')
  })
})

describe('the bench’s targets', () => {
  const target = (peer: string, machine: MachineClass, size: SizeName): Ratios | undefined =>
    COMPARISONS.find((each) => each.peer === peer && each.target)?.target?.(machine, size)

  it('chooses them by what the CPU has', () => {
    assert.equal(machineClass(['avx2', 'avx512f', 'avx512_bf16', 'amx_bf16']), 'AMX')
    assert.equal(machineClass(['avx2', 'avx512f', 'avx512_bf16']), 'AVX512-BF16')
    assert.equal(machineClass(['avx2', 'avx512f']), 'AVX2')
    assert.deepEqual(target('onnxruntime fp32', 'AVX512-BF16', 'base'), {
      '1×16': 1.6,
      '1×128': 2,
      '8×32': 2,
      '32×32': 2,
      stream: 4,
      'stream, sorted': 2,
    })
    assert.equal(target('onnxruntime fp32', 'AVX2', 'large')?.['1×16'], 1.3)
  })

  it('holds AMX to dense targets for large alone', () => {
    assert.equal(target('onnxruntime fp32', 'AMX', 'large')?.['32×32'], 4)
    assert.deepEqual(target('onnxruntime fp32', 'AMX', 'shipped'), { stream: 6, 'stream, sorted': 3 })
  })
})

describe('the bench’s plan', () => {
  it('is the model that ships alone when quick', () => {
    assert.deepEqual([...new Set(steps('AMX', true).map(({ trial }) => trial.size))], ['shipped'])
    assert.deepEqual([...new Set(steps('AMX', false).map(({ trial }) => trial.size))].sort(), [
      'base',
      'large',
      'shipped',
    ])
  })

  it('lets engines take turns: a round is over before the next begins', () => {
    const rounds = steps('AVX512-BF16', false)
      .filter(({ trial }) => trial.id.startsWith('base: '))
      .map(({ round }) => round)
    assert.deepEqual(
      rounds,
      [...rounds].sort((a, b) => a - b),
    )
    assert.equal(rounds.at(-1), 3)
  })

  it('runs bf16 only where the CPU multiplies it, and AVX2 apart only where there is more', () => {
    const ids = (machine: MachineClass) => new Set(steps(machine, true).map(({ trial }) => trial.id))
    assert.ok(ids('AMX').has('shipped: ours bf16'))
    assert.ok(ids('AMX').has('shipped: ours fp32, held to AVX2'))
    assert.ok(!ids('AVX2').has('shipped: ours bf16'))
    assert.ok(!ids('AVX2').has('shipped: ours fp32, held to AVX2'))
  })
})

describe('the bench’s results', () => {
  let folder: string
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'bench-'))))
  afterEach(() => {
    rmSync(folder, { recursive: true })
  })

  const outcome = (trial: string, result: Record<string, unknown> | undefined, round = 1): Outcome => ({
    trial,
    round,
    at: '2026-01-01T00:00:00Z',
    seconds: 0.5,
    load: 1,
    ...(result ? { result } : { failure: 'Error: it broke' }),
  })
  const speed = (factor: number, labels = '0012', sorted = true): Record<string, unknown> => {
    const stream = { seconds: factor, texts: 4, labels }
    const dense = Object.fromEntries(['1×16', '1×128', '8×32', '32×32'].map((shape) => [shape, factor * 10]))
    return { dense, file: stream, ...(sorted && { sorted: stream }) }
  }
  const open = (fresh = false) => Results.open(join(folder, 'quick-x.jsonl'), MACHINE, fresh)

  it('goes on where a killed run was, and tries again what failed', () => {
    const first = open()
    first.add(outcome('load shipped', { load_s: 0.2 }))
    first.add(outcome('tokenizer', undefined))
    appendFileSync(first.path, '{"trial":"memory","rou')
    const second = open()
    assert.ok(second.has('load shipped', 1))
    assert.ok(!second.has('load shipped', 2))
    assert.ok(!second.has('tokenizer', 1))
    assert.equal(second.failure('tokenizer'), 'Error: it broke')
    second.add(outcome('tokenizer', { tokenizer_us: 4, tokenizer_ratio: 7, library_us: 28 }))
    assert.ok(open().has('tokenizer', 1))
    assert.equal(open().failure('tokenizer'), undefined)
    assert.ok(!open(true).has('tokenizer', 1))
  })

  function measured(): Report {
    const results = open()
    const add = (engine: string, result?: Record<string, unknown>) => {
      results.add(outcome(speedTrial('shipped', engine), result))
    }
    add('ours bf16', speed(1, '0012', false))
    add('ours fp32', speed(2, '0011', false))
    add('ours int8', { not_offered: 'no such dtype' })
    add('onnxruntime fp32', speed(3))
    add('onnxruntime int8', speed(1))
    add('PyTorch eager', undefined)
    results.add(outcome('load shipped', { load_s: 0.7 }))
    return report(results, steps(MACHINE.class, true), '0011')
  }

  it('says of each target whether it was met, missed or not measured', () => {
    const { comparisons, checks, failures } = measured()
    const verdicts = (ours: string, peer: string) => {
      const line = comparisons.find((each) => each.ours === ours && each.peer === peer)
      return line?.cells.map(({ verdict }) => verdict)
    }
    const met = 'met'
    assert.deepEqual(verdicts('ours bf16', 'onnxruntime fp32'), [met, met, met, met, 'missed', met])
    assert.deepEqual(new Set(verdicts('ours int8', 'onnxruntime int8')), new Set(['missed']))
    assert.deepEqual(new Set(verdicts('ours bf16', 'PyTorch eager')), new Set(['not measured']))
    assert.deepEqual(new Set(verdicts('ours fp32', 'onnxruntime fp32')), new Set([undefined]))
    assert.deepEqual(
      checks.find(({ what }) => what.includes('`load` of the shipped')),
      { what: '`load` of the shipped model', figure: '0.70 s', limit: '≤ 0.5 s', verdict: 'missed' },
    )
    assert.deepEqual(failures, [{ trial: 'shipped: PyTorch eager', reason: 'Error: it broke' }])
  })

  it('prints ratios before times, and why a figure is missing', () => {
    const text = asText(measured())
    assert.match(text, /3\.00× ≥ 1\.6 met/)
    assert.match(text, /3\.00× ≥ 4 missed/)
    assert.match(text, /not offered by this version/)
    assert.match(text, /shipped: PyTorch eager: Error: it broke/)
    assert.ok(text.indexOf('3.00×') < text.indexOf('milliseconds'))
  })

  it('replaces the measured part of the document, and keeps the prose', () => {
    const begin = '<!-- bench: begin (written by `npm run bench -- --write`) -->'
    const before = `# Performance\n\nWhy.\n\n${begin}\nold\n<!-- bench: end -->\n\nBecause.\n`
    const once = withMeasured(before, measured())
    assert.ok(once.startsWith(`# Performance\n\nWhy.\n\n${begin}`))
    assert.ok(once.endsWith('<!-- bench: end -->\n\nBecause.\n'))
    assert.doesNotMatch(once, /\bold\b/)
    assert.match(once, /\| ours bf16 : onnxruntime fp32 \| 3\.00× ≥ 1\.6 met \|/)
    assert.throws(() => withMeasured('no marks', measured()), /has no line/)
  })

  it('draws a bar for each engine, as long as it is fast', () => {
    const svg = chart(measured())
    const widths = [...svg.matchAll(/<rect class="(ours|peer)" [^>]*width="(\d+)"/g)].map(
      ([, who, width]) => [who, Number(width)],
    )
    assert.deepEqual(widths.slice(0, 2), [
      ['ours', 400],
      ['peer', 400],
    ])
    assert.equal(widths.length, 6)
    assert.match(svg, /prefers-color-scheme: dark/)
  })
})
