import { once } from 'node:events'
import type { ElectraClassifier } from '../classifier'
import type { TextInput } from '../types'
import { InputError } from './endings'
import { fromArguments, fromFile, fromStdin, MAX_TEXT_CHARS, type Input } from './input'
import { loadModel, type ModelArguments } from './load-model'
import { writerOf, type Format } from './output'
import { Progress } from './progress'

export interface ClassifyArguments extends ModelArguments {
  file?: string
  column?: string
  pairColumn?: string
  format: Format
  topK?: number
}

/** Scores texts from the arguments, a file or stdin, and prints a line for each as soon as it is known. */
export async function classify(
  texts: readonly string[],
  given: ClassifyArguments,
  signal: AbortSignal,
): Promise<void> {
  const input = await openInput(texts, given)
  const classifier = await loadModel(given, signal)
  const { labels, config, info } = classifier
  if (given.topK !== undefined && given.topK > labels.length) {
    throw new InputError(`--top-k ${given.topK} is too many: the model has ${labels.length} labels.`)
  }
  if (given.pairColumn !== undefined && !info.takes_pairs) {
    throw new InputError(`--pair-column needs a model that takes pairs, and ${info.source} takes none.`)
  }
  const num_truncated = await score(classifier, input, given, texts.length === 0, signal)
  if (num_truncated > 0) {
    const which = num_truncated === 1 ? 'One text was' : `${num_truncated} texts were`
    process.stderr.write(
      `electra-classifier: ${which} longer than the model's ${config.max_position_embeddings} tokens; only the beginning was scored.\n`,
    )
  }
  await classifier.close()
}

async function openInput(
  texts: readonly string[],
  { file, column, pairColumn }: ClassifyArguments,
): Promise<Input> {
  if (texts.length > 0) {
    if (file !== undefined) throw new InputError('Give either TEXT or --file, not both.')
    if (column !== undefined) throw new InputError('--column goes with --file or stdin, not with TEXT.')
    if (pairColumn !== undefined)
      throw new InputError('--pair-column goes with --file or stdin, not with TEXT.')
    return fromArguments(texts)
  }
  if (file !== undefined) return fromFile(file, column, pairColumn)
  if (process.stdin.isTTY) {
    throw new InputError(
      'There is nothing to classify: give TEXT, or --file FILE, or pipe texts in (see electra-classifier classify --help).',
    )
  }
  return fromStdin(column, pairColumn)
}

/** @returns how many texts were truncated */
async function score(
  classifier: ElectraClassifier,
  input: Input,
  { format, topK, pairColumn }: ClassifyArguments,
  many: boolean,
  signal: AbortSignal,
): Promise<number> {
  const { stdout, stderr } = process
  const width = (): number | undefined => (stdout.isTTY ? stdout.columns : undefined)
  const writer = writerOf(format, classifier.labels, topK, width, pairColumn !== undefined)
  const write = async (line: string): Promise<void> => {
    if (!stdout.write(line)) await once(stdout, 'drain', { signal })
  }
  // Results come in the order of the texts, so those that are under way wait in a queue beside them.
  const waiting: { input: TextInput; bytes: number }[] = []
  const texts = async function* (): AsyncGenerator<TextInput> {
    for await (const row of input.rows) {
      const { text, text_pair, bytes } = row
      const given = text_pair === undefined ? text : { text, text_pair }
      waiting.push({ input: given, bytes })
      yield given
    }
  }
  // Results on the same terminal show how far it is, and a bar between them would garble both.
  const progress = many && stderr.isTTY && !stdout.isTTY ? new Progress(input.total) : undefined
  let num_truncated = 0
  try {
    if (writer.head) await write(writer.head)
    for await (const result of classifier.classifyStream(texts(), {
      signal,
      max_text_chars: MAX_TEXT_CHARS,
    })) {
      const { input: given, bytes } = waiting.shift() ?? { input: '', bytes: 0 }
      if (result.truncated) num_truncated += 1
      await write(writer.line(given, result))
      progress?.advance(bytes)
    }
  } finally {
    progress?.stop()
  }
  return num_truncated
}
