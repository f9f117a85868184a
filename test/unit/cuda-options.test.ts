import assert from 'node:assert/strict'
import { checkLoadOptions } from '../../lib/options'

const check = (options: object) => checkLoadOptions(undefined, options)

describe('options of cards', () => {
  it('are one device, or a replica on each of several', () => {
    assert.deepEqual(check({}).devices, ['auto'])
    assert.deepEqual(check({ device: 'cuda:3' }).devices, ['cuda:3'])
    assert.deepEqual(check({ devices: ['cuda:0', 'cuda:1'] }).devices, ['cuda:0', 'cuda:1'])
  })

  it('capture graphs unless told otherwise, of the shapes that are asked for', () => {
    assert.equal(check({}).warmup, 'graphs')
    assert.equal(check({}).graph_buckets, undefined)
    assert.equal(check({ warmup: 'eager' }).warmup, 'eager')
    const graph_buckets = [
      { tokens: 64, rows: 2, longest: 40 },
      { tokens: 512, rows: 1, longest: 512 },
    ]
    assert.deepEqual(check({ graph_buckets }).graph_buckets, Int32Array.of(64, 2, 40, 512, 1, 512))
  })

  for (const [options, name, message] of [
    [{ device: 'cpu', devices: ['cuda:0'] }, 'TypeError', 'device and devices cannot be given together.'],
    [{ devices: 'cuda:0' }, 'TypeError', "devices must be an array of at least one 'cuda:N', not 'cuda:0'."],
    [{ devices: ['cuda'] }, 'RangeError', "devices[0] must be 'cuda:N', not 'cuda'."],
    [{ devices: ['cuda:0', 'cuda:0'] }, 'RangeError', 'devices names cuda:0 twice.'],
    [{ warmup: 'lazy' }, 'RangeError', "warmup must be one of 'graphs', 'eager', not 'lazy'."],
    [{ graph_buckets: [7] }, 'TypeError', 'graph_buckets[0] must be an object, not 7.'],
    [
      { graph_buckets: [{ tokens: 0, rows: 1, longest: 1 }] },
      'RangeError',
      'graph_buckets[0].tokens must be an integer from 1 to 2147483647, not 0.',
    ],
    [
      { graph_buckets: [{ tokens: 8, rows: 1 }] },
      'TypeError',
      'graph_buckets[0].longest must be a number, not undefined.',
    ],
  ] as const) {
    it(`refuse ${JSON.stringify(options)}`, () => {
      assert.throws(() => check(options), { name, message })
    })
  }

  it('refuse no device at all', () => {
    assert.throws(() => check({ devices: [] }), { name: 'TypeError' })
  })
})
