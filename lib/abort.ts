import { ElectraError } from './errors'

/**
 * Runs `work` until it ends or the signal aborts, whichever comes first; an abort rejects with the signal's
 * own reason. The listener is gone when this settles, so that a long-lived signal collects none.
 *
 * @param work gets a promise that rejects on abort and never resolves, to race against
 */
export async function untilAborted<T>(
  signal: AbortSignal | undefined,
  work: (aborted: Promise<never>) => Promise<T>,
): Promise<T> {
  if (!signal) return work(new Promise<never>(() => undefined))
  signal.throwIfAborted()
  let listener: (() => void) | undefined
  const aborted = new Promise<never>((_, reject) => {
    listener = () => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the reason is the caller's
      reject(signal.reason)
    }
    signal.addEventListener('abort', listener, { once: true })
  })
  aborted.catch(() => undefined)
  try {
    return await Promise.race([work(aborted), aborted])
  } finally {
    if (listener) signal.removeEventListener('abort', listener)
  }
}

/** A signal that aborts with another one, or with `DEADLINE_EXCEEDED` when time is up; {@link release} must follow. */
export class Deadline {
  readonly signal: AbortSignal | undefined
  readonly release: () => void

  constructor(signal: AbortSignal | undefined, timeout_ms: number | undefined) {
    this.signal = signal
    this.release = () => undefined
    if (timeout_ms === undefined) return
    const controller = new AbortController()
    const onAbort = () => {
      controller.abort(signal?.reason)
    }
    const timer = setTimeout(() => {
      controller.abort(
        new ElectraError(
          'DEADLINE_EXCEEDED',
          `The call was not done within its timeout_ms (${timeout_ms}); try again later, raise the option, or pass fewer texts at once.`,
        ),
      )
    }, timeout_ms)
    signal?.addEventListener('abort', onAbort, { once: true })
    this.signal = controller.signal
    this.release = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }
}
