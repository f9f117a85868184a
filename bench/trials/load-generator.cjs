'use strict'
// One process of `bench/load.ts`: callers that ask again when they are answered (closed loop), requests that come when
// they come (open loop), or an array of 100,000 texts with single texts beside it. Every answer is checked against what
// its text alone gives.
const { subscribe } = require('node:diagnostics_channel')
const { monitorEventLoopDelay } = require('node:perf_hooks')
const { setTimeout: sleep } = require('node:timers/promises')
const { engine } = require('./engines.cjs')
const texts = require('./texts.cjs')

const WARM_UP_MS = 1000
/** How long the last requests of an open loop may take after it. */
const PATIENCE_MS = 15_000
/** The classifier's own budget on a CPU. */
const BATCH_TOKENS = 1024

const seconds = Number(process.env.BENCH_SECONDS)
const count = Number(process.env.BENCH_COUNT)

/** The same numbers from 0 to 1 in each run. */
function random(seed) {
  let state = seed
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
}

function percentile(values, share) {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null
}

const spread = (values) => ({
  p50_ms: percentile(values, 0.5),
  p90_ms: percentile(values, 0.9),
  p99_ms: percentile(values, 0.99),
  max_ms: percentile(values, 1),
})

/** What each text gives by itself, so that an answer that went to somebody else is noticed. */
async function expectations(score, some) {
  const expected = new Map()
  for (const text of some) expected.set(text, (await score(text)).logits)
  return (text, { logits }) =>
    expected.get(text).every((logit, index) => Math.abs(logit - logits[index]) < 1e-3)
}

async function closedLoop(score) {
  const callers = Number(process.env.BENCH_CALLERS)
  const some = texts.stream()
  const isOwn = await expectations(score, some)
  const next = random(1)
  const latencies = []
  const answered = new Array(callers).fill(0)
  let wrong = 0
  const begin = performance.now() + WARM_UP_MS
  const end = begin + seconds * 1000
  const caller = async (_, number) => {
    for (;;) {
      const text = some[Math.floor(next() * some.length)]
      const asked = performance.now()
      if (asked >= end) return
      const result = await score(text)
      const now = performance.now()
      if (!isOwn(text, result)) wrong++
      if (now < begin || now > end) continue
      latencies.push(now - asked)
      answered[number]++
    }
  }
  await Promise.all(answered.map(caller))
  const [least, most] = [Math.min(...answered), Math.max(...answered)]
  return { texts_per_second: latencies.length / seconds, ...spread(latencies), least, most, wrong }
}

/** Full batches without a queue, two in flight: as many texts a second as the engine can do. */
async function fullBatches(forward, lengthOf) {
  const some = texts.stream()
  const next = random(1)
  const end = performance.now() + seconds * 1000
  let answered = 0
  const lane = async () => {
    while (performance.now() < end) {
      const batch = []
      for (let tokens = 0; ;) {
        const text = some[Math.floor(next() * some.length)]
        tokens += lengthOf(text)
        if (tokens > BATCH_TOKENS) break
        batch.push(text)
      }
      await forward(batch)
      answered += batch.length
    }
  }
  const begin = performance.now()
  await Promise.all([lane(), lane()])
  return { texts_per_second: (answered / (performance.now() - begin)) * 1000 }
}

async function openLoop(score) {
  const rate = Number(process.env.BENCH_RATE)
  const some = texts.stream()
  const isOwn = await expectations(score, some)
  const next = random(2)
  const gap = () => (-Math.log(1 - next()) * 1000) / rate
  const latencies = []
  const refusals = []
  const settled = []
  let wrong = 0
  const ask = (due, number) => {
    const text = some[Math.floor(next() * some.length)]
    const asked = performance.now()
    settled[number] = 0
    return score(text).then(
      (result) => {
        settled[number]++
        if (!isOwn(text, result)) wrong++
        // From when it was due, so that a generator that is late hides nothing.
        latencies.push(performance.now() - due)
      },
      (error) => {
        settled[number]++
        if (error.code !== 'QUEUE_FULL') throw error
        refusals.push(performance.now() - asked)
      },
    )
  }
  const requests = []
  const begin = performance.now()
  const end = begin + seconds * 1000
  let due = begin + gap()
  while (due < end && requests.length < count) {
    const wait = due - performance.now()
    if (wait > 0) await sleep(wait)
    for (const now = Math.min(performance.now(), end); due <= now; due += gap())
      requests.push(ask(due, requests.length))
  }
  const sent = requests.length
  const sent_ms = performance.now() - begin
  const late = sleep(PATIENCE_MS, 'late', { ref: false })
  await Promise.race([Promise.all(requests), late])
  return {
    rate: (sent / sent_ms) * 1000,
    sent,
    answered: latencies.length,
    refused: refusals.length,
    lost: settled.filter((times) => times === 0).length,
    doubled: settled.filter((times) => times > 1).length,
    wrong,
    texts_per_second: (latencies.length / (performance.now() - begin)) * 1000,
    ...spread(latencies),
    refusal_p99_ms: percentile(refusals, 0.99),
    refusal_max_ms: percentile(refusals, 1),
  }
}

/** Single texts, one after the other, beside one call of many; and how late the event loop was. */
async function largeCall(score, classifier) {
  const some = texts.stream()
  const isOwn = await expectations(score, some)
  const many = Array.from({ length: count }, (_, index) => some[index % some.length])
  let batches = 0
  subscribe('electra-classifier:batch', () => batches++)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  await sleep(100)
  delay.enable()
  const begin = performance.now()
  let done = false
  const large = classifier.classify(many).finally(() => (done = true))
  const latencies = []
  const waited = []
  const next = random(3)
  let wrong = 0
  while (!done) {
    await sleep(50 + 100 * next())
    if (done) break
    const text = some[Math.floor(next() * some.length)]
    const [asked, before] = [performance.now(), batches]
    if (!isOwn(text, await score(text))) wrong++
    latencies.push(performance.now() - asked)
    // Without its own.
    waited.push(batches - before - 1)
  }
  const results = await large
  const took = performance.now() - begin
  delay.disable()
  results.forEach((result, index) => {
    if (!isOwn(many[index], result)) wrong++
  })
  return {
    texts: results.length,
    texts_per_second: (results.length / took) * 1000,
    singles: latencies.length,
    ...spread(latencies),
    batches_before_max: Math.max(...waited),
    delay_p99_ms: delay.percentile(99) / 1e6,
    delay_max_ms: delay.max / 1e6,
    wrong,
  }
}

async function main() {
  const { score, classifier, forward, lengthOf } = await engine()
  const loops = { closed: closedLoop, open: openLoop, large: largeCall }
  const result = forward
    ? await fullBatches(forward, lengthOf)
    : await loops[process.env.BENCH_LOOP](score, classifier)
  console.log(JSON.stringify(result))
  // Requests that nobody waits for any more may still be under way.
  process.exit(0)
}

void main()
