import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../lib/libtorch'
import { runCommand } from '../lib/run-command'

/**
 * A package from npm that only tests and checks use, in the user's cache; none of its scripts is run.
 *
 * @returns its folder; undefined where it cannot be had
 */
export async function npmTool(name: string, version: string): Promise<string | undefined> {
  const folder = join(cacheFolder(), 'test-tools', `${name.replace(/^@/, '').replace('/', '-')}-${version}`)
  const tool = join(folder, 'node_modules', name)
  if (existsSync(join(folder, 'complete'))) return tool
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline']
  try {
    await runCommand('npm', [...args, `${name}@${version}`], { cwd: folder })
  } catch {
    return undefined
  }
  writeFileSync(join(folder, 'complete'), '')
  return tool
}

/** The `node` of a release, from npm's package for this platform; undefined where it cannot be had. */
export async function nodeBinary(version: string): Promise<string | undefined> {
  const windows = process.platform === 'win32'
  const tool = await npmTool(`node-${windows ? 'win' : process.platform}-${process.arch}`, version)
  const path = tool && join(tool, 'bin', windows ? 'node.exe' : 'node')
  return path !== undefined && existsSync(path) ? path : undefined
}
