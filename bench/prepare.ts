import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { SHIPPED_MODEL } from '../lib/checkpoint'
import { cacheFolder } from '../lib/libtorch'
import { randomCheckpoint } from './checkpoint'
import type { Size } from './plan'
import type { SizeName } from './targets'

/** Folders that a size's trials read. */
export interface Files {
  /** The checkpoint. */
  model: string
  /** What the peers load: ONNX files, a trace, and config and tokenizer beside them. */
  peers: string
}

const CACHE = join(cacheFolder(), 'bench')
const REQUIREMENTS = join(__dirname, 'requirements.txt')
/** Written last, so that a folder that has it is whole. */
const READY = '.ready'

const known = new Map<SizeName, Files>()

/** Where a size's files are; random checkpoints are made when they are first asked for. */
export function filesOf(size: Size): Files {
  const found = known.get(size.name)
  if (found) return found
  const shipped = size.name === 'shipped'
  const model = shipped ? SHIPPED_MODEL : randomCheckpoint(size, SHIPPED_MODEL, join(CACHE, 'checkpoints'))
  const name = shipped ? `shipped-${hashOf(join(model, 'model.safetensors'))}` : basename(model)
  const files = { model, peers: join(CACHE, 'peers', name) }
  known.set(size.name, files)
  return files
}

function hashOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 12)
}

/** Python for the peers: `BENCH_PYTHON`, or an environment of the bench's own in the cache folder. */
export function python(): string {
  return process.env.BENCH_PYTHON ?? join(venv(), 'bin', 'python')
}

function venv(): string {
  return join(CACHE, `python-${hashOf(REQUIREMENTS)}`)
}

/** Why trials of peers cannot run; what could be had is absent. */
export interface Missing {
  npm?: string
  /** By size. */
  files: Map<SizeName, string>
}

/** Installs the peers and makes their files, once. What cannot be had leaves the rest to go on. */
export function preparePeers(sizes: readonly Size[], say: (line: string) => void): Missing {
  const missing: Missing = { files: new Map() }
  const reason = (what: string, work: () => void): string | undefined => {
    try {
      work()
      return undefined
    } catch (error) {
      const text = `${what} failed: ${reasonOf(error)}`
      say(text)
      return text
    }
  }
  const npm = reason('installing the npm peers', () => {
    if (existsSync(join(__dirname, 'node_modules', '.package-lock.json'))) return
    say('installing onnxruntime-node and transformers.js into bench/node_modules')
    // Install scripts would download CUDA libraries that a CPU comparison does not need.
    run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], __dirname)
  })
  if (npm !== undefined) missing.npm = npm
  const python_missing = reason('installing Python’s peers', () => {
    if (process.env.BENCH_PYTHON === undefined) installPython(say)
  })
  for (const size of sizes) {
    const files = reason(`exporting ${size.name} for the peers`, () => {
      const { model, peers } = filesOf(size)
      if (existsSync(join(peers, READY))) return
      if (python_missing !== undefined) throw new Error(python_missing)
      say(`exporting ${size.name} to ONNX and TorchScript`)
      mkdirSync(peers, { recursive: true })
      run(python(), [join(__dirname, 'make_peers.py'), model, peers])
      writeFileSync(join(peers, READY), '')
    })
    if (files !== undefined) missing.files.set(size.name, files)
  }
  return missing
}

function installPython(say: (line: string) => void): void {
  const folder = venv()
  if (existsSync(join(folder, READY))) return
  say('installing PyTorch, transformers and onnxruntime into the cache folder')
  rmSync(folder, { recursive: true, force: true })
  run('python3', ['-m', 'venv', folder])
  run(join(folder, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '-r', REQUIREMENTS])
  writeFileSync(join(folder, READY), '')
}

function run(command: string, args: readonly string[], cwd = process.cwd()): void {
  execFileSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
    maxBuffer: 1 << 28,
  })
}

/** The last line that a failed process wrote, or what is wrong with starting it. */
export function reasonOf(error: unknown): string {
  const written = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
  const message = error instanceof Error ? error.message : String(error)
  return lastLines(written) || lastLines(message)
}

/** What is worth showing of a failed process's errors: Node's and Python's reasons both have `Error`. */
export function lastLines(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  const telling = lines.findLast((line) => /^\w*(Error|Exception|Exit)\b.*:/.test(line.trim()))
  return (telling ?? lines.at(-1) ?? '').trim().slice(0, 300)
}

/** Versions of the peers that are installed. */
export function peerVersions(): Record<string, string> {
  const versions: Record<string, string> = {}
  for (const [name, folder] of [
    ['onnxruntime-node', 'onnxruntime-node'],
    ['transformers.js', '@huggingface/transformers'],
  ] as const) {
    const file = join(__dirname, 'node_modules', folder, 'package.json')
    if (existsSync(file)) {
      versions[name] = (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
    }
  }
  const question = "import importlib.metadata as m; print(m.version('torch'), m.version('transformers'))"
  try {
    const [torch, transformers] = execFileSync(python(), ['-c', question], { encoding: 'utf8' })
      .trim()
      .split(' ')
    Object.assign(versions, { PyTorch: torch, 'transformers (Python)': transformers })
  } catch {
    // Its trials say why they have no figures.
  }
  return versions
}
