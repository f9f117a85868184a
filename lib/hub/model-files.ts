import { readFile } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { CONFIG, MODEL_FILES } from '../checkpoint'
import { ElectraError } from '../errors'
import { sizeOf } from './cache'

/** Weights, in the order in which a folder is read: the first that is there serves. */
const WEIGHTS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
] as const

/** Files of a repository that this library reads, out of all that it holds. */
export interface Wanted {
  /** Config and tokenizer. */
  small: string[]
  /** Weights, or the index that names their shards. */
  weights: string
}

/**
 * Picks the files that make a model.
 *
 * @param archive path of a TorchScript archive in the repository; config and tokenizer lie beside it, or
 *   inside it
 * @param where how messages call the repository
 */
export function wantedAmong(files: readonly string[], archive: string | undefined, where: string): Wanted {
  const has = new Set(files)
  const folder = archive === undefined ? '.' : posix.dirname(archive)
  const small = MODEL_FILES.map((name) => posix.join(folder, name)).filter((name) => has.has(name))
  if (archive !== undefined) {
    if (has.has(archive)) return { small, weights: archive }
    throw new ElectraError(
      'CHECKPOINT_NOT_FOUND',
      `${where} has no file ${archive}; ${offered(files, isArchive)}.`,
    )
  }
  const weights = WEIGHTS.find((name) => has.has(name))
  if (weights === undefined) {
    throw new ElectraError(
      'CHECKPOINT_NOT_FOUND',
      `${where} has no ${WEIGHTS[0]} and no ${WEIGHTS[2]}, whole or in shards; ${offered(files, isArchive)}.`,
    )
  }
  if (!has.has(CONFIG)) {
    throw new ElectraError(
      'CHECKPOINT_INVALID',
      `${where} has no ${CONFIG}, so it is not in the layout of transformers; take another model.`,
    )
  }
  return { small, weights }
}

/** Whether a file of weights is an index of shards. */
export function isIndex(weights: string): boolean {
  return weights.endsWith('.index.json')
}

/**
 * Names of the shards in an index.
 *
 * @throws ElectraError `CHECKPOINT_INVALID`, also for a name that would lie outside of the model's folder
 */
export function shardsOf(index: string, where: string): string[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(index)
  } catch (cause) {
    throw new ElectraError('CHECKPOINT_INVALID', `${where} is not JSON; save the model anew.`, { cause })
  }
  const map = typeof parsed === 'object' && parsed !== null && 'weight_map' in parsed && parsed.weight_map
  if (typeof map !== 'object' || map === null || Object.keys(map).length === 0) {
    throw new ElectraError('CHECKPOINT_INVALID', `${where} has no weight_map; save the model anew.`)
  }
  const names = [...new Set(Object.values(map) as unknown[])]
  return names.map((name) => {
    if (typeof name === 'string' && isInside(name)) return name
    throw new ElectraError(
      'CHECKPOINT_INVALID',
      `${where} names the shard ${JSON.stringify(name)}, which is no file of the model; do not use this model.`,
    )
  })
}

/** Whether a snapshot in the cache has all that the model needs, so that it can serve without the hub. */
export async function isComplete(snapshot: string, archive: string | undefined): Promise<boolean> {
  const has = async (name: string): Promise<boolean> => (await sizeOf(join(snapshot, name))) !== undefined
  if (archive !== undefined) return has(archive)
  if (!(await has(CONFIG))) return false
  if (!(await has('tokenizer.json')) && !(await has('vocab.txt'))) return false
  for (const weights of WEIGHTS) {
    if (!(await has(weights))) continue
    if (!isIndex(weights)) return true
    const path = join(snapshot, weights)
    const shards = shardsOf(await readFile(path, 'utf8'), path)
    const there = await Promise.all(shards.map((shard) => has(join(dirname(weights), shard))))
    return there.every(Boolean)
  }
  return false
}

/** Whether a path from a hub stays inside the folder that it is joined to, on every platform. */
export function isInside(path: string): boolean {
  // eslint-disable-next-line no-control-regex -- a file name may hold none of these
  if (/[\\:\x00-\x1f]/.test(path)) return false
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function isArchive(file: string): boolean {
  return /\.pth?$/.test(file)
}

function offered(files: readonly string[], wanted: (file: string) => boolean): string {
  const found = files.filter(wanted).slice(0, 5)
  if (found.length === 0) return 'take a model that was saved with `save_pretrained`'
  return `it has the archive ${found.join(', ')}, which is loaded as ORG/NAME/FILE.pt with trust: 'archive'`
}
