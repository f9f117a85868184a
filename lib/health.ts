import { areNumbers } from './classification'
import { ElectraError } from './errors'
import type { Forward } from './scheduler'

/** The part of the native model that its health is read from. */
export interface Watched {
  forward: Forward
  /** The batch that runs now, and for how long. */
  running: () => { call: number; ms: number } | undefined
  /** Rejects a batch that hangs, and all later ones. */
  giveUp: (call: number) => boolean
}

/**
 * Times that a running batch is looked at before it counts as hung. A process that was stopped for minutes (SIGSTOP, a
 * paused container) goes on with one look, so that a batch that could not run is not taken for one that hangs.
 */
const LOOKS = 8

/** A row that every model takes: the one that it was warmed up with. */
const PROBE = { input_ids: Int32Array.of(0), cu_seqlens: Int32Array.of(0, 1) }

/**
 * Runs batches, and tells a model that can score nothing any more from a batch that it cannot score. After a failure it
 * runs a row that is known to work, before anybody hears of the failure: where that fails too, the model is at fault, and
 * for good; else it was the batch, whose callers alone are told.
 */
export class Health {
  private in_flight = 0
  private watch: NodeJS.Timeout | undefined
  private probing: Promise<void> | undefined
  private failed: ElectraError | undefined

  /**
   * @param watchdog_ms how long a batch may run, from its own start
   * @param onUnhealthy called once, with the error for whoever waits or comes later
   */
  constructor(
    private readonly model: Watched,
    private readonly watchdog_ms: number,
    private readonly onUnhealthy: (reason: ElectraError) => void,
  ) {}

  get healthy(): boolean {
    return this.failed === undefined
  }

  /** As the model's own; rows whose logits are no numbers are among the result. */
  readonly forward: Forward = async (input_ids, cu_seqlens, token_type_ids) => {
    this.startWatch()
    try {
      const logits = await this.model.forward(input_ids, cu_seqlens, token_type_ids)
      const rows = cu_seqlens.length - 1
      const width = logits.length / rows
      for (let row = 0; row < rows; row++) {
        if (areNumbers(logits.subarray(row * width, (row + 1) * width))) continue
        await this.probe()
        break
      }
      return logits
    } catch (error) {
      if (!tellsOfHealth(error)) throw error
      await this.probe()
      if (this.healthy) throw error
      throw new ElectraError(
        'FORWARD_FAILED',
        `${error.message.replace(/\.$/, '')}; the model can score nothing any more, so load it anew.`,
        { cause: error },
      )
    } finally {
      this.endWatch()
    }
  }

  private async probe(): Promise<void> {
    if (this.failed) return
    this.probing ??= this.runProbe()
    await this.probing
    this.probing = undefined
  }

  private async runProbe(): Promise<void> {
    try {
      const logits = await this.model.forward(PROBE.input_ids, PROBE.cu_seqlens, undefined)
      if (!areNumbers(logits)) this.fail(new Error('it puts out no numbers for any text'))
    } catch (error) {
      // Closed meanwhile, or out of memory: that says nothing of the model.
      if (tellsOfHealth(error)) this.fail(error)
    }
  }

  private fail(cause: Error): void {
    if (this.failed) return
    this.failed = new ElectraError(
      'UNHEALTHY',
      `The model can score nothing any more (${cause.message.replace(/\.$/, '')}); close this classifier and load a new one.`,
      { cause },
    )
    this.onUnhealthy(this.failed)
  }

  private startWatch(): void {
    if (this.in_flight++ > 0) return
    let looked_at = 0
    let looks = 0
    const look = () => {
      const running = this.model.running()
      looks = running?.call === looked_at ? looks + 1 : 1
      looked_at = running?.call ?? 0
      if (running && running.ms >= this.watchdog_ms && looks >= LOOKS) this.model.giveUp(running.call)
    }
    // It keeps nothing alive: what waits for a batch does.
    this.watch = setInterval(look, this.watchdog_ms / LOOKS).unref()
  }

  private endWatch(): void {
    if (--this.in_flight === 0) clearInterval(this.watch)
  }
}

/** Whether a failure may be the model's own; not a wrong argument, nor a lack of memory, nor a close. */
function tellsOfHealth(error: unknown): error is Error {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'FORWARD_FAILED' || error.code === 'UNHEALTHY')
  )
}
