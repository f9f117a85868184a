/** Wrong usage or wrong input: what the user gave is at fault. Everything else ends with 1. */
export class UsageError extends Error {}

export const EXIT_FAILURE = 1
export const EXIT_USAGE = 2

/** The exit code that a shell reports for a signal. */
export const EXIT_SIGINT = 130
export const EXIT_SIGTERM = 143

/** Says in one sentence what went wrong, without a stack, and which exit code it means. */
export function explain(error: unknown): { message: string; code: number } {
  const message = error instanceof Error ? error.message : String(error)
  const at_fault = error instanceof UsageError || error instanceof TypeError || error instanceof RangeError
  return { message, code: at_fault || isTooLong(error) ? EXIT_USAGE : EXIT_FAILURE }
}

function isTooLong(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'INPUT_TOO_LONG'
}
