import { statSync } from 'node:fs'
import { resolve, sep } from 'node:path'
import { exportArchive } from '../classifier'
import { UsageError } from './failure'

/** `electra-classifier export`: a checkpoint folder as one TorchScript archive. */
export async function exportCommand(checkpoint: string, out: string): Promise<void> {
  const [from, to] = [resolve(checkpoint), resolve(out)]
  if (!/\.pth?$/.test(to)) throw new UsageError(`The archive's name must end in .pt, and ${out} does not.`)
  const there = statSync(to, { throwIfNoEntry: false })
  if (there?.isDirectory()) throw new UsageError(`${out} is a folder; name the archive to write in it.`)
  if (from === to) throw new UsageError(`${out} is what is to be exported; name another file.`)
  await exportArchive(checkpoint, out)
  const megabytes = (statSync(to).size / 1e6).toFixed(1)
  process.stdout.write(`${to} (${megabytes} MB)\n`)
  if (to.startsWith(from + sep)) return
  process.stdout.write(`Try it: electra-classifier classify --model ${out} "I love this restaurant!"\n`)
}
