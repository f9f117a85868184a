/** A model is data: what a stranger may put into its files is refused, or is not looked at. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ElectraClassifier } from '../../lib/index'
import { pickle, torchFile } from '../fixtures/torch-file'
import { refused } from './refused'

const FIXTURES = join(__dirname, '..', 'fixtures')

describe('what strangers put into a model', () => {
  let folder: string
  let count = 0

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'security-'))
  })
  after(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  function copyOf(fixture: string): string {
    const copy = join(folder, String(count++))
    cpSync(join(FIXTURES, fixture), copy, { recursive: true })
    return copy
  }

  const state = pickle.stateDict({ t: pickle.tensor() })
  /** The same records as an archive has, so that both readers come as far as they can. */
  const RECORDS = { 'data/0': Buffer.alloc(24), 'constants.pkl': pickle.whole(')') }

  /** Where the directory entry of a record begins. */
  function entryOf(zip: Buffer, record: string): number {
    const name = zip.lastIndexOf(`archive/${record}`)
    assert.ok(name > 0 && zip.readUInt32LE(name - 46) === 0x02014b50)
    return name - 46
  }

  const ZIPS: [string, () => Buffer, RegExp][] = [
    [
      'a version of 4 GB',
      () => {
        const zip = torchFile(state, RECORDS)
        zip.writeUInt32LE(0xfffffff0, entryOf(zip, 'version') + 24)
        return zip
      },
      /a record in it has no such size/,
    ],
    [
      'a compressed version of 4 GB',
      () => {
        const zip = torchFile(state, RECORDS, { deflate: true })
        zip.writeUInt32LE(0xfffffff0, entryOf(zip, 'version') + 24)
        return zip
      },
      /its records, unpacked, would be far larger than the file/,
    ],
    [
      '300 MB of zeros in 300 kB',
      () => torchFile(state, { ...RECORDS, 'extra/zeros': Buffer.alloc(300 << 20) }, { deflate: true }),
      /its records, unpacked, would be far larger than the file/,
    ],
    [
      'a thousand records that share their bytes',
      () => {
        const same = Object.fromEntries(
          Array.from({ length: 1000 }, (_, i) => [`extra/${i}`, Buffer.alloc(0)]),
        )
        const zip = torchFile(state, { ...RECORDS, 'extra/all': Buffer.alloc(1 << 20), ...same })
        for (const name of Object.keys(same)) {
          const entry = entryOf(zip, name)
          zip.writeUInt32LE(1 << 20, entry + 20)
          zip.writeUInt32LE(1 << 20, entry + 24)
        }
        return zip
      },
      /its records, unpacked, would be far larger than the file/,
    ],
    [
      'more records than the directory has room for',
      () => {
        const zip = torchFile(state, RECORDS)
        zip.writeUInt16LE(0xffff, zip.length - 12)
        return zip
      },
      /its directory ends early/,
    ],
    [
      'a directory beyond the file',
      () => {
        const zip = torchFile(state, RECORDS)
        zip.writeUInt32LE(0xffffff00, zip.length - 6)
        return zip
      },
      /its directory ends early/,
    ],
    [
      'a second directory in a comment',
      () => {
        const zip = torchFile(state, RECORDS)
        const end = Buffer.from(zip.subarray(-22))
        zip.writeUInt16LE(end.length + 1, zip.length - 2)
        return Buffer.concat([zip, end, Buffer.from('x')])
      },
      /it does not end with a directory/,
    ],
  ]
  for (const [what, zip, message] of ZIPS) {
    it(`a zip with ${what} is refused before anything is unpacked`, async () => {
      const bin = copyOf('checkpoints/pytorch-bin')
      writeFileSync(join(bin, 'pytorch_model.bin'), zip())
      await refused(bin, 'CHECKPOINT_INVALID', message)
      const archive = copyOf('traces/mean')
      writeFileSync(join(archive, 'model.pt'), zip())
      await refused(join(archive, 'model.pt'), 'CHECKPOINT_INVALID', message)
    })
  }

  it('names in an archive lead nowhere: nothing of it is ever written', async () => {
    const copy = copyOf('traces/mean')
    const names = ['../../escaped', '/tmp/escaped', '..\\escaped', '../config.json', 'config.json/../escaped']
    const extra = Object.fromEntries(names.map((name) => [`extra/${name}`, Buffer.from('{}')]))
    writeFileSync(join(copy, 'model.pt'), torchFile(state, { ...RECORDS, ...extra }))
    const before = readdirSync(folder, { recursive: true }).sort()
    const config = readFileSync(join(copy, 'config.json'))
    await assert.rejects(ElectraClassifier.load(join(copy, 'model.pt')), { code: /^CHECKPOINT_INVALID$/ })
    assert.deepEqual(readdirSync(folder, { recursive: true }).sort(), before)
    assert.deepEqual(readFileSync(join(copy, 'config.json')), config)
    assert.ok(!existsSync(join(tmpdir(), 'escaped')))
  })

  it('code that a config names is not looked at', async () => {
    const copy = copyOf('checkpoints/mean-swishglu')
    const canary = join(folder, 'canary')
    const path = join(copy, 'config.json')
    const config = JSON.parse(readFileSync(path, 'utf8')) as object
    const names = {
      auto_map: { AutoModelForSequenceClassification: 'modeling.Model' },
      custom_pipelines: { 'text-classification': { impl: 'modeling.Pipeline' } },
      trust_remote_code: true,
    }
    writeFileSync(
      path,
      JSON.stringify({ ...config, ...names }).replace('{', '{"__proto__": {"labels": ["x"]},'),
    )
    writeFileSync(join(copy, 'modeling.py'), `open(${JSON.stringify(canary)}, "w").close()`)
    for (const name of ['index.js', 'config.js', 'tokenizer.js']) {
      writeFileSync(join(copy, name), `require('fs').writeFileSync(${JSON.stringify(canary)}, '')`)
    }
    await using classifier = await ElectraClassifier.load(copy)
    assert.equal(classifier.labels.length, 3)
    assert.equal(Reflect.get({}, 'labels'), undefined)
    assert.ok(!existsSync(canary))
  })

  it('files far larger than their kind are refused before they are read', async () => {
    for (const name of ['config.json', 'tokenizer.json', 'vocab.txt', 'tokenizer_config.json']) {
      const copy = copyOf('checkpoints/mean-swishglu')
      // Sparse: it takes no room on the disk.
      writeFileSync(join(copy, name), '')
      truncateSync(join(copy, name), 2 ** 40)
      await refused(
        copy,
        'CHECKPOINT_INVALID',
        new RegExp(`its ${name} cannot be read \\(it has 1099511627776 bytes`),
      )
    }
  })

  it('a folder or a pipe in the place of a file is refused, and not waited for', async function () {
    const made = copyOf('checkpoints/mean-swishglu')
    rmSync(join(made, 'vocab.txt'))
    mkdirSync(join(made, 'vocab.txt'))
    await refused(made, 'CHECKPOINT_INVALID', /its vocab\.txt cannot be read \(it is not a regular file\)/)
    if (process.platform === 'win32') {
      console.log('      skipped: there are no named pipes in folders here')
      this.skip()
    }
    const places = ['config.json', 'vocab.txt', 'model.pt']
    for (const name of places) {
      const copy = copyOf('traces/mean')
      rmSync(join(copy, name))
      execFileSync('mkfifo', [join(copy, name)])
      await refused(join(copy, 'model.pt'), 'CHECKPOINT_INVALID', /not a regular file/)
    }
  })
})
