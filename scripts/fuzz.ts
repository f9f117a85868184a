/**
 * `npm run fuzz -- SECONDS [TARGET…]`: each fuzz target in native/fuzz (or those that are named) for so long, two at a
 * time, from its corpus in native/fuzz/corpus and what earlier runs kept in build/fuzz. What a target finds is left in
 * build/fuzz/found, and `npm run fuzz -- 0 TARGET` runs that again. Takes clang.
 */
import { mkdirSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CommandFailed, runCommand } from '../lib/run-command'
import { runScript, sanitizedBuild, sanitizedEnvironment } from './sanitized-build'

const ROOT = resolve(__dirname, '..')
const CORPUS = join(ROOT, 'native', 'fuzz', 'corpus')
const WORK = join(ROOT, 'build', 'fuzz')
/** Above what readers may take for a small file: sizes in headers are checked before memory is reserved. */
const MOST_ALLOCATED_MB = 300

const usage = new Error('usage: npm run fuzz -- SECONDS [TARGET…]')

runScript(async () => {
  const [seconds, ...named] = process.argv.slice(2)
  if (!/^\d+$/.test(seconds ?? '')) throw usage
  const all = readdirSync(CORPUS).sort()
  const unknown = named.find((target) => !all.includes(target))
  if (unknown !== undefined) throw new Error(`There is no target ${unknown}; there are ${all.join(', ')}.`)
  const build = await sanitizedBuild('address')
  const env = { ...sanitizedEnvironment(build), ASAN_OPTIONS: '' }

  const fuzz = async (target: string): Promise<string> => {
    const kept = join(WORK, target)
    const found = join(WORK, 'found', `${target}-`)
    mkdirSync(kept, { recursive: true })
    mkdirSync(join(WORK, 'found'), { recursive: true })
    const program = join(build.release, `electra_fuzz_${target}`)
    const corpus = join(CORPUS, target)
    if (seconds === '0') {
      const inputs = readdirSync(join(WORK, 'found')).filter((name) => name.startsWith(`${target}-`))
      await runCommand(
        program,
        inputs.map((name) => join(WORK, 'found', name)),
        { cwd: ROOT, env },
      )
      return `${target}: ${inputs.length} inputs that were found before pass`
    }
    const output = await runCommand(
      program,
      [
        kept,
        corpus,
        `-max_total_time=${seconds}`,
        `-malloc_limit_mb=${MOST_ALLOCATED_MB}`,
        '-timeout=30',
        '-print_final_stats=1',
        `-artifact_prefix=${found}`,
      ],
      { cwd: ROOT, env },
    )
    const runs = /number_of_executed_units: (\d+)/.exec(output)?.[1] ?? '?'
    return `${target}: ${runs} inputs, nothing found`
  }

  const waiting = named.length > 0 ? named : all
  let failed = 0
  const next = async (): Promise<void> => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      try {
        console.log(await fuzz(target))
      } catch (error) {
        if (!(error instanceof CommandFailed)) throw error
        console.error(`${error.output.slice(-6000)}\n${target}: found something; see ${join(WORK, 'found')}`)
        failed++
      }
    }
  }
  await Promise.all([next(), next()])
  if (failed > 0) throw new Error(`${failed} of the targets found something.`)
})
