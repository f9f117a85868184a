import { longestLike, rowsAround, type Row } from './batch'

/** Who is served first; see {@link FairQueue}. */
export type Priority = 'high' | 'normal'

/** A caller's place in the queue. */
export interface Place {
  readonly priority: Priority
  /** Rows that wait, in their order. */
  rows: Waiting[]
  /** Number of batches taken when it was last served, or else when it came. */
  turn: number
  /** Whether it is a call of many rows: it has two that wait, or a row of it was taken. */
  large: boolean
}

/** A row that waits. */
export interface Waiting {
  readonly row: Row
  readonly place: Place
  /** Whether a batch of shorter rows went before it. */
  passed: boolean
}

/** Rows are grouped by length among this many batches' worth of those whose turn it is. */
const LOOKAHEAD = 8

/** Tokens that a call gives at its turn, or one row that is longer. */
const QUANTUM = 128

/** After so many batches of high priority in a row, one of normal priority goes. */
const HIGH_STREAK = 8

/** The places of one priority, each kind by turn. */
class Lane {
  readonly single = new Set<Place>()
  readonly large = new Set<Place>()

  get empty(): boolean {
    return this.single.size === 0 && this.large.size === 0
  }

  /** By turn; among those of one turn single rows first. */
  *inOrder(): Generator<Place> {
    const large = [...this.large]
    let next = 0
    for (const place of this.single) {
      for (let first = large[next]; first && first.turn < place.turn; first = large[++next]) yield first
      yield place
    }
    yield* large.slice(next)
  }
}

/**
 * Rows of all callers, and which of them go together next. Callers take turns, so that a call of many rows delays nobody:
 * a single row is in the next batch whatever large calls have queued. Among rows whose turn it is, those of like length
 * go together, and short ones before much longer ones, which go next then. High priority goes first, by itself, but for
 * one batch in nine where normal rows wait.
 */
export class FairQueue<Entry extends Waiting> {
  /** Rows and tokens that wait. */
  rows = 0
  tokens = 0
  private readonly lanes: Record<Priority, Lane> = { high: new Lane(), normal: new Lane() }
  /** Batches taken. */
  private turn = 0
  private high_streak = 0

  /**
   * @param max_tokens budget of a batch; a row that is longer goes alone
   * @param mixes_lengths whether rows of unequal length may share a batch
   */
  constructor(
    private readonly max_tokens: number,
    private readonly mixes_lengths: boolean,
  ) {}

  push(entry: Entry): void {
    const { place } = entry
    this.rows++
    this.tokens += lengthOf(entry)
    const lane = this.lanes[place.priority]
    const rows = place.rows.push(entry)
    if (rows > 2 || (rows === 2 && place.large)) return
    place.turn = this.turn
    if (rows === 2) {
      place.large = true
      lane.single.delete(place)
    }
    lane[place.large ? 'large' : 'single'].add(place)
  }

  /** Takes a place's rows out. */
  drop(place: Place): Entry[] {
    const dropped = place.rows as Entry[]
    place.rows = []
    const lane = this.lanes[place.priority]
    lane.single.delete(place)
    lane.large.delete(place)
    this.rows -= dropped.length
    for (const entry of dropped) this.tokens -= lengthOf(entry)
    return dropped
  }

  /** Takes every row out. */
  clear(): Entry[] {
    return Object.values(this.lanes).flatMap((lane) =>
      [...lane.inOrder()].flatMap((place) => this.drop(place)),
    )
  }

  /** The next batch; empty where nothing waits. */
  take(): Entry[] {
    const { high, normal } = this.lanes
    const take_high = !high.empty && (normal.empty || this.high_streak < HIGH_STREAK)
    this.high_streak = take_high ? this.high_streak + 1 : 0
    const lane = take_high ? high : normal
    if (lane.empty) return []
    const batch = this.choose(lane)
    this.turn++
    this.remove(lane, batch)
    return batch
  }

  private choose(lane: Lane): Entry[] {
    const { rows, due } = this.window(lane)
    const first = rows.slice(0, due)
    const passed = first.find((entry) => entry.passed)
    first.sort((a, b) => lengthOf(a) - lengthOf(b))
    const chosen = passed ? first.indexOf(passed) : 0
    const lengths = first.map(lengthOf)
    // A large call gets its results together, so its rows need not wait for one another, and no single row for them.
    const only = { equal: !this.mixes_lengths, like: first[chosen]?.place.large === false }
    const [from, to] = rowsAround(lengths, chosen, this.max_tokens, only)
    const batch = first.slice(from, to)
    if (batch.length === first.length) return this.fill(batch, rows.slice(due))
    for (const entry of first) entry.passed = true
    return batch
  }

  /** Adds what fits of the rows whose turn comes later, those nearest in length first. */
  private fill(batch: Entry[], later: readonly Entry[]): Entry[] {
    const [shortest, longest] = [lengthOf(batch[0]), lengthOf(batch.at(-1))]
    let tokens = batch.reduce((sum, entry) => sum + lengthOf(entry), 0)
    const nearest = later.map((entry) => ({
      entry,
      distance: Math.max(shortest - lengthOf(entry), lengthOf(entry) - longest, 0),
    }))
    nearest.sort((a, b) => a.distance - b.distance)
    for (const { entry, distance } of nearest) {
      tokens += lengthOf(entry)
      const joins = this.mixes_lengths ? lengthOf(entry) <= longestLike(longest) : distance === 0
      if (tokens > this.max_tokens || !joins) break
      batch.push(entry)
    }
    return batch
  }

  /**
   * A few batches' worth of rows in the order of their turns. The first `due` of them go before all others: single rows,
   * and one turn of each large call that has waited longer than one of those. Where there are large calls only, all are.
   */
  private window(lane: Lane): { rows: Entry[]; due: number } {
    const rows: Entry[] = []
    const limit = LOOKAHEAD * this.max_tokens
    let tokens = 0
    let due = 0
    const oneTurn = (place: Place, from: number): number => {
      let next = from
      for (let given = 0; given < QUANTUM && next < place.rows.length; next++) {
        const entry = place.rows[next] as Entry
        rows.push(entry)
        given += lengthOf(entry)
        tokens += lengthOf(entry)
      }
      return next
    }
    const open: { place: Place; next: number }[] = []
    for (const place of lane.inOrder()) {
      if (tokens >= limit) break
      open.push({ place, next: oneTurn(place, 0) })
      if (!place.large) due = rows.length
    }
    for (let before = -1; tokens < limit && before < tokens;) {
      before = tokens
      for (const each of open) each.next = oneTurn(each.place, each.next)
    }
    if (due > 0) return { rows, due }
    // Whichever of them has rows of the length that goes: all have had their turn.
    for (const place of lane.large) place.turn = this.turn + 1
    return { rows, due: rows.length }
  }

  private remove(lane: Lane, batch: readonly Entry[]): void {
    const taken = new Set<Waiting>(batch)
    this.rows -= batch.length
    for (const entry of batch) this.tokens -= lengthOf(entry)
    for (const place of new Set(batch.map((entry) => entry.place))) {
      place.rows = place.rows.length === 1 ? [] : place.rows.filter((entry) => !taken.has(entry))
      place.turn = this.turn
      place.large = true
      lane.single.delete(place)
      lane.large.delete(place)
      if (place.rows.length > 0) lane.large.add(place)
    }
  }
}

function lengthOf(entry: Waiting | undefined): number {
  return entry?.row.ids.length ?? 0
}
