import { ElectraClassifier } from '../classifier'
import type { LoadOptions } from '../types'
import { withModelSource, type ModelSourceArguments } from './model-source'

/** What a command that runs a model was given about it. */
export interface ModelArguments
  extends ModelSourceArguments, Pick<LoadOptions, 'device' | 'dtype' | 'threads'> {
  model?: string
}

/** Loads the model that the options name, or the one that ships. */
export function loadModel(given: ModelArguments, signal: AbortSignal): Promise<ElectraClassifier> {
  const { model, device, dtype, threads } = given
  const options = {
    ...(device !== undefined && { device }),
    ...(dtype !== undefined && { dtype }),
    ...(threads !== undefined && { threads }),
  }
  return withModelSource(given, signal, (source) =>
    model === undefined
      ? ElectraClassifier.load(undefined, { ...options, ...source })
      : ElectraClassifier.load(model, { ...options, ...source }),
  )
}
