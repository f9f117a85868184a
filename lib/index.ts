export { ElectraClassifier, exportArchive } from './classifier'
export type { ShippedLabel } from './classifier'
export { ElectraError } from './errors'
export type { ErrorCode } from './errors'
export type {
  Classification,
  ClassifierInfo,
  ClassifyOptions,
  DownloadProgress,
  Dtype,
  LoadOptions,
  ModelConfig,
  PairTokenization,
  ScoreFunction,
  SourceOptions,
  TextInput,
  TextPair,
  Tokenization,
  TokenRow,
} from './types'
