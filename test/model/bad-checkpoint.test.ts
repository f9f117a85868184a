import assert from 'node:assert/strict'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ElectraClassifier, ElectraError, exportArchive } from '../../lib/index'
import { refused } from './refused'

const GOOD = join(__dirname, '..', 'fixtures', 'checkpoints', 'mean-swishglu')
const ARCHIVED = join(__dirname, '..', 'fixtures', 'traces', 'mean')

interface Entry {
  dtype: string
  shape: number[]
  data_offsets: [number, number]
}
type Header = Record<string, Entry>

/** Every wrong model gets a code and a sentence that names what is wrong, and the process goes on. */
describe('models that cannot be used', () => {
  let folder: string
  let count = 0

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'bad-checkpoint-'))
  })

  after(async () => {
    rmSync(folder, { recursive: true, force: true })
    await using still = await ElectraClassifier.load(GOOD)
    assert.equal((await still.classify('a b c')).logits.length, 3)
  })

  /** A copy of a good model, spoilt. */
  function spoilt(spoil: (copy: string) => void, from = GOOD): string {
    const copy = join(folder, String(count++))
    cpSync(from, copy, { recursive: true })
    spoil(copy)
    return copy
  }

  function config(
    change: (config: Record<string, unknown>) => Record<string, unknown>,
  ): (copy: string) => void {
    return (copy) => {
      const path = join(copy, 'config.json')
      const original = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
      writeFileSync(path, JSON.stringify({ ...original, ...change(original) }))
    }
  }

  /** Rewrites the header of a safetensors file; the data stay as they are. */
  function header(change: (header: Header) => unknown): (copy: string) => void {
    return (copy) => {
      const path = join(copy, 'model.safetensors')
      const file = readFileSync(path)
      const length = Number(file.readBigUInt64LE(0))
      const parsed = JSON.parse(file.toString('utf8', 8, 8 + length)) as Header
      const changed = change(parsed)
      const text = Buffer.from(typeof changed === 'string' ? changed : JSON.stringify(changed ?? parsed))
      const size = Buffer.alloc(8)
      size.writeBigUInt64LE(BigInt(text.length))
      writeFileSync(path, Buffer.concat([size, text, file.subarray(8 + length)]))
    }
  }

  function entry(tensors: Header, name = 'classifier.layers.0.bias'): Entry {
    const found = tensors[name]
    assert.ok(found, name)
    return found
  }

  const CONFIG: [string, (config: Record<string, unknown>) => Record<string, unknown>, RegExp][] = [
    [
      'an unknown architecture',
      () => ({ architectures: ['ElectraForMaskedLM'] }),
      /name ElectraForMaskedLM; supported are ElectraClassifier, ElectraForSequenceClassification, BertForSequenceClassification/,
    ],
    ['no architecture', () => ({ architectures: undefined }), /architectures name nothing; supported are/],
    [
      'two architectures',
      () => ({ architectures: ['ElectraClassifier', 'BertForSequenceClassification'] }),
      /name ElectraClassifier, BertForSequenceClassification; supported are/,
    ],
    [
      'another model type',
      () => ({ model_type: 'bert' }),
      /model_type is "bert"; ElectraClassifier has "electra"/,
    ],
    [
      'an architecture of another model type',
      () => ({ architectures: ['BertForSequenceClassification'] }),
      /model_type is "electra"; BertForSequenceClassification has "bert"/,
    ],
    [
      'another head than the weights have',
      () => ({ architectures: ['ElectraForSequenceClassification'] }),
      /tensor classifier\.dense\.weight is missing/,
    ],
    [
      'an unknown body activation',
      () => ({ hidden_act: 'laplace' }),
      /hidden_act is "laplace"; supported are gelu, gelu_10, .* silu/,
    ],
    [
      'an unknown head activation',
      () => ({ hidden_activation: 'Softmax' }),
      /hidden_activation is "Softmax"; supported are SwishGLU, PReLU, CELU/,
    ],
    [
      'an unknown pooling',
      () => ({ pooling: 'sum' }),
      /pooling is "sum"; "cls", "mean" and "max" are supported/,
    ],
    [
      'an unknown problem type',
      () => ({ problem_type: 'ranking' }),
      /problem_type is "ranking"; supported are single_label_classification, multi_label_classification, regression/,
    ],
    [
      'relative positions',
      () => ({ position_embedding_type: 'relative_key' }),
      /position_embedding_type is "relative_key"/,
    ],
    [
      'no vocab_size',
      () => ({ vocab_size: undefined }),
      /vocab_size must be a positive integer, not missing/,
    ],
    [
      'a size that is text',
      () => ({ hidden_size: '32' }),
      /hidden_size must be a positive integer, not "32"/,
    ],
    [
      'heads that do not divide',
      () => ({ num_attention_heads: 5 }),
      /hidden_size 32 is not a multiple of num_attention_heads 5/,
    ],
    [
      'labels with a gap',
      () => ({ id2label: { 0: 'a', 2: 'c' } }),
      /id2label has 2 entries but none for id 1/,
    ],
    ['a label twice', () => ({ id2label: { 0: 'a', 1: 'a', 2: 'c' } }), /id2label uses the label "a" twice/],
    [
      'more labels than logits',
      () => ({ id2label: { 0: 'a', 1: 'b', 2: 'c', 3: 'd' } }),
      /names 4 labels \(id2label.*\), but the head gives 3 logits: tensor classifier\.layers\.6\.weight has shape \[3, 24\], expected \[4, 24\]/,
    ],
    [
      'another hidden size',
      () => ({ hidden_dim: 32 }),
      /tensor classifier\.layers\.\d\.\S+ has shape \[.*\], expected \[.*\]/,
    ],
    [
      'more layers than weights',
      () => ({ num_hidden_layers: 3 }),
      /tensor electra\.encoder\.layer\.2\.\S+ is missing/,
    ],
    [
      'fewer layers than weights',
      () => ({ num_hidden_layers: 1 }),
      /tensor electra\.encoder\.layer\.1\.\S+ of shape .* should not be there/,
    ],
    [
      'dropout that shifts the head',
      () => ({ dropout_rate: 0 }),
      /tensor classifier\.layers\.\d\.\S+ is missing/,
    ],
  ]
  for (const [what, change, message] of CONFIG) {
    it(`config.json: ${what}`, () => refused(spoilt(config(change)), 'CHECKPOINT_INVALID', message))
  }

  it('config.json: not JSON, not an object, not there', async () => {
    const write = (text: string) => (copy: string) => {
      writeFileSync(join(copy, 'config.json'), text)
    }
    await refused(spoilt(write('{')), 'CHECKPOINT_INVALID', /config\.json of .* it is not JSON/)
    await refused(spoilt(write('[]')), 'CHECKPOINT_INVALID', /it is not a JSON object/)
    const without = spoilt((copy) => {
      unlinkSync(join(copy, 'config.json'))
    })
    await refused(without, 'CHECKPOINT_INVALID', /has no config\.json; a model folder holds/)
  })

  const HEADER: [string, (header: Header) => unknown, RegExp][] = [
    [
      'a missing tensor',
      (h) => ({ ...h, 'classifier.layers.0.bias': undefined }),
      /classifier\.layers\.0\.bias|gap|bytes/,
    ],
    [
      'a name that nobody knows',
      (h) =>
        Object.fromEntries(
          Object.entries(h).map(([k, v]) => [k === 'classifier.layers.0.bias' ? 'other' : k, v]),
        ),
      /classifier\.layers\.0\.bias is missing/,
    ],
    ['an end beyond the file', (h) => void (entry(h).data_offsets[1] += 1e9), /classifier\.layers\.0\.bias/],
    [
      'an end before the beginning',
      (h) => void entry(h).data_offsets.reverse(),
      /classifier\.layers\.0\.bias/,
    ],
    ['a negative offset', (h) => void (entry(h).data_offsets[0] = -8), /classifier\.layers\.0\.bias/],
    [
      'an offset beyond 64 bits',
      (h) => JSON.stringify(h).replace(/"data_offsets":\[\d+/, '"data_offsets":[99999999999999999999999'),
      /./,
    ],
    [
      'a shape whose product overflows',
      (h) => void (entry(h).shape = [2 ** 33, 2 ** 33]),
      /classifier\.layers\.0\.bias/,
    ],
    [
      'a shape that does not fit its bytes',
      (h) => void (entry(h).shape = [23]),
      /classifier\.layers\.0\.bias/,
    ],
    ['an unknown dtype', (h) => void (entry(h).dtype = 'Q7'), /Q7/],
    [
      'tensors that overlap',
      (h) => void (entry(h).data_offsets = entry(h, 'classifier.layers.3.bias').data_offsets),
      /./,
    ],
    ['text that is no JSON', () => '{"a":', /its header: expected a value at byte 5; fetch or save it again/],
    ['a list', () => '[]', /object/],
    ['nesting without end', () => '['.repeat(100_000), /./],
  ]
  for (const [what, change, message] of HEADER) {
    it(`model.safetensors: ${what}`, () => refused(spoilt(header(change)), 'CHECKPOINT_INVALID', message))
  }

  it('model.safetensors: cut at any place, empty, a header length beyond the file', async () => {
    const size = readFileSync(join(GOOD, 'model.safetensors')).length
    for (const bytes of [0, 7, 8, 100, size - 1]) {
      const cut = spoilt((copy) => {
        truncateSync(join(copy, 'model.safetensors'), bytes)
      })
      await refused(cut, 'CHECKPOINT_INVALID', /model\.safetensors/)
    }
    const lying = spoilt((copy) => {
      const path = join(copy, 'model.safetensors')
      const file = readFileSync(path)
      file.writeBigUInt64LE(2n ** 63n, 0)
      writeFileSync(path, file)
    })
    await refused(lying, 'CHECKPOINT_INVALID', /model\.safetensors/)
  })

  it('no weights, no folder, an empty folder, a file that is no model', async () => {
    const without = spoilt((copy) => {
      unlinkSync(join(copy, 'model.safetensors'))
    })
    await refused(
      without,
      'CHECKPOINT_NOT_FOUND',
      /has no model\.safetensors, no .*, no pytorch_model\.bin, no .*; save the model with/,
    )
    await refused(
      join(folder, 'nowhere'),
      'CHECKPOINT_NOT_FOUND',
      /There is no model at .*nowhere, and '.*nowhere' is no hub id either .*; pass a folder/,
    )
    const empty = join(folder, 'empty')
    mkdirSync(empty)
    await refused(empty, 'CHECKPOINT_INVALID', /has no config\.json/)
    await refused(join(GOOD, 'vocab.txt'), 'CHECKPOINT_INVALID', /vocab\.txt is not a model; pass the folder/)
  })

  it('a vocabulary of the wrong size, or none', async () => {
    const vocabulary = (change: (text: string) => string) => (copy: string) => {
      const path = join(copy, 'vocab.txt')
      writeFileSync(path, change(readFileSync(path, 'utf8')))
    }
    const shorter = spoilt(vocabulary((text) => text.replace(/[^\n]+\n$/, '')))
    await refused(
      shorter,
      'CHECKPOINT_INVALID',
      /its tokenizer has 63 tokens but config\.json says vocab_size 64/,
    )
    const longer = spoilt(vocabulary((text) => `${text}more\n`))
    await refused(
      longer,
      'CHECKPOINT_INVALID',
      /its tokenizer has 65 tokens but config\.json says vocab_size 64/,
    )
    const without = spoilt((copy) => {
      unlinkSync(join(copy, 'vocab.txt'))
    })
    await refused(without, 'CHECKPOINT_INVALID', /no tokenizer\.json and no vocab\.txt/)
  })

  it('archives: cut, empty, not a zip, of a newer format', async () => {
    const cut = (bytes: number): string =>
      join(
        spoilt((copy) => {
          truncateSync(join(copy, 'model.pt'), bytes)
        }, ARCHIVED),
        'model.pt',
      )
    for (const bytes of [0, 10, 1000]) await refused(cut(bytes), 'CHECKPOINT_INVALID', /model\.pt/)
    const text = spoilt((copy) => {
      writeFileSync(join(copy, 'model.pt'), 'hello '.repeat(1000))
    }, ARCHIVED)
    await refused(join(text, 'model.pt'), 'CHECKPOINT_INVALID', /model\.pt/)
  })

  it('export refuses what load refuses, and writes nothing', async () => {
    const bad = spoilt(config(() => ({ num_hidden_layers: 3 })))
    const out = join(folder, 'never.pt')
    await assert.rejects(exportArchive(bad, out), { code: 'CHECKPOINT_INVALID' })
    await assert.rejects(ElectraClassifier.load(out), { code: 'CHECKPOINT_NOT_FOUND' })
    await assert.rejects(exportArchive(GOOD, join(folder, 'no', 'such', 'folder.pt')), ElectraError)
    await assert.rejects(exportArchive(GOOD, ''), { name: 'TypeError' })
  })
})
