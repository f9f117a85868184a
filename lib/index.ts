export { ElectraClassifier } from './classifier'
export type { ShippedLabel } from './classifier'
export { ElectraError } from './errors'
export type { ErrorCode } from './errors'
export { exportArchive } from './export-archive'
export type {
  BatchMessage,
  CallMessage,
  CallOptions,
  Classification,
  ClassifierInfo,
  ClassifierStats,
  ClassifyOptions,
  CloseOptions,
  DownloadProgress,
  Dtype,
  GraphBucket,
  LatencyQuantiles,
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
