import assert from 'node:assert/strict'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openBinding, type Addon } from '../../lib/binding'
import { ElectraClassifier } from '../../lib/index'
import { refused } from './refused'

const CHECKPOINTS = join(__dirname, '..', 'fixtures', 'checkpoints')
const BIN = 'pytorch_model.bin'

describe('weight files', () => {
  let folder: string
  let addon: Addon
  let count = 0

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'bad-weights-'))
    addon = (await openBinding()).addon
  })

  after(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  function copyOf(name: string): string {
    const copy = join(folder, String(count++))
    cpSync(join(CHECKPOINTS, name), copy, { recursive: true })
    return copy
  }

  /** A model with an index of shards, changed. */
  function withIndex(
    name: string,
    change: (weight_map: Record<string, string>, copy: string) => void,
  ): string {
    const copy = copyOf(name)
    const path = join(copy, readdirSync(copy).find((file) => file.endsWith('.index.json')) ?? '')
    const index = JSON.parse(readFileSync(path, 'utf8')) as { weight_map: Record<string, string> }
    change(index.weight_map, copy)
    writeFileSync(path, JSON.stringify(index))
    return copy
  }

  it('are taken in order: safetensors, its index, pytorch_model.bin, its index', async () => {
    const copy = copyOf('pytorch-bin')
    const golden = JSON.parse(readFileSync(join(copy, 'golden.json'), 'utf8')) as {
      input_ids: number[]
      logits: number[]
    }[]
    writeFileSync(join(copy, `${BIN}.index.json`), 'never read')
    await using classifier = await ElectraClassifier.load(copy, { dtype: 'fp32' })
    const [logits] = await classifier.forward([golden[0]?.input_ids ?? []])
    assert.deepEqual(
      logits?.map((value) => value.toFixed(3)),
      golden[0]?.logits.map((value) => value.toFixed(3)),
    )
    writeFileSync(join(copy, 'model.safetensors.index.json'), 'first')
    await refused(copy, 'CHECKPOINT_INVALID', /model\.safetensors\.index\.json cannot be used/)
    writeFileSync(join(copy, 'model.safetensors'), 'first')
    await refused(copy, 'CHECKPOINT_INVALID', /model\.safetensors is not a usable safetensors file/)
  })

  describe('an index', () => {
    for (const name of ['safetensors-sharded', 'pytorch-bin-sharded']) {
      const shard = (map: Record<string, string>): string => Object.values(map).sort()[0] ?? ''
      const first = (map: Record<string, string>): string => Object.keys(map)[0] ?? ''

      it(`${name}: names the files that are missing`, async () => {
        const one = withIndex(name, (map, copy) => {
          unlinkSync(join(copy, shard(map)))
        })
        await refused(
          one,
          'CHECKPOINT_NOT_FOUND',
          /1 of the 2 files that .*index\.json names are missing: \S+-00001-of-00002\.\w+; fetch them/,
        )
      })

      const outside: [string, string][] = [
        ['a parent', '../'],
        ['an absolute path', '/tmp/'],
        ['a folder', 'sub/'],
        ['a parent in Windows’ spelling', '..\\'],
        ['a drive', 'C:'],
      ]
      for (const [what, prefix] of outside) {
        it(`${name}: does not follow ${what}`, async () => {
          const copy = withIndex(name, (map) => {
            map[first(map)] = prefix + shard(map)
          })
          await refused(copy, 'CHECKPOINT_INVALID', /names the file ".*"; only names .* without a path/)
        })
      }

      it(`${name}: does not follow a link out of the folder, but does within a cache`, async () => {
        const elsewhere = join(folder, `elsewhere-${name}`)
        mkdirSync(elsewhere)
        const linked = withIndex(name, (map, copy) => {
          const file = shard(map)
          renameSync(join(copy, file), join(elsewhere, file))
          symlinkSync(join(elsewhere, file), join(copy, file))
        })
        await refused(linked, 'CHECKPOINT_INVALID', /is a link that leads to another folder, .*elsewhere/)

        // As Hugging Face's cache has it: every file of a snapshot is a link among the blobs.
        const blobs = join(folder, `blobs-${name}`)
        const snapshot = join(folder, `snapshot-${name}`)
        mkdirSync(blobs)
        mkdirSync(snapshot)
        for (const file of readdirSync(join(CHECKPOINTS, name))) {
          cpSync(join(CHECKPOINTS, name, file), join(blobs, `blob-of-${file}`))
          symlinkSync(join('..', `blobs-${name}`, `blob-of-${file}`), join(snapshot, file))
        }
        await using classifier = await ElectraClassifier.load(snapshot)
        assert.equal(classifier.labels.length, 3)
      })

      it(`${name}: and its shards must agree`, async () => {
        const other = withIndex(name, (map) => {
          map[first(map)] = Object.values(map).find((file) => file !== map[first(map)]) ?? ''
        })
        await refused(other, 'CHECKPOINT_INVALID', /should be in \S+ and is not|does not place there/)
        const silent = withIndex(name, (map) => {
          // eslint-disable-next-line @typescript-eslint/no-dynamic-delete
          delete map[first(map)]
        })
        await refused(silent, 'CHECKPOINT_INVALID', /holds tensor \S+, which the index does not place there/)
        const mixed = withIndex(name, (map) => {
          map[first(map)] = name.startsWith('safetensors') ? BIN : 'model.safetensors'
        })
        await refused(mixed, 'CHECKPOINT_INVALID', /only names that end in \.\w+, without a path, are read/)
      })

      it(`${name}: must be JSON of the right shape`, async () => {
        for (const [text, message] of [
          ['{', /it is not JSON: the text ends early at byte 1/],
          ['[]', /no weight_map/],
          ['{"weight_map": {}}', /no weight_map/],
          ['{"weight_map": {"a": 1}}', /gives tensor a no file/],
        ] as const) {
          const copy = withIndex(name, () => undefined)
          const index = readdirSync(copy).find((file) => file.endsWith('.index.json')) ?? ''
          writeFileSync(join(copy, index), text)
          await refused(copy, 'CHECKPOINT_INVALID', message)
        }
      })
    }
  })

  describe('damaged at any place', () => {
    /** A small generator, so that every run damages the same places. */
    function* places(below: number, count: number): Generator<number> {
      let state = 12345
      for (let i = 0; i < count; ++i) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0
        yield Math.floor((state / 2 ** 32) * below)
      }
    }

    for (const [name, file] of [
      ['pytorch-bin', BIN],
      ['pytorch-bin-sharded', `${BIN}.index.json`],
      ['safetensors-sharded', 'model.safetensors.index.json'],
    ] as const) {
      it(`${name}: loads or says what is wrong`, async function () {
        this.timeout(120_000)
        const copy = copyOf(name)
        const config = readFileSync(join(copy, 'config.json'), 'utf8')
        const path = join(copy, file)
        const good = readFileSync(path)
        let loaded = 0
        const attempt = async (bytes: Buffer): Promise<void> => {
          writeFileSync(path, bytes)
          try {
            const spec = {
              kind: 'checkpoint',
              path,
              config,
              device: 'cpu',
              dtype: 'fp32',
              threads: 1,
            } as const
            await (await addon.Model.load(spec)).close()
            ++loaded
          } catch (error) {
            assert.ok(error instanceof Error && 'code' in error)
            assert.match(String(error.code), /^CHECKPOINT_(?:INVALID|NOT_FOUND)$/, error.message)
          }
        }
        await attempt(good)
        assert.equal(loaded, 1)
        for (const size of places(good.length, 60)) await attempt(good.subarray(0, size))
        assert.equal(loaded, 1, 'a part of the file was taken for the whole')
        // The directory and the pickle of a .bin are at its ends, and most of its bytes are weights.
        const ends = [...places(4000, 100)].flatMap((place) => [place, good.length - 1 - place])
        for (const place of [...ends, ...places(good.length, 50)]) {
          const damaged = Buffer.from(good)
          damaged[place] = (damaged[place] ?? 0) ^ (1 << (place % 8))
          await attempt(damaged)
        }
      })
    }
  })
})
