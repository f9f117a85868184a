import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const ROOT = join(__dirname, '..', '..')

/** The service of the README, as it stands there, on a free port. */
async function startService(): Promise<{ child: ChildProcess; url: string; stderr: () => string }> {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const source = /```js\n(import Fastify[\s\S]*?)```/.exec(readme)?.[1]
  assert.ok(source, 'the README shows a fastify service')
  // Inside the package, so that it imports itself by name as a user's file would.
  const folder = join(ROOT, 'build', 'readme')
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'service.mjs')
  writeFileSync(path, source)
  const child = spawn(process.execPath, [path], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /Server listening at (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1]
    if (url !== undefined) {
      child.stdout.resume()
      return { child, url, stderr: () => stderr }
    }
  }
  throw new Error(`the service ended before it listened: ${stderr}`)
}

describe('the README', () => {
  it('shows a service that answers, refuses, survives clients that hang up, and ends on SIGTERM', async () => {
    const { child, url, stderr } = await startService()
    const post = (body: unknown, signal?: AbortSignal): Promise<Response> =>
      fetch(`${url}/sentiment`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        ...(signal ? { signal } : {}),
      })
    const answer = (await (await post({ text: 'I love this restaurant!' })).json()) as Record<string, unknown>
    assert.equal(answer.label, 'positive')
    assert.equal(answer.truncated, false)
    assert.equal((await post({})).status, 400)

    const callers = Array.from({ length: 20 }, () => new AbortController())
    const requests = callers.map(({ signal }, i) => post({ text: `Text ${i} `.repeat(400) }, signal))
    const hangUp = (async () => {
      await once(child.stdout ?? child, 'data')
      for (const caller of callers.slice(10)) caller.abort()
    })()
    const outcomes = await Promise.allSettled(requests)
    await hangUp
    for (const outcome of outcomes.slice(0, 10)) {
      assert.equal(outcome.status === 'fulfilled' && outcome.value.status, 200)
    }

    child.kill('SIGTERM')
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
    assert.equal(signal, null)
    assert.equal(code, 0, stderr())
  })
})
