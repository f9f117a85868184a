import assert from 'node:assert/strict'
import type { Model } from '../../binding'
import { type Addon, fakeAddon, needsFakeCore, spec } from './fake'

/** Calls that the types forbid, as JavaScript would make them. */
function call(target: object, method: string, ...args: unknown[]): unknown {
  const found: unknown = Reflect.get(target, method)
  assert.ok(typeof found === 'function')
  return Reflect.apply(found, target, args)
}

describe('arguments of the binding', () => {
  needsFakeCore()
  let addon: Addon
  let model: Model
  before(async () => {
    addon = await fakeAddon()
    model = await addon.Model.load(spec())
  })
  after(async () => {
    // Whatever they were given, the model still answers.
    if ((model as Model | undefined) === undefined) return
    const logits = await model.forward(Int32Array.of(4, 5), Int32Array.of(0, 2))
    assert.deepEqual([...logits], [9, 2, -1])
    await model.close()
  })

  const one = Int32Array.of(1)
  const offsets = Int32Array.of(0, 1)

  const forward: [string, unknown[], string][] = [
    ['nothing', [], 'forward: input_ids must be an Int32Array, got undefined'],
    ['null', [null, offsets], 'forward: input_ids must be an Int32Array, got null'],
    ['an array', [[1], offsets], 'forward: input_ids must be an Int32Array, got an array'],
    ['a number', [1, offsets], 'forward: input_ids must be an Int32Array, got a number'],
    ['a bigint', [1n, offsets], 'forward: input_ids must be an Int32Array, got a bigint'],
    ['a string', ['1', offsets], 'forward: input_ids must be an Int32Array, got a string'],
    ['a symbol', [Symbol('1'), offsets], 'forward: input_ids must be an Int32Array, got a symbol'],
    ['a function', [() => one, offsets], 'forward: input_ids must be an Int32Array, got a function'],
    ['a boolean', [true, offsets], 'forward: input_ids must be an Int32Array, got a boolean'],
    ['an object', [{}, offsets], 'forward: input_ids must be an Int32Array, got an object'],
    [
      'a Float32Array',
      [Float32Array.of(1), offsets],
      'forward: input_ids must be an Int32Array, got a Float32Array',
    ],
    [
      'a Uint32Array',
      [Uint32Array.of(1), offsets],
      'forward: input_ids must be an Int32Array, got a Uint32Array',
    ],
    [
      'a BigInt64Array',
      [BigInt64Array.of(1n), offsets],
      'forward: input_ids must be an Int32Array, got a BigInt64Array',
    ],
    ['a Buffer', [Buffer.of(1), offsets], 'forward: input_ids must be an Int32Array, got a Uint8Array'],
    ['an ArrayBuffer', [one.buffer, offsets], 'forward: input_ids must be an Int32Array, got an ArrayBuffer'],
    [
      'a DataView',
      [new DataView(one.buffer), offsets],
      'forward: input_ids must be an Int32Array, got a DataView',
    ],
    ['no offsets', [one], 'forward: cu_seqlens must be an Int32Array, got undefined'],
    ['an array of offsets', [one, [0, 1]], 'forward: cu_seqlens must be an Int32Array, got an array'],
    ['null types', [one, offsets, null], 'forward: token_type_ids must be an Int32Array, got null'],
    ['an array of types', [one, offsets, [0]], 'forward: token_type_ids must be an Int32Array, got an array'],
  ]
  for (const [what, args, message] of forward) {
    it(`forward throws a TypeError for ${what}`, () => {
      assert.throws(() => call(model, 'forward', ...args), { name: 'TypeError', message })
    })
  }

  const ranges: [string, number[], number[], number[] | undefined, string][] = [
    [
      'no offsets at all',
      [1],
      [],
      undefined,
      'cu_seqlens must hold the offsets of at least one row, two numbers, but has 0',
    ],
    [
      'a single offset',
      [1],
      [0],
      undefined,
      'cu_seqlens must hold the offsets of at least one row, two numbers, but has 1',
    ],
    [
      'no tokens',
      [],
      [0, 0],
      undefined,
      'cu_seqlens has 1 rows, but input_ids only 0 tokens; every row needs at least one',
    ],
    [
      'more rows than tokens',
      [1, 2],
      [0, 1, 1, 2],
      undefined,
      'cu_seqlens has 3 rows, but input_ids only 2 tokens; every row needs at least one',
    ],
    ['types of another length', [1, 2], [0, 2], [0], 'token_type_ids has 1 numbers, but input_ids 2'],
    ['what the core refuses', [1, 2], [0, 1], undefined, 'cu_seqlens does not end at the last token'],
  ]
  for (const [what, input_ids, cu_seqlens, types, message] of ranges) {
    it(`forward rejects with a RangeError for ${what}`, async () => {
      const batch = [input_ids, cu_seqlens].map((numbers) => Int32Array.from(numbers)) as [
        Int32Array,
        Int32Array,
      ]
      const answer = model.forward(...batch, types && Int32Array.from(types))
      await assert.rejects(answer, { name: 'RangeError', code: 'ERR_OUT_OF_RANGE', message })
    })
  }

  it('forward rejects a detached array as one without tokens', async () => {
    const gone = Int32Array.of(1)
    structuredClone(gone.buffer, { transfer: [gone.buffer] })
    await assert.rejects(model.forward(gone, offsets), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' })
  })

  it('forward takes views into larger buffers', async () => {
    const whole = Int32Array.of(90, 0, 2, 1, 2, 90)
    assert.deepEqual([...(await model.forward(whole.subarray(3, 5), whole.subarray(1, 3)))], [3, 2, -1])
  })

  const specs: [string, unknown, string][] = [
    ['no spec', undefined, 'spec must be an object, got undefined'],
    ['a string', '/model', 'spec must be an object, got a string'],
    ['null', null, 'spec must be an object, got null'],
    [
      'no kind',
      { ...spec(), kind: undefined },
      "spec.kind must be one of 'checkpoint', 'archive', got undefined",
    ],
    [
      'another kind',
      { ...spec(), kind: 'onnx' },
      "spec.kind must be one of 'checkpoint', 'archive', got 'onnx'",
    ],
    ['no path', { ...spec(), path: undefined }, 'spec.path must be a string, got undefined'],
    ['a path with a NUL', { ...spec(), path: '/a\0b' }, 'spec.path must not contain a NUL character'],
    ['no config', { ...spec(), config: undefined }, 'spec.config must be a string, got undefined'],
    ['a parsed config', { ...spec(), config: {} }, 'spec.config must be a string, got an object'],
    ['no device', { ...spec(), device: null }, 'spec.device must be a string, got null'],
    [
      'another dtype',
      { ...spec(), dtype: 'int4' },
      "spec.dtype must be one of 'auto', 'fp32', 'bf16', 'fp16', 'int8', got 'int4'",
    ],
    [
      'a dtype that is none',
      { ...spec(), dtype: 32 },
      "spec.dtype must be one of 'auto', 'fp32', 'bf16', 'fp16', 'int8', got a number",
    ],
    ['threads as text', { ...spec(), threads: '2' }, 'spec.threads must be a number, got a string'],
  ]
  for (const [what, value, message] of specs) {
    it(`Model.load throws a TypeError for ${what}`, () => {
      assert.throws(() => call(addon.Model, 'load', value), {
        name: 'TypeError',
        message: `Model.load: ${message}`,
      })
    })
    it(`exportArchive throws a TypeError for ${what}`, () => {
      const wrong = { name: 'TypeError', message: `exportArchive: ${message}` }
      assert.throws(() => call(addon, 'exportArchive', value, '/out', []), wrong)
    })
  }

  for (const threads of [0, -1, 1.5, 1025, NaN, Infinity, 2 ** 40]) {
    it(`Model.load rejects with a RangeError for ${threads} threads`, async () => {
      await assert.rejects(addon.Model.load(spec('', { threads })), {
        name: 'RangeError',
        code: 'ERR_OUT_OF_RANGE',
        message: 'threads must be a whole number from 1 to 1024',
      })
    })
  }

  it('hands on what a getter of the spec throws', () => {
    const spiteful = Object.defineProperty({ ...spec() }, 'path', {
      get() {
        throw new Error('no path for you')
      },
    })
    assert.throws(() => addon.Model.load(spiteful), { message: 'no path for you' })
  })

  const others: [string, () => unknown, string][] = [
    ['open()', () => call(addon, 'open'), 'open: libtorch_lib must be a string, got undefined'],
    ['open(1, 2)', () => call(addon, 'open', 1, 2), 'open: libtorch_lib must be a string, got a number'],
    ['open without a core', () => call(addon, 'open', '/lib'), 'open: core must be a string, got undefined'],
    ['readArchive()', () => call(addon, 'readArchive'), 'readArchive: path must be a string, got undefined'],
    [
      'an archive to export',
      () => call(addon, 'exportArchive', spec('', { kind: 'archive' }), '/out', []),
      "exportArchive: spec.kind must be 'checkpoint', got 'archive'",
    ],
    [
      'no place to export to',
      () => call(addon, 'exportArchive', spec()),
      'exportArchive: out must be a string, got undefined',
    ],
    [
      'no files',
      () => call(addon, 'exportArchive', spec(), '/out'),
      'exportArchive: files must be an array, got undefined',
    ],
    [
      'a file that is none',
      () => call(addon, 'exportArchive', spec(), '/out', [1]),
      'exportArchive: files[0] must be an object, got a number',
    ],
    [
      'a file without a name',
      () => call(addon, 'exportArchive', spec(), '/out', [{ bytes: new Uint8Array() }]),
      'exportArchive: files[0].name must be a string, got undefined',
    ],
    [
      'a file of text',
      () => call(addon, 'exportArchive', spec(), '/out', [{ name: 'a', bytes: 'b' }]),
      'exportArchive: files[0].bytes must be a Uint8Array, got a string',
    ],
  ]
  for (const [what, wrong, message] of others) {
    it(`throws a TypeError for ${what}`, () => {
      assert.throws(wrong, { name: 'TypeError', message })
    })
  }

  it('lets nobody make a Model by hand, or call its methods on something else', () => {
    const make = addon.Model as unknown as new () => Model
    assert.throws(() => new make(), { name: 'TypeError', message: 'a Model is made by Model.load()' })
    class Derived extends make {}
    assert.throws(() => new Derived(), { name: 'TypeError', message: 'a Model is made by Model.load()' })
    const borrow = (method: string, stranger: unknown): unknown => {
      const found: unknown = Reflect.get(model, method)
      assert.ok(typeof found === 'function')
      return Reflect.apply(found, stranger, [one, offsets])
    }
    for (const stranger of [undefined, {}, addon, Object.create(model) as object]) {
      assert.throws(() => borrow('forward', stranger), { name: 'TypeError' })
      assert.throws(() => borrow('close', stranger), { name: 'TypeError' })
    }
  })
})
