/** The items of the highest keys, however many are offered; of equal keys the earlier stays. */
export class Top<Item> {
  readonly #limit: number
  readonly #kept: { key: number; item: Item }[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  /** @param item makes the item; called only where it is kept */
  offer(key: number, item: () => Item): void {
    const kept = this.#kept
    if (kept.length === this.#limit && key <= (kept.at(-1)?.key ?? -Infinity)) return
    let place = kept.length
    while (place > 0 && key > (kept[place - 1]?.key ?? Infinity)) place -= 1
    kept.splice(place, 0, { key, item: item() })
    if (kept.length > this.#limit) kept.pop()
  }

  /** The items, the highest key first. */
  items(): Item[] {
    return this.#kept.map(({ item }) => item)
  }
}
