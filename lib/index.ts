export { ElectraClassifier, exportArchive } from './classifier'
export type { ShippedLabel } from './classifier'
export { ElectraError } from './errors'
export type { ErrorCode } from './errors'
export type {
  Classification,
  ClassifierInfo,
  ClassifyOptions,
  Dtype,
  LoadOptions,
  ModelConfig,
  PairTokenization,
  ScoreFunction,
  TextInput,
  TextPair,
  Tokenization,
  TokenRow,
} from './types'
