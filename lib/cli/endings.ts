/** Something that the user gave cannot be used: an option, a file, a row. Ends with exit code 2. */
export class InputError extends Error {}

/** The command ends before its work is done, without an error: nothing is printed. */
export class Ended extends Error {
  constructor(readonly exit_code: number) {
    super(`ends with exit code ${exit_code}`)
  }
}

/** Results cannot be written any more, and not because their reader left. */
export class OutputError extends Error {}

/**
 * Aborts when the process is asked to end, and when nobody reads its output any more.
 *
 * @returns a signal whose reason is an {@link Ended} or an {@link OutputError}
 */
export function watchForEnd(): AbortSignal {
  const controller = new AbortController()
  const end = (reason: Ended | OutputError): void => {
    controller.abort(reason)
  }
  // Shells report 128 + the signal's number for a process that a signal ended; so do we, for whoever started
  // us without a shell sees the same number. The second signal does not wait for anything.
  for (const [name, exit_code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(exit_code)
      end(new Ended(exit_code))
    })
  }
  // A reader that has seen enough (`| head -1`) is no failure, so that a script under `pipefail` goes on.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    end(
      error.code === 'EPIPE'
        ? new Ended(0)
        : new OutputError(`The output cannot be written: ${error.message}.`),
    )
  })
  // Notes that nobody reads are no reason to stop.
  process.stderr.on('error', () => undefined)
  return controller.signal
}
