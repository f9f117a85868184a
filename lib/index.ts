export { ElectraClassifier } from './classifier'
export type { ShippedLabel } from './classifier'
export { ElectraError } from './errors'
export type { ErrorCode } from './errors'
export { exportArchive } from './export-archive'
export type {
  Classification,
  ClassifierInfo,
  ClassifyOptions,
  DownloadProgress,
  Dtype,
  GraphBucket,
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
