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
