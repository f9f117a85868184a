/**
 * Why something did not work. Each code stands for one remedy; the message names it.
 *
 * | code | what happened |
 * |---|---|
 * | `BINDING_NOT_FOUND` | the native addon is not built for this platform |
 * | `LIBTORCH_NOT_FOUND` | no libtorch was found, or it could not be opened |
 * | `LIBTORCH_MISMATCH` | the libtorch found is of a version that no core was built for |
 * | `CHECKPOINT_NOT_FOUND` | there is no model at the path, or none of that id, revision or file on the hub |
 * | `CHECKPOINT_INVALID` | the model's files are damaged, unsupported or disagree |
 * | `INPUT_TOO_LONG` | a text has more tokens than the model takes, and `long_text` is `'error'` |
 * | `HUB_UNREACHABLE` | the hub could not be reached, or did not answer as one |
 * | `HUB_DENIED` | the hub wants a token, or its terms accepted |
 * | `DOWNLOAD_FAILED` | a file was cut, arrived damaged, or could not be written |
 * | `QUEUE_FULL` | as many tokens wait as `max_queue_tokens` allows |
 * | `DEADLINE_EXCEEDED` | a call was not done within its `timeout_ms` |
 * | `DEVICE_UNAVAILABLE` | the device asked for cannot be used here |
 * | `MODEL_LOAD_FAILED` | libtorch failed while it loaded the model |
 * | `FORWARD_FAILED` | libtorch failed while it scored |
 * | `OUT_OF_MEMORY` | there was not enough memory |
 * | `UNHEALTHY` | an earlier failure left the classifier unable to score anything |
 * | `CLOSED` | the classifier was closed |
 */
export type ErrorCode =
  | 'BINDING_NOT_FOUND'
  | 'LIBTORCH_NOT_FOUND'
  | 'LIBTORCH_MISMATCH'
  | 'CHECKPOINT_NOT_FOUND'
  | 'CHECKPOINT_INVALID'
  | 'INPUT_TOO_LONG'
  | 'HUB_UNREACHABLE'
  | 'HUB_DENIED'
  | 'DOWNLOAD_FAILED'
  | 'QUEUE_FULL'
  | 'DEADLINE_EXCEEDED'
  | 'DEVICE_UNAVAILABLE'
  | 'MODEL_LOAD_FAILED'
  | 'FORWARD_FAILED'
  | 'OUT_OF_MEMORY'
  | 'UNHEALTHY'
  | 'CLOSED'

/**
 * Every failure that is not a wrong argument (those are `TypeError` and `RangeError`) and not an abort (that
 * is the signal's own reason).
 *
 * @example
 * ```ts
 * try {
 *   await classifier.classify(text, { long_text: 'error' })
 * } catch (error) {
 *   if (error instanceof ElectraError && error.code === 'INPUT_TOO_LONG') return tooLong(text)
 *   throw error
 * }
 * ```
 */
export class ElectraError extends Error {
  override readonly name = 'ElectraError'
  /** Which failure this is; the message may change between versions, the code does not. */
  readonly code: ErrorCode

  /**
   * @param code which failure
   * @param message one sentence that says what was wrong, and the remedy
   * @param options `cause`: the error underneath, where there is one
   */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
