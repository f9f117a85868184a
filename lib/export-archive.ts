import { openBinding, type ArchiveFile } from './binding'
import { ElectraError } from './errors'
import { failureOf, openSource, weightsOf } from './open-model'
import { checkSourceOptions } from './options'
import type { SourceOptions } from './types'

/**
 * Writes a checkpoint folder as one self-contained TorchScript archive: weights in fp32, config and tokenizer
 * inside, dynamic in batch and length. The file runs here on any device, and in Python with
 * `torch.jit.load(out)(input_ids, attention_mask)`, for pairs with `token_type_ids` as a third argument.
 *
 * @param source checkpoint folder or hub id; the model that ships where it is undefined
 * @param out path of the archive; an existing file is replaced, atomically
 * @param options where the model is found
 * @example
 * ```ts
 * await exportArchive('models/my-electra', 'my-electra.pt')
 * const classifier = await ElectraClassifier.load('my-electra.pt')
 * ```
 */
export async function exportArchive(
  source: string | undefined,
  out: string,
  options: SourceOptions = {},
): Promise<void> {
  const settings = checkSourceOptions(source, options)
  if (typeof out !== 'string' || out === '')
    throw new TypeError('out must be the path of the archive to write.')
  try {
    const opening = openBinding()
    const [{ addon }, { checkpoint }] = await Promise.all([opening, openSource(source, settings, opening)])
    if (checkpoint.kind !== 'checkpoint') {
      throw new ElectraError(
        'CHECKPOINT_INVALID',
        `${checkpoint.source} is an archive already; export takes a checkpoint folder.`,
      )
    }
    const encoder = new TextEncoder()
    const files: ArchiveFile[] = [...checkpoint.files].map(([name, text]) => ({
      name,
      bytes: encoder.encode(text),
    }))
    const spec = { ...weightsOf(checkpoint), device: 'cpu', dtype: 'fp32', threads: 1 } as const
    await addon.exportArchive(spec, out, files)
  } catch (error) {
    throw failureOf(error, settings.signal)
  }
}
