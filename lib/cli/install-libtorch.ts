import { installLibtorch, megabytes, type InstallProgress, type PlanSizes } from '../libtorch/install'
import type { Variant } from '../libtorch/variants'
import { Bar } from './bar'

/** What the command was given. */
export interface InstallArguments {
  variant?: Variant
  from?: string
  dir?: string
  /** Also the C++ headers, which building takes. */
  headers?: boolean
}

/** Brings a libtorch, and says what comes before it does. */
export async function install(
  { variant, from, dir, headers = false }: InstallArguments,
  signal: AbortSignal,
): Promise<void> {
  const bar = process.stderr.isTTY ? new Bar() : undefined
  try {
    const { libtorch, entry, was_there } = await installLibtorch({
      variant,
      from,
      folder: dir,
      headers,
      signal,
      on_plan: (sizes) => process.stderr.write(announcement(sizes)),
      on_progress: (progress) => bar?.draw(lineOf(progress), share(progress)),
    })
    bar?.clear()
    const { version, build } = libtorch
    const what = `libtorch ${version} (${build}) ${was_there ? 'was there already' : 'is installed'}: ${entry}`
    process.stdout.write(`${what}\n`)
    if (dir !== undefined) process.stdout.write(`It is used where the environment says LIBTORCH=${entry}\n`)
  } finally {
    bar?.clear()
  }
}

function announcement({ version, variant, wheels, download, disk, left_out, folder }: PlanSizes): string {
  const count = wheels.length === 1 ? '' : ` in ${wheels.length} wheels`
  return [
    `libtorch ${version} (${variant}) for ${folder}`,
    `${download > 0 ? megabytes(download) : 'nothing'} to download${count}, ${megabytes(disk)} on the disk; ${megabytes(left_out)} that only Python and compilers use are left out`,
    '',
  ].join('\n')
}

function lineOf({ doing, wheel, loaded, total }: InstallProgress): string {
  return `${doing === 'download' ? 'downloading' : 'unpacking'} ${wheel}  ${megabytes(loaded)} of ${megabytes(total)}`
}

function share({ loaded, total }: InstallProgress): number {
  return total > 0 ? loaded / total : 1
}
