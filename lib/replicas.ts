import type { Model, ModelInfo } from './binding'
import type { Forward } from './scheduler'

/** One model, or a replica of it on each of several devices. */
export interface Replicas {
  readonly models: readonly Model[]
  /** Of the first; memory is that of all. */
  readonly info: ModelInfo
  /** Closes all of them. */
  readonly close: () => Promise<void>
}

/** Which of several takes the next batch: the first of those that have the fewest tokens to go. */
export function leastLoaded(tokens: readonly number[]): number {
  return tokens.indexOf(Math.min(...tokens))
}

/**
 * Loads a model on each device, side by side. Where one fails, the others are closed, and what it failed with is thrown.
 *
 * @param load loads it on one device
 */
export async function loadReplicas(
  load: (device: string) => Promise<Model>,
  devices: readonly string[],
): Promise<Replicas> {
  const loaded = await Promise.allSettled(devices.map(load))
  const models = loaded.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failed = loaded.find((result) => result.status === 'rejected')
  if (failed) {
    await Promise.all(models.map((model) => model.close()))
    throw failed.reason
  }
  return {
    models,
    info: infoOf(models),
    async close() {
      await Promise.all(models.map((model) => model.close()))
    },
  }
}

/** Gives each batch to the one with the fewest tokens to go. */
export function shareOut(forwards: readonly Forward[]): Forward {
  const tokens = forwards.map(() => 0)
  return async (input_ids, cu_seqlens, token_type_ids) => {
    const chosen = leastLoaded(tokens)
    const forward = forwards[chosen]
    if (!forward) throw new RangeError('There is no replica.')
    tokens[chosen] = (tokens[chosen] ?? 0) + input_ids.length
    try {
      return await forward(input_ids, cu_seqlens, token_type_ids)
    } finally {
      tokens[chosen] -= input_ids.length
    }
  }
}

function infoOf(models: readonly Model[]): ModelInfo {
  const [first] = models.map((model) => model.info)
  if (!first) throw new RangeError('There is no device to load the model on.')
  if (models.length === 1) return first
  const devices = models.map(({ info }) => info.device).join(', ')
  return {
    ...first,
    memory: models.reduce((sum, { info }) => sum + info.memory, 0),
    notes: [...first.notes, `Replicas run on ${devices}.`],
  }
}
