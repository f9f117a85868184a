import type { Model, ModelInfo } from './binding'

/** What runs batches: one model, or a replica of it on each of several devices. */
export interface Runner extends Pick<Model, 'forward' | 'close'> {
  /** Of the first; memory is that of all. */
  readonly info: ModelInfo
  /** How many batches run at a time. */
  readonly lanes: number
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
): Promise<Runner> {
  const loaded = await Promise.allSettled(devices.map(load))
  const models = loaded.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failed = loaded.find((result) => result.status === 'rejected')
  if (failed) {
    await Promise.all(models.map((model) => model.close()))
    throw failed.reason
  }
  const tokens = models.map(() => 0)
  return {
    info: infoOf(models),
    lanes: models.length,
    async forward(input_ids, cu_seqlens, token_type_ids) {
      const chosen = leastLoaded(tokens)
      const model = models[chosen]
      if (!model) throw new RangeError('There is no replica.')
      tokens[chosen] = (tokens[chosen] ?? 0) + input_ids.length
      try {
        return await model.forward(input_ids, cu_seqlens, token_type_ids)
      } finally {
        tokens[chosen] -= input_ids.length
      }
    },
    async close() {
      await Promise.all(models.map((model) => model.close()))
    },
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
