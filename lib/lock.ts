import { mkdir, open, readFile, rm, stat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

const POLL_MS = 200
/** How often a holder shows that it lives, and how long after its last sign it counts as gone. */
const HEARTBEAT_MS = 3_000
const GONE_MS = 30_000

/**
 * Runs `work` while no other process that asks for the same lock does. The lock is a file that says who holds
 * it; one whose holder is gone is taken over. It saves work and no more: what it guards must stand two holders
 * at once, because a process that was stopped for a while may come back to a lock that it has lost.
 *
 * @param waiting called now and then while another process holds it; true ends the wait without the lock
 * @returns what `work` returns, or undefined where `waiting` ended it
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  waiting: () => Promise<boolean>,
  work: () => Promise<T>,
): Promise<T | undefined> {
  await mkdir(dirname(path), { recursive: true })
  let sign = { mtime: Number.NaN, seen: 0 }
  while (!(await take(path))) {
    if (await waiting()) return undefined
    const mtime = (await stat(path).catch(() => undefined))?.mtimeMs
    // By our own clock: that of the machine at the other end of a shared disk may be another.
    if (mtime !== sign.mtime) sign = { mtime: mtime ?? Number.NaN, seen: performance.now() }
    if (performance.now() - sign.seen > GONE_MS || (await holderIsGone(path))) await rm(path, { force: true })
    else await wait(POLL_MS, undefined, signal ? { signal } : {})
  }
  const heartbeat = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => undefined)
  }, HEARTBEAT_MS)
  heartbeat.unref()
  try {
    return await work()
  } finally {
    clearInterval(heartbeat)
    await rm(path, { force: true })
  }
}

async function take(path: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx')
    await handle.writeFile(`${process.pid} ${hostname()}\n`).finally(() => handle.close())
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** A crash leaves its lock behind; on the same machine that shows at once. */
async function holderIsGone(path: string): Promise<boolean> {
  const [, pid, host] = /^(\d+) (.*)\n$/.exec(await readFile(path, 'utf8').catch(() => '')) ?? []
  if (pid === undefined || host !== hostname()) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'
  }
}
