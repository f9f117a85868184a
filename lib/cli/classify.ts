import { once } from 'node:events'
import { SingleBar } from 'cli-progress'
import { ElectraClassifier } from '../classifier'
import type { LoadOptions } from '../types'
import { EXIT_SIGINT, EXIT_SIGTERM, UsageError } from './failure'
import { openInput, type Input } from './input'
import { createWriter, type Format } from './output'

export interface ClassifyFlags {
  file?: string
  column?: string
  format: Format
  model?: string
  device?: LoadOptions['device']
  dtype?: LoadOptions['dtype']
  threads?: number
  topK?: number
}

/** `electra-classifier classify`: texts in, one line each out, in order and in bounded memory. */
export async function classify(texts: readonly string[], flags: ClassifyFlags): Promise<void> {
  const input = openInput(texts, flags.file, flags.column)
  endQuietly()
  const { device, dtype, threads } = flags
  const classifier = await ElectraClassifier.load<string>(flags.model as string, {
    ...(device === undefined ? {} : { device }),
    ...(dtype === undefined ? {} : { dtype }),
    ...(threads === undefined ? {} : { threads }),
  })
  const { labels } = classifier
  if (flags.topK !== undefined && flags.topK > labels.length) {
    throw new UsageError(
      `--top-k is ${flags.topK}, but the model has ${labels.length} labels (${labels.join(', ')}).`,
    )
  }
  const columns = process.stdout.isTTY ? process.stdout.columns : undefined
  const writer = createWriter(flags.format, labels, flags.topK, columns)
  const progress = startProgress(input)
  // The stream gives results in order, so the texts that are under way are a queue beside it.
  const under_way: string[] = []
  async function* source(): AsyncGenerator<string> {
    for await (const text of input.texts) {
      under_way.push(text)
      yield text
    }
  }
  let truncated = 0
  try {
    await write(writer.header)
    for await (const result of classifier.classifyStream(source())) {
      if (result.truncated) truncated++
      await write(writer.line(under_way.shift() ?? '', result))
      progress.advance()
    }
  } finally {
    progress.stop()
    await classifier.close()
  }
  if (truncated > 0) {
    const were = truncated === 1 ? '1 text was' : `${truncated} texts were`
    const limit = classifier.config.max_position_embeddings
    process.stderr.write(`electra-classifier: ${were} longer than ${limit} tokens and cut there.\n`)
  }
}

async function write(text: string): Promise<void> {
  if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain')
}

/** Ctrl-C and a closed pipe end the command without a word; what was printed is already out. */
function endQuietly(): void {
  process.once('SIGINT', () => process.exit(EXIT_SIGINT))
  process.once('SIGTERM', () => process.exit(EXIT_SIGTERM))
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // The reader has what it wanted (`… | head -1`): with `pipefail` this must not count as a failure.
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
}

interface Progress {
  advance: () => void
  stop: () => void
}

/** On stderr, where that is a terminal and the results go elsewhere; otherwise the two would mix. */
function startProgress(input: Input): Progress {
  if (!process.stderr.isTTY || process.stdout.isTTY || Array.isArray(input.texts)) {
    return { advance: () => undefined, stop: () => undefined }
  }
  const { total_bytes, bytesRead } = input
  const known = total_bytes !== undefined && bytesRead !== undefined
  const format = known
    ? '{bar} {percentage} % | {texts} texts, {rate}/s | {eta_formatted} left'
    : '{texts} texts, {rate}/s'
  const bar = new SingleBar({ format, stream: process.stderr, hideCursor: null, clearOnComplete: true })
  const started = performance.now()
  let texts = 0
  bar.start(total_bytes ?? 0, 0, { texts, rate: 0 })
  return {
    advance: () => {
      texts++
      const rate = Math.round(texts / ((performance.now() - started) / 1000))
      bar.update(Math.min(bytesRead?.() ?? 0, total_bytes ?? 0), { texts, rate })
    },
    stop: () => {
      bar.stop()
    },
  }
}
