import { styleText } from 'node:util'
import { examine, type Check } from './doctor-checks'

/**
 * Prints what was found and what is missing.
 *
 * @returns whether texts can be scored
 */
export async function doctor(format: 'text' | 'json'): Promise<boolean> {
  const checks = new Map<string, Check>()
  for await (const [name, check] of examine()) {
    checks.set(name, check)
    if (format === 'text') process.stdout.write(lines(name, check))
  }
  const missing = [...checks.values()].find(({ ok }) => !ok)
  if (format === 'json') {
    const found = [...checks].map(([name, { ok, found: line, facts, remedy }]) => [
      name.toLowerCase().replaceAll(' ', '_'),
      { ok, found: line, ...facts, ...(remedy !== undefined && { remedy }) },
    ])
    const report = {
      ready: !missing,
      ...(missing?.remedy !== undefined && { next: missing.remedy }),
      checks: Object.fromEntries(found) as object,
    }
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  } else {
    const end = missing
      ? `${paint('red', 'not ready')}; run next: ${paint('bold', missing.remedy ?? '')}`
      : paint('green', 'ready')
    process.stdout.write(`\n${end}\n`)
  }
  return !missing
}

const NAME_WIDTH = 'default model'.length

function lines(name: string, { ok, found, details = [] }: Check): string {
  const indent = ' '.repeat('missing'.length + NAME_WIDTH + 4)
  const rest = details.map((detail) => `${indent}${detail}\n`).join('')
  const state = ok ? paint('green', 'ok'.padEnd(9)) : paint('red', 'missing'.padEnd(9))
  return `${state}${paint('bold', name.padEnd(NAME_WIDTH + 2))}${found}\n${rest}`
}

/** Colours where a terminal shows them and nobody has asked for none (https://no-color.org). */
function paint(style: 'red' | 'green' | 'bold', text: string): string {
  return process.stdout.isTTY && !process.env.NO_COLOR ? styleText(style, text) : text
}
