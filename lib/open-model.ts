import { toElectraError, type Binding, type LoadSpec } from './binding'
import { openCheckpoint, SHIPPED_MODEL, type Checkpoint } from './checkpoint'
import { ElectraError } from './errors'
import { locateModel, type HubSettings } from './hub/locate'

/** Finds a model and reads all of it but the weights; nothing is downloaded unless the binding opens. */
export async function openSource(
  source: string | undefined,
  settings: HubSettings,
  opening: Promise<Binding>,
): Promise<{ checkpoint: Checkpoint; notes: string[] }> {
  const { path, notes } = await locateModel(source ?? SHIPPED_MODEL, settings, opening)
  const checkpoint = await openCheckpoint(path, async (archive) => (await opening).addon.readArchive(archive))
  return { checkpoint, notes }
}

export function weightsOf(checkpoint: Checkpoint): Pick<LoadSpec, 'kind' | 'path' | 'config'> {
  return { kind: checkpoint.kind, path: checkpoint.weights, config: checkpoint.config_text }
}

/** An abort's reason stays the very value that the caller gave; any other failure becomes an error of ours. */
export function failureOf(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted && error === signal.reason) return error
  if (error instanceof ElectraError && (error.code === 'QUEUE_FULL' || error.code === 'DEADLINE_EXCEEDED')) {
    // Made where a row was refused or a timer ran: made anew, so that its stack shows the caller.
    return new ElectraError(error.code, error.message, { cause: error })
  }
  return toElectraError(error)
}
