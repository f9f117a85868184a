import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { exportArchive } from '../export-archive'
import { InputError } from './endings'
import { withModelSource, type ModelSourceArguments } from './model-source'

/** Writes a checkpoint as one TorchScript archive, and says where and how big. */
export async function exportCheckpoint(
  checkpoint: string,
  out: string,
  given: ModelSourceArguments,
  signal: AbortSignal,
): Promise<void> {
  if (extname(out) !== '.pt') throw new InputError(`${out} must end in .pt, as archives are known by that.`)
  const folder = await stat(dirname(resolve(out))).catch(() => undefined)
  if (!folder?.isDirectory()) throw new InputError(`There is no folder ${dirname(resolve(out))} to write to.`)
  await refuseInput(checkpoint, out)
  await withModelSource(given, signal, (source) => exportArchive(checkpoint, out, source))
  const { size } = await stat(out)
  process.stdout.write(`wrote ${out} (${(size / 1e6).toFixed(1)} MB)\n`)
}

/** The same file may have another name: a link, or a path written in another way. */
async function refuseInput(checkpoint: string, out: string): Promise<void> {
  const target = await stat(out).catch(() => undefined)
  if (!target) return
  if (target.isDirectory()) throw new InputError(`${out} is a folder; name the file to write.`)
  // An archive inside the folder is no input: it may be an earlier export.
  const entries = await readdir(checkpoint).catch(() => [])
  const inputs = [
    checkpoint,
    ...entries.filter((name) => extname(name) !== '.pt').map((name) => join(checkpoint, name)),
  ]
  for (const input of inputs) {
    const stats = await stat(input).catch(() => undefined)
    if (stats?.dev === target.dev && stats.ino === target.ino) {
      throw new InputError(
        `${out} is ${basename(input)} of the checkpoint itself; name another file to write.`,
      )
    }
  }
}
