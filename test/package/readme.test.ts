import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const ROOT = join(__dirname, '..', '..')

/** A service of the README, as it stands there, on a free port. */
async function startService(
  name: string,
  beginning: string,
  listening: RegExp,
): Promise<{ child: ChildProcess; port: string; stderr: () => string }> {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const blocks = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
  const source = blocks.find((block) => block.startsWith(beginning))
  assert.ok(source, `the README shows a service that begins ${beginning}`)
  // Inside the package, so that it imports itself by name as a user's file would.
  const folder = join(ROOT, 'build', 'readme')
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${name}.mjs`)
  writeFileSync(path, source)
  const child = spawn(process.execPath, [path], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  for await (const line of createInterface({ input: child.stdout })) {
    const port = listening.exec(line)?.[1]
    if (port !== undefined) {
      child.stdout.resume()
      return { child, port, stderr: () => stderr }
    }
  }
  throw new Error(`the service ended before it listened: ${stderr}`)
}

async function endsWell(child: ChildProcess, stderr: () => string): Promise<void> {
  child.kill('SIGTERM')
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  assert.equal(signal, null)
  assert.equal(code, 0, stderr())
}

describe('the README', () => {
  it('shows a service that answers, refuses, survives clients that hang up, and ends on SIGTERM', async () => {
    const { child, port, stderr } = await startService(
      'fastify',
      'import Fastify',
      /Server listening at http:\/\/127\.0\.0\.1:(\d+)/,
    )
    const url = `http://127.0.0.1:${port}`
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

    const stats = (await (await fetch(`${url}/stats`)).json()) as Record<string, unknown>
    assert.equal(stats.refused, 0)
    assert.ok(Number(stats.texts) >= 11)
    await endsWell(child, stderr)
  })

  it('shows a service on plain http that does the same, and answers what is under way on SIGTERM', async () => {
    const { child, port, stderr } = await startService(
      'http',
      "import { createServer } from 'node:http'",
      /listening on (\d+)/,
    )
    const post = (body: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}`, { method: 'POST', body })
    const answer = (await (await post('I love this restaurant!')).json()) as Record<string, unknown>
    assert.equal(answer.label, 'positive')
    const long = await post('a'.repeat(100_001))
    assert.deepEqual([long.status, await long.json()], [413, { error: 'TOO_LONG' }])

    // One is answered, so the service has all ten when it is told to end.
    const requests = Array.from({ length: 10 }, (_, i) => post(`Text ${i} `.repeat(400)))
    await Promise.race(requests)
    await endsWell(child, stderr)
    for (const { status } of await Promise.all(requests)) assert.equal(status, 200)
  })
})
