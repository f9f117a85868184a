import { untilAborted } from './abort'

/** Work under way for one item: what it will give, and what it costs while it waits. */
export interface Started<T> {
  cost: number
  result: Promise<T>
}

/** How far the source has been read. */
interface Reading {
  /** Sum of the costs under way. */
  cost: number
  exhausted: boolean
  failure: { reason: unknown } | undefined
  reading: Promise<void> | undefined
}

/**
 * Starts work for each item of a source and yields the results in the source's order. It reads ahead as far
 * as `max_cost` allows, so memory is bounded by that and not by the source; and a finished result does not
 * wait for a slow source.
 *
 * @param source items, read one after the other; its `return` is called when the consumer stops early
 * @param start begins the work for one item
 * @param max_cost sum of the costs under way above which no further item is read
 * @param signal ends it with the signal's reason, even while the source is silent
 */
export async function* inOrder<Item, T>(
  source: AsyncIterable<Item> | Iterable<Item>,
  start: (item: Item) => Promise<Started<T>>,
  max_cost: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  const waiting: Started<T>[] = []
  const state: Reading = { cost: 0, exhausted: false, failure: undefined, reading: undefined }

  const readOne = async (): Promise<void> => {
    try {
      const step = await iterator.next()
      if (step.done) {
        state.exhausted = true
        return
      }
      const started = await start(step.value)
      // Its failure belongs to the consumer, who meets it in order; until then it is not unhandled.
      started.result.catch(() => undefined)
      waiting.push(started)
      state.cost += started.cost
    } catch (reason) {
      state.failure = { reason }
    } finally {
      state.reading = undefined
    }
  }

  /** The oldest result, once it is there; undefined when there is none left. */
  const nextResult = async (aborted: Promise<never>): Promise<{ value: T } | undefined> => {
    for (;;) {
      if (!state.exhausted && !state.failure && state.cost < max_cost) state.reading ??= readOne()
      const [oldest] = waiting
      if (!oldest) {
        if (state.failure) throw state.failure.reason
        if (state.exhausted) return undefined
        await Promise.race([state.reading, aborted])
        continue
      }
      // While more may be read, whichever comes first decides: a further item, or the oldest result.
      const { reading } = state
      if (reading && !(await Promise.race([reading.then(() => false), settled(oldest.result), aborted]))) {
        continue
      }
      const value = await Promise.race([oldest.result, aborted])
      waiting.shift()
      state.cost -= oldest.cost
      return { value }
    }
  }

  try {
    for (;;) {
      const result = await untilAborted(signal, nextResult)
      if (!result) return
      yield result.value
    }
  } finally {
    if (!state.exhausted) {
      const returned = Promise.resolve(iterator.return?.())
      // A source that is silent in `next` answers `return` only after it: not waited for.
      if (state.reading) returned.catch(() => undefined)
      else await returned
    }
  }
}

function settled(result: Promise<unknown>): Promise<true> {
  return result.then(
    () => true,
    () => true,
  )
}
