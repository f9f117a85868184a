import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Size } from './plan'

/** Raised whenever other weights are made, so that nobody measures old ones under a new name. */
const VERSION = 1

interface Tensor {
  name: string
  shape: number[]
}

/**
 * A checkpoint with random weights in the layout of the published ones: fp32 `model.safetensors`, `config.json` and
 * the tokenizer of the model that ships. Made on first use, into a folder of its own under `folder`.
 */
export function randomCheckpoint(size: Size, like: string, folder: string): string {
  const path = join(folder, `${size.name}-${VERSION}`)
  if (existsSync(path)) return path
  const partial = `${path}.partial`
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial, { recursive: true })
  for (const file of ['tokenizer.json', 'tokenizer_config.json', 'vocab.txt']) {
    copyFileSync(join(like, file), join(partial, file))
  }
  const config = configOf(size, like)
  writeFileSync(join(partial, 'config.json'), JSON.stringify(config, null, 2) + '\n')
  writeWeights(join(partial, 'model.safetensors'), tensorsOf(size, config.vocab_size))
  renameSync(partial, path)
  return path
}

function configOf({ layers, hidden, heads }: Size, like: string) {
  const config = JSON.parse(readFileSync(join(like, 'config.json'), 'utf8')) as { vocab_size: number }
  return {
    ...config,
    embedding_size: hidden,
    hidden_dim: hidden,
    hidden_size: hidden,
    intermediate_size: 4 * hidden,
    num_attention_heads: heads,
    num_hidden_layers: layers,
  }
}

function tensorsOf({ layers, hidden }: Size, vocab_size: number): Tensor[] {
  const linear = (name: string, out: number, depth: number): Tensor[] => [
    { name: `${name}.weight`, shape: [out, depth] },
    { name: `${name}.bias`, shape: [out] },
  ]
  const norm = (name: string): Tensor[] => [
    { name: `${name}.LayerNorm.weight`, shape: [hidden] },
    { name: `${name}.LayerNorm.bias`, shape: [hidden] },
  ]
  const layer = (name: string): Tensor[] => [
    ...['query', 'key', 'value'].flatMap((part) => linear(`${name}.attention.self.${part}`, hidden, hidden)),
    ...linear(`${name}.attention.output.dense`, hidden, hidden),
    ...norm(`${name}.attention.output`),
    ...linear(`${name}.intermediate.dense`, 4 * hidden, hidden),
    ...linear(`${name}.output.dense`, hidden, 4 * hidden),
    ...norm(`${name}.output`),
  ]
  const embeddings = 'electra.embeddings'
  return [
    { name: `${embeddings}.word_embeddings.weight`, shape: [vocab_size, hidden] },
    { name: `${embeddings}.position_embeddings.weight`, shape: [512, hidden] },
    { name: `${embeddings}.token_type_embeddings.weight`, shape: [2, hidden] },
    ...norm(embeddings),
    ...Array.from({ length: layers }, (_, index) => layer(`electra.encoder.layer.${index}`)).flat(),
    ...linear('classifier.layers.0', hidden, hidden),
    // One SwishGLU serves both layers of the head; it is stored once.
    ...linear('classifier.layers.1.projection', 2 * hidden, hidden),
    ...linear('classifier.layers.3', hidden, hidden),
    ...linear('classifier.layers.6', 3, hidden),
  ]
}

/** Standard deviation of a tensor's values: wide enough that texts get different labels. */
function spread({ name, shape }: Tensor): number {
  if (name.includes('word_embeddings')) return 1
  if (name.includes('_embeddings')) return 0.1
  if (name.endsWith('.bias')) return 0.02
  const gain = name.startsWith('classifier') ? 1.2 : 1
  return gain / Math.sqrt(shape[1] ?? 1)
}

function writeWeights(path: string, tensors: readonly Tensor[]): void {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  let offset = 0
  for (const { name, shape } of tensors) {
    const end = offset + 4 * elements(shape)
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, end] }
    offset = end
  }
  const text = JSON.stringify(header)
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))

  const file = openSync(path, 'w')
  writeFully(file, length)
  writeFully(file, padded)
  const random = generator()
  for (const tensor of tensors) {
    const values = new Float32Array(elements(tensor.shape))
    if (tensor.name.endsWith('LayerNorm.weight')) values.fill(1)
    else {
      // Uniform values of a standard deviation span twice the root of three of it on each side of 0.
      const width = spread(tensor) * Math.sqrt(12)
      for (let index = 0; index < values.length; index++) values[index] = (random() - 0.5) * width
    }
    writeFully(file, Buffer.from(values.buffer))
  }
  closeSync(file)
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

function writeFully(file: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) {
    written += writeSync(file, bytes, written, bytes.length - written)
  }
}

/** Numbers from 0 to 1 by xorshift: fast, and the same on every machine. */
function generator(): () => number {
  let state = 0x9e3779b9
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 0x1_0000_0000
  }
}
