import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type Addon, fakeAddon, needsFakeCore, scratchPath, spec, until } from './fake'

/** Codes of native/core.h, and what a promise is rejected with for each. */
const CODES: [number, string, string][] = [
  [1, 'RangeError', 'ERR_OUT_OF_RANGE'],
  [2, 'Error', 'CHECKPOINT_NOT_FOUND'],
  [3, 'Error', 'CHECKPOINT_INVALID'],
  [4, 'Error', 'DEVICE_UNAVAILABLE'],
  [5, 'Error', 'MODEL_LOAD_FAILED'],
  [6, 'Error', 'FORWARD_FAILED'],
  [7, 'Error', 'OUT_OF_MEMORY'],
  [8, 'Error', 'CLOSED'],
]
/** ELECTRA_LOST: the step failed, and the model is gone for good. */
const LOST = 9

const THROWN: [string, string | undefined, string][] = [
  ['throw', undefined, 'the fake core threw in'],
  ['throw_number', undefined, 'the core threw something that is no exception'],
  ['throw_bad_alloc', 'OUT_OF_MEMORY', 'there was not enough memory'],
]

describe('faults of the core', () => {
  needsFakeCore()
  let addon: Addon
  before(async () => {
    addon = await fakeAddon()
  })

  function forward(script: string): Promise<Float32Array> {
    return addon.Model.load(spec(`forward=${script}`)).then((model) =>
      model.forward(Int32Array.of(1), Int32Array.of(0, 1)).finally(() => model.close()),
    )
  }
  const steps: [string, string, (script: string) => Promise<unknown>][] = [
    ['load', 'MODEL_LOAD_FAILED', (script) => addon.Model.load(spec(`load=${script}`))],
    ['forward', 'FORWARD_FAILED', forward],
    [
      'export',
      'MODEL_LOAD_FAILED',
      (script) => addon.exportArchive(spec(`export=${script}`), '/nowhere', []),
    ],
    ['read', 'CHECKPOINT_INVALID', (script) => addon.readArchive(`fail-${script}`)],
  ]

  for (const [step, default_code, run] of steps) {
    for (const [number, name, code] of CODES) {
      it(`${step}: code ${number} rejects with ${code}`, async () => {
        const message = `the fake core failed in ${step} with ${number}`
        await assert.rejects(run(String(number)), { name, code, message })
      })
    }
    it(`${step}: what fails for good rejects as any other failure of it`, async () => {
      await assert.rejects(run(String(LOST)), { name: 'Error', code: default_code })
    })
    it(`${step}: a code of a later core rejects with ${default_code}`, async () => {
      await assert.rejects(run('99'), {
        name: 'Error',
        code: default_code,
        message: `the fake core failed in ${step} with 99`,
      })
    })
    for (const [script, code, message] of THROWN) {
      it(`${step}: ${script} rejects and ends nothing`, async () => {
        await assert.rejects(run(script), (error: Error & { code?: string }) => {
          assert.equal(error.code, code ?? default_code)
          assert.ok(error.message.startsWith(message), error.message)
          return true
        })
      })
    }
  }

  it('refuses a model without labels, and frees it', async () => {
    const freed = scratchPath('freed')
    await assert.rejects(addon.Model.load(spec(`no_labels=1 freed=${freed}`)), {
      code: 'MODEL_LOAD_FAILED',
      message: 'the core loaded /fake without a label',
    })
    await until(() => existsSync(freed))
  })

  it('goes on after a forward that failed', async () => {
    const model = await addon.Model.load(spec('forward=6'))
    for (let i = 0; i < 3; ++i) {
      await assert.rejects(model.forward(Int32Array.of(1), Int32Array.of(0, 1)), { code: 'FORWARD_FAILED' })
    }
    await model.close()
  })

  it('runs nothing more after a forward that failed for good, and frees the model', async () => {
    const freed = scratchPath('freed')
    const model = await addon.Model.load(spec(`forward=${LOST} freed=${freed}`))
    const first = model.forward(Int32Array.of(1), Int32Array.of(0, 1))
    const queued = model.forward(Int32Array.of(1), Int32Array.of(0, 1))
    const unhealthy = {
      name: 'Error',
      code: 'UNHEALTHY',
      message: 'the model can run no batch any more, because an earlier one failed for good',
    }
    await Promise.all([assert.rejects(first, { code: 'FORWARD_FAILED' }), assert.rejects(queued, unhealthy)])
    await assert.rejects(model.forward(Int32Array.of(1), Int32Array.of(0, 1)), unhealthy)
    await model.close()
    assert.equal(readFileSync(freed, 'utf8'), 'freed\n')
  })

  it('gives up a batch that hangs: nobody waits for it, and others go on', async () => {
    const gate = scratchPath('gate')
    const model = await addon.Model.load(spec(`forward=deaf:${gate} on=1`))
    const other = await addon.Model.load(spec())
    assert.equal(model.running(), undefined)
    await model.forward(Int32Array.of(2), Int32Array.of(0, 1))
    assert.equal(model.running(), undefined)
    const hung = assert.rejects(model.forward(Int32Array.of(1), Int32Array.of(0, 1)), {
      code: 'FORWARD_FAILED',
      message: /^a batch was given up that had run for \d+\.\d s without an end$/,
    })
    const queued = assert.rejects(model.forward(Int32Array.of(2), Int32Array.of(0, 1)), { code: 'UNHEALTHY' })
    await until(() => existsSync(`${gate}.entered`))
    const { call, ms } = model.running() ?? assert.fail()
    assert.ok(ms >= 0)
    assert.equal(model.giveUp(call + 1), false)
    assert.equal(model.giveUp(call), true)
    assert.equal(model.giveUp(call), false)
    await Promise.all([hung, queued, model.close()])
    await assert.rejects(model.forward(Int32Array.of(2), Int32Array.of(0, 1)), { code: 'UNHEALTHY' })
    assert.equal((await other.forward(Int32Array.of(2), Int32Array.of(0, 1))).length, 3)
    writeFileSync(gate, '') // it wakes, and what it says finds nobody
    await until(() => model.running() === undefined)
    await other.close()
  })

  it('gives up a batch that hangs while it is being closed', async () => {
    const gate = scratchPath('gate')
    const model = await addon.Model.load(spec(`forward=deaf:${gate}`))
    const hung = assert.rejects(model.forward(Int32Array.of(1), Int32Array.of(0, 1)), {
      code: 'FORWARD_FAILED',
    })
    await until(() => existsSync(`${gate}.entered`))
    const closing = model.close()
    assert.equal(model.giveUp(model.running()?.call ?? 0), true)
    await Promise.all([hung, closing])
    writeFileSync(gate, '')
  })

  it('exports what it is given, copied before exportArchive returns', async () => {
    const out = scratchPath('out.pt')
    const bytes = Buffer.from('{"a":1}')
    const exporting = addon.exportArchive(spec('', { path: '/päth' }), out, [
      { name: 'config.json', bytes },
      { name: 'empty', bytes: new Uint8Array() },
    ])
    bytes.fill(0)
    await exporting
    assert.equal(readFileSync(out, 'utf8'), '/päth\nconfig.json {"a":1}\nempty \n')
  })

  it('reads the files of an archive, binary and empty ones too', async () => {
    assert.deepEqual(await addon.readArchive('/archive.pt'), [
      { name: 'config.json', bytes: new Uint8Array(Buffer.from('{}')) },
      { name: 'bytes', bytes: Uint8Array.of(0, 255, 1) },
      { name: 'empty', bytes: new Uint8Array() },
    ])
  })
})
