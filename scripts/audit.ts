/**
 * `npm run audit`: fails where npm knows of a vulnerability in a dependency, of development too. A registry that has no
 * audit endpoint, or none that can be reached, is no failure: that is said instead.
 */
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'

interface Report {
  message?: string
  error?: { summary?: string }
  metadata?: { vulnerabilities?: { total?: number } }
}

const { stdout, error } = spawnSync('npm', ['audit', '--json'], {
  cwd: resolve(__dirname, '..'),
  encoding: 'utf8',
  shell: process.platform === 'win32',
})
if (error) throw error
const report = JSON.parse(stdout) as Report
const total = report.metadata?.vulnerabilities?.total
if (total === undefined) {
  const reason = [report.error?.summary, report.message].find(Boolean) ?? 'it said nothing'
  // The address may be one that only this machine has.
  console.log(`skipped: the registry answers no audit (${reason.replace(/\s*-?\s*\w+ https?:\S+/, '')})`)
} else if (total === 0) {
  console.log('npm audit: no known vulnerability')
} else {
  console.error(stdout)
  console.error(`npm audit: ${total} known vulnerabilities; see above.`)
  process.exitCode = 1
}
