/* What `npm ci` ends with: tools, libtorch, addon, TypeScript. Each step that has nothing to do takes no time. */
import { chmodSync, existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { findLibtorch } from '../lib/libtorch'
import { buildNative } from './build-native'
import { bundle } from './bundle'
import { describeFetched, fetchLibtorch } from './fetch-libtorch'
import { CommandFailed, runCommand } from '../lib/run-command'
import { missingTools } from '../lib/build-tools'

const ROOT = resolve(__dirname, '..')

async function prepare(): Promise<void> {
  const { found } = await findLibtorch(undefined, { for_building: true })
  const missing = await missingTools({ python: !found })
  if (missing.length) throw new Error(missing.join('\n'))

  const libtorch = await step(async () => {
    const fetched = await fetchLibtorch()
    return { result: fetched, line: describeFetched(fetched) }
  })
  await step(async () => {
    const compiled = await buildNative(libtorch, () => {
      console.error('compiling the addon, which takes a minute or two')
    })
    return { result: compiled, line: compiled ? 'addon compiled' : 'addon up to date' }
  })
  await step(async () => {
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
    await runCommand(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: ROOT })
    const main = join(ROOT, 'dist', 'cli', 'main.js')
    if (existsSync(main)) chmodSync(main, 0o755)
    return { result: main, line: 'TypeScript compiled' }
  })
  await step(async () => {
    const packages = await bundle()
    return { result: packages, line: `${packages.length} packages bundled` }
  })
}

/** Standard error is what npm leaves visible in every version, so each step says there what it did. */
async function step<T>(work: () => Promise<{ result: T; line: string }>): Promise<T> {
  const start = performance.now()
  const { result, line } = await work()
  console.error(`${line} (${((performance.now() - start) / 1000).toFixed(1)} s)`)
  return result
}

prepare().catch((error: unknown) => {
  if (error instanceof CommandFailed) console.error(error.output)
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
