import assert from 'node:assert/strict'
import type { Model, ModelInfo } from '../../lib/binding'
import { leastLoaded, loadReplicas, shareOut } from '../../lib/replicas'
import type { Forward } from '../../lib/scheduler'

const INFO: ModelInfo = {
  ...{ device: 'cuda:0', dtype: 'bf16', engine: 'electra', num_labels: 1, vocab_size: 9, threads: 1 },
  ...{ max_position_embeddings: 9, memory: 100, mixes_lengths: true, notes: ['a note'] },
}

/** A model whose batches end when they are told to. */
class Fake {
  readonly batches: { tokens: number; end: () => void; fail: (reason: Error) => void }[] = []
  closed = 0
  readonly info: ModelInfo
  constructor(device: string) {
    this.info = { ...INFO, device }
  }
  forward(input_ids: Int32Array): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      const tokens = input_ids.length
      this.batches.push({
        tokens,
        end: () => {
          resolve(new Float32Array([tokens]))
        },
        fail: reject,
      })
    })
  }
  close(): Promise<void> {
    this.closed++
    return Promise.resolve()
  }
}

function loader(made: Fake[], failing?: string) {
  return (device: string): Promise<Model> => {
    if (device === failing) return Promise.reject(new Error(`${device} is not there`))
    const fake = new Fake(device)
    made.push(fake)
    return Promise.resolve(fake as unknown as Model)
  }
}

const batch = (tokens: number) =>
  [new Int32Array(tokens), Int32Array.of(0, tokens)] as [Int32Array, Int32Array]

describe('replicas', () => {
  it('give a batch to the one with the fewest tokens to go, the first of equals', () => {
    assert.equal(leastLoaded([0, 0]), 0)
    assert.equal(leastLoaded([5, 3, 3]), 1)
    assert.equal(leastLoaded([5]), 0)
  })

  it('share the batches, also after one has failed', async () => {
    const made: Fake[] = []
    const { models, close } = await loadReplicas(loader(made), ['cuda:0', 'cuda:1'])
    const [first, second] = made
    assert.ok(first && second)
    const forward = shareOut(
      models.map(
        (model): Forward =>
          (ids, offsets, types) =>
            model.forward(ids, offsets, types),
      ),
    )
    const running = [100, 10, 20, 60].map((tokens) => forward(...batch(tokens), undefined))
    const sizes = () => made.map(({ batches }) => batches.map(({ tokens }) => tokens))
    assert.deepEqual(sizes(), [[100], [10, 20, 60]])
    first.batches[0]?.fail(new Error('no memory'))
    await assert.rejects(running[0] ?? Promise.resolve(), { message: 'no memory' })
    running.push(forward(...batch(7), undefined))
    assert.deepEqual(sizes(), [
      [100, 7],
      [10, 20, 60],
    ])
    for (const { end } of [...first.batches, ...second.batches]) end()
    const results = await Promise.all(running.slice(1))
    assert.deepEqual(
      results.map(([tokens]) => tokens),
      [10, 20, 60, 7],
    )
    await close()
    assert.deepEqual([first.closed, second.closed], [1, 1])
  })

  it('say where they are and what they hold together', async () => {
    const made: Fake[] = []
    const one = await loadReplicas(loader(made), ['cuda:0'])
    assert.deepEqual(one.info, INFO)
    const { info } = await loadReplicas(loader(made), ['cuda:2', 'cuda:3'])
    assert.equal(info.device, 'cuda:2')
    assert.equal(info.memory, 200)
    assert.deepEqual(info.notes, ['a note', 'Replicas run on cuda:2, cuda:3.'])
  })

  it('are all closed where one cannot be loaded', async () => {
    const made: Fake[] = []
    await assert.rejects(loadReplicas(loader(made, 'cuda:1'), ['cuda:0', 'cuda:1', 'cuda:2']), {
      message: 'cuda:1 is not there',
    })
    assert.deepEqual(
      made.map(({ closed }) => closed),
      [1, 1],
    )
  })
})
