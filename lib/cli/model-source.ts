import type { Command } from 'commander'
import type { DownloadProgress, SourceOptions } from '../types'
import { Bar } from './bar'
import { clock } from './progress'

/** The options of every command that takes a model, as they were given. */
export interface ModelSourceArguments {
  revision?: string
  localFilesOnly?: boolean
  trustArchive?: boolean
}

/** Adds them to a command. The token is no option: whoever lists processes would see it. */
export function addModelSourceOptions(command: Command): Command {
  return command
    .option('--revision <REV>', 'branch, tag or commit of a model on the hub (default: main)')
    .option('--local-files-only', 'take a model from the cache, and ask no hub')
    .option('--trust-archive', 'allow a .pt from the hub, which can run any operator')
}

/** Loads something with the options given, and shows on stderr what is downloaded for it. */
export async function withModelSource<T>(
  { revision, localFilesOnly, trustArchive }: ModelSourceArguments,
  signal: AbortSignal,
  load: (options: SourceOptions) => Promise<T>,
): Promise<T> {
  const display = process.stderr.isTTY ? new DownloadBar() : new DownloadLines()
  try {
    return await load({
      ...(revision !== undefined && { revision }),
      ...(localFilesOnly !== undefined && { local_files_only: localFilesOnly }),
      ...(trustArchive && { trust: 'archive' as const }),
      signal,
      on_progress: (progress) => {
        display.show(progress)
      },
    })
  } finally {
    display.stop()
  }
}

/** A bar for the file that comes. */
class DownloadBar {
  #bar: Bar | undefined
  #file = ''
  #start = 0
  #loaded_before = 0

  show({ file, loaded, total }: DownloadProgress): void {
    if (file !== this.#file) {
      this.stop()
      this.#bar = new Bar()
      this.#file = file
      this.#start = performance.now()
      this.#loaded_before = loaded
    }
    const rate = (loaded - this.#loaded_before) / ((performance.now() - this.#start) / 1000 || 1)
    const left = rate > 0 ? `  ${clock((total - loaded) / rate)} left  ${megabytes(rate)}/s` : ''
    this.#bar?.draw(`${file}  ${megabytes(total)}${left}`, total > 0 ? loaded / total : 1)
  }

  stop(): void {
    this.#bar?.clear()
    this.#bar = undefined
  }
}

/** A line for each file that is whole. */
class DownloadLines {
  show({ file, loaded, total }: DownloadProgress): void {
    if (loaded === total) {
      process.stderr.write(`electra-classifier: downloaded ${file} (${megabytes(total)})\n`)
    }
  }

  stop(): void {
    // Nothing to take away.
  }
}

function megabytes(bytes: number): string {
  return bytes < 99_950 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}
