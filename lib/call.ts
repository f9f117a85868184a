import { Deadline, untilAborted } from './abort'
import { inOrder, type Started } from './in-order'
import { failureOf } from './open-model'
import type { CallSettings } from './options'
import type { Call, Scheduler } from './scheduler'

/** Batches' worth of tokens for each lane that one call has under way, which bounds its memory; at most half of the queue. */
const BATCHES_AHEAD = 8

/** Runs a call until its signal aborts or its time is up, and makes its failures errors of this library. */
export async function runCall<T>(
  scheduler: Scheduler,
  settings: CallSettings,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  const { call, signal, end } = begin(scheduler, settings, true)
  try {
    return await untilAborted(signal, () => work(call))
  } catch (error) {
    throw failureOf(error, settings.signal)
  } finally {
    end()
  }
}

/**
 * As {@link runCall}, for a call of many texts: results in their order, reading ahead a few batches' worth of tokens.
 *
 * @param finite whether the source ends by itself, so that a drain may wait for it
 * @param start begins the work for one text
 */
export async function* streamCall<Item, T>(
  scheduler: Scheduler,
  settings: CallSettings,
  finite: boolean,
  source: AsyncIterable<Item> | Iterable<Item>,
  start: (item: Item, call: Call) => Promise<Started<T>>,
): AsyncGenerator<T, void, undefined> {
  const { call, signal, end } = begin(scheduler, settings, finite)
  const { max_batch_tokens, max_queue_tokens } = scheduler.limits
  const ahead = Math.min(BATCHES_AHEAD * scheduler.lanes * max_batch_tokens, max_queue_tokens / 2)
  try {
    yield* inOrder(source, (item) => start(item, call), ahead, signal)
  } catch (error) {
    throw failureOf(error, settings.signal)
  } finally {
    end()
  }
}

/** A call's place among others, and a signal that knows its deadline; `end` must follow. */
function begin(
  scheduler: Scheduler,
  settings: CallSettings,
  finite: boolean,
): { call: Call; signal: AbortSignal | undefined; end: () => void } {
  const { signal, timeout_ms } = settings
  signal?.throwIfAborted()
  try {
    const call = scheduler.open(
      { ...settings, deadline: performance.now() + (timeout_ms ?? Infinity) },
      finite,
    )
    const deadline = new Deadline(signal, timeout_ms)
    const end = () => {
      deadline.release()
      scheduler.end(call)
    }
    return { call, signal: deadline.signal, end }
  } catch (error) {
    throw failureOf(error, signal)
  }
}
