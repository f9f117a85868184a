import { weightedMean } from './classification'
import { ElectraError } from './errors'
import type { Started } from './in-order'
import type { ClassifySettings } from './options'
import { Pacer } from './pacer'
import type { Call, Scheduler } from './scheduler'
import { windows, type Encoding, type Tokenizer } from './tokenizer'
import type { Classification, TextInput } from './types'

/** A text longer than this is tokenized in steps, with turns of the event loop between them. */
const ONE_STEP_CHARS = 4096

const pacer = new Pacer()

/** The way of one text: turns of the event loop, tokens, windows, rows, and a result of their logits. */
export class TextScorer<Label extends string> {
  /** @param classification_ makes a result of logits */
  constructor(
    private readonly tokenizer_: Tokenizer,
    private readonly scheduler_: Scheduler,
    private readonly classification_: (
      logits: number[],
      num_tokens: number,
      truncated: boolean,
    ) => Classification<Label>,
  ) {}

  /** Tokenizes a text and submits its rows; the result comes when they are scored. */
  async start(
    text: TextInput,
    settings: ClassifySettings,
    call: Call,
  ): Promise<Started<Classification<Label>>> {
    const { max_length, long_text } = settings
    const arrived = performance.now()
    const pause = pacer.turn(call.priority)
    if (pause) {
      await pause
      // Much may have come in the meantime, and the caller may be gone.
      if (call.ended) throw new Error('The call was cancelled.')
      this.scheduler_.refuseIfFull(call)
    }
    const encoding = await this.encode(text, long_text === 'window' ? Infinity : max_length, call)
    const num_tokens = encoding.ids.length
    if (encoding.truncated && long_text === 'error') {
      throw new ElectraError(
        'INPUT_TOO_LONG',
        typeof text === 'string'
          ? `The text that begins ${beginning(text)} has more than ${max_length} tokens; shorten it, or pass long_text: 'truncate' or 'window'.`
          : `The pair that begins ${beginning(text.text)} and ${beginning(text.text_pair)} has more than ${max_length} tokens; shorten it, or pass long_text: 'truncate'.`,
      )
    }
    if (num_tokens <= max_length) {
      const result = this.scheduler_
        .submit(encoding, call, arrived)
        .then((logits) => this.classification_(Array.from(logits), num_tokens, encoding.truncated))
      return { cost: num_tokens, result }
    }
    const parts = windows(encoding.ids, max_length)
    const scored = Promise.all(parts.map((part) => this.scheduler_.submit(part, call, arrived)))
    const result = scored.then((rows) => {
      const weights = parts.map((part) => part.weight)
      return this.classification_(weightedMean(rows, weights), num_tokens, false)
    })
    return { cost: num_tokens, result }
  }

  /** Long texts are tokenized in steps, with turns of the event loop between them. */
  private async encode(text: TextInput, max_length: number, call: Call): Promise<Encoding> {
    const length = typeof text === 'string' ? text.length : text.text.length + text.text_pair.length
    if (length <= ONE_STEP_CHARS) return this.tokenizer_.encode(text, max_length)
    const steps = this.tokenizer_.encodeInSteps(text, max_length)
    for (;;) {
      const step = steps.next()
      if (step.done) return step.value
      if (call.ended) throw new Error('The call was cancelled.')
      await pacer.turn(call.priority)
    }
  }
}

/** The beginning of a text, as a message quotes it. */
function beginning(text: string): string {
  return JSON.stringify(text.slice(0, 40))
}
