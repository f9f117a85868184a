import type { Files } from './prepare'
import { CLASS_DTYPE, type MachineClass, type SizeName } from './targets'

export interface Size {
  name: SizeName
  layers: number
  hidden: number
  heads: number
}

export const SIZES: readonly Size[] = [
  { name: 'shipped', layers: 6, hidden: 384, heads: 12 },
  { name: 'base', layers: 12, hidden: 768, heads: 12 },
  { name: 'large', layers: 24, hidden: 1024, heads: 16 },
]

/** A process that prints one line of JSON, and how often it is to run. */
export interface Trial {
  id: string
  script: string
  rounds: number
  /** Whether it measures a peer, whose packages and files must be there. */
  peer: boolean
  size: SizeName
  env: Record<string, string>
  timeout_s: number
}

export interface Step {
  trial: Trial
  round: number
}

interface Engine {
  name: string
  script: string
  peer: boolean
  /** Slow peers whose ratio is far from its target run in fewer rounds. */
  fewer_rounds?: boolean
  env: (files: Files) => Record<string, string>
}

const ours = (dtype: string): Engine => ({
  name: `ours ${dtype}`,
  script: 'throughput-electra.cjs',
  peer: false,
  env: () => ({ BENCH_DTYPE: dtype }),
})
const onnxruntime = (dtype: string, file: string): Engine => ({
  name: `onnxruntime ${dtype}`,
  script: 'throughput-onnxruntime.cjs',
  peer: true,
  env: ({ peers }) => ({ BENCH_ONNX: `${peers}/onnx/${file}` }),
})

/** In the order in which they take turns: ours between the peers, so that a machine that slows down slows both. */
function engines(machine: MachineClass): Engine[] {
  const held: Engine = {
    ...ours('fp32'),
    name: 'ours fp32, held to AVX2',
    env: () => ({ BENCH_DTYPE: 'fp32', ELECTRA_CPU_ISA: 'avx2' }),
  }
  return [
    ...(CLASS_DTYPE[machine] === 'bf16' ? [ours('bf16')] : []),
    onnxruntime('fp32', 'model.onnx'),
    ours('fp32'),
    {
      name: 'PyTorch eager',
      script: 'throughput-pytorch.py',
      peer: true,
      fewer_rounds: true,
      env: () => ({}),
    },
    ours('int8'),
    onnxruntime('int8', 'model_quantized.onnx'),
    ours('fp16'),
    {
      name: 'TorchScript trace',
      script: 'throughput-pytorch.py',
      peer: true,
      fewer_rounds: true,
      env: ({ peers }) => ({ BENCH_TRACE: `${peers}/trace.pt` }),
    },
    ...(machine === 'AVX2' ? [] : [held]),
    {
      name: 'transformers.js',
      script: 'throughput-transformersjs.cjs',
      peer: true,
      fewer_rounds: true,
      env: ({ peers }) => ({ BENCH_MODEL_JS: peers }),
    },
  ]
}

/** Id of the trial that measures an engine's speed. */
export function speedTrial(size: SizeName, engine: string): string {
  return `${size}: ${engine}`
}

/** Rounds of each size, all engines and the slow ones; and texts of its stream, 0 for all. */
const SPEED: Record<SizeName, { rounds: number; fewer: number; sample: number }> = {
  shipped: { rounds: 3, fewer: 2, sample: 0 },
  base: { rounds: 3, fewer: 2, sample: 256 },
  large: { rounds: 2, fewer: 1, sample: 256 },
}
export const QUICK_SPEED = { rounds: 1, fewer: 1, sample: 512 }

/** Every step of a run, in its order: the short trials first, then engines in rounds, size by size. */
export function plan(machine: MachineClass, quick: boolean, files: (size: SizeName) => Files): Step[] {
  const trial = (id: string, script: string, rounds: number, more: Partial<Trial> = {}): Trial => ({
    id,
    script,
    rounds: quick && id !== 'first result' ? 1 : rounds,
    peer: false,
    size: 'shipped',
    env: {},
    timeout_s: quick ? 120 : 600,
    ...more,
  })
  const large: Partial<Trial> = { size: 'large', env: { BENCH_SAMPLE: '256' } }
  const short = [
    trial('require', 'require.cjs', 3),
    trial('first result', 'first-result.cjs', 3),
    trial('load shipped', 'load.cjs', 3),
    ...(quick ? [] : [trial('load large', 'load.cjs', 3, large)]),
    trial('tokenizer', 'tokenizer.cjs', 1),
    trial('event loop', 'event-loop.cjs', 3),
    trial('new lengths', 'new-lengths.cjs', 3),
    quick
      ? trial('memory quick', 'memory.cjs', 1, { env: { BENCH_COUNTS: '2000,10000' } })
      : trial('memory', 'memory.cjs', 1, { env: { BENCH_COUNTS: '5000,50000' } }),
    ...(quick ? [] : [trial('memory of weights', 'memory-of-weights.cjs', 1, large)]),
  ]
  const steps = short.flatMap((each) => rounds(each.rounds).map((round) => ({ trial: each, round })))
  for (const { name: size } of quick ? SIZES.slice(0, 1) : SIZES) {
    const speed = quick ? QUICK_SPEED : SPEED[size]
    const trials = engines(machine).map((engine): Trial => {
      const env = {
        BENCH_SAMPLE: String(speed.sample),
        BENCH_SHAPE_SECONDS: quick ? '0.3' : '1',
        ...engine.env(files(size)),
      }
      return {
        ...trial(speedTrial(size, engine.name), engine.script, speed.rounds, {
          peer: engine.peer,
          size,
          env,
        }),
        rounds: engine.fewer_rounds ? speed.fewer : speed.rounds,
      }
    })
    for (const round of rounds(speed.rounds)) {
      for (const each of trials) if (round <= each.rounds) steps.push({ trial: each, round })
    }
  }
  return steps
}

function rounds(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}
