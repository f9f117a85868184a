import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pickle, torchFile } from '../fixtures/torch-file'
import { refused } from './refused'

const FIXTURES = join(__dirname, '..', 'fixtures')

describe('pytorch_model.bin', () => {
  let folder: string
  let count = 0

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'bad-pickle-'))
  })

  after(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  /** A model whose pytorch_model.bin is `file`. */
  function withBin(file: Buffer): string {
    const copy = join(folder, String(count++))
    cpSync(join(FIXTURES, 'checkpoints', 'pytorch-bin'), copy, { recursive: true })
    writeFileSync(join(copy, 'pytorch_model.bin'), file)
    return copy
  }

  const CANARY = (): string => join(folder, 'canary')
  const command = (): Buffer => pickle.text(`touch ${CANARY()}`)
  const code = (): Buffer => pickle.text(`open(${JSON.stringify(CANARY())}, "w").close()`)

  it('made by the means of these tests comes as far as its tensors', async () => {
    const file = torchFile(pickle.stateDict({ odd: pickle.tensor() }))
    await refused(withBin(file), 'CHECKPOINT_INVALID', /weights and config\.json disagree/)
    const deflated = torchFile(
      pickle.stateDict({ odd: pickle.tensor({ storage: pickle.storage(6, '0', 'torch.LongStorage') }) }),
      { 'data/0': Buffer.alloc(48) },
      { deflate: true },
    )
    await refused(withBin(deflated), 'CHECKPOINT_INVALID', /weights and config\.json disagree/)
  })

  const malicious: [string, () => Buffer, RegExp][] = [
    ['os.system', () => pickle.whole(pickle.call('os.system', command())), /the global os\.system/],
    ['posix.system', () => pickle.whole(pickle.call('posix.system', command())), /global posix\.system/],
    ['nt.system', () => pickle.whole(pickle.call('nt.system', command())), /global nt\.system/],
    ['builtins.eval', () => pickle.whole(pickle.call('builtins.eval', code())), /global builtins\.eval/],
    ['builtins.exec', () => pickle.whole(pickle.call('builtins.exec', code())), /global builtins\.exec/],
    [
      'subprocess.Popen',
      () => pickle.whole(pickle.call('subprocess.Popen', command())),
      /global subprocess\.Popen/,
    ],
    [
      'builtins.getattr',
      () => pickle.whole(pickle.call('builtins.getattr', pickle.global('collections.OrderedDict'), code())),
      /global builtins\.getattr/,
    ],
    ['torch.hub.load', () => pickle.whole(pickle.call('torch.hub.load', code())), /global torch\.hub\.load/],
    [
      'torch.load',
      () => pickle.whole(pickle.call('torch.serialization.load', code())),
      /global torch\.serialization\.load/,
    ],
    [
      'a name that is longer than any',
      () => pickle.whole(pickle.global(`os.${'x'.repeat(100_000)}`)),
      /the global os\.x{97}\.\.\., which/,
    ],
    [
      'a call among tensors',
      () => pickle.stateDict({ good: pickle.tensor(), bad: pickle.call('os.system', command()) }),
      /global os\.system/,
    ],
    [
      'a call within a tensor',
      () => pickle.stateDict({ bad: pickle.tensor({ storage: pickle.call('os.system', command()) }) }),
      /global os\.system/,
    ],
    [
      'a call within a persistent id',
      () => pickle.whole(pickle.tuple(pickle.text('storage'), pickle.call('os.system', command())), 'Q'),
      /global os\.system/,
    ],
    [
      'a call within attributes',
      () => pickle.whole('}', '}', pickle.text('x'), pickle.call('os.system', command()), 's', 'b'),
      /global os\.system/,
    ],
    [
      'the opcode INST',
      () => pickle.whole('(', command(), 'ios\nsystem\n'),
      /the opcode INST \(0x69\), which tensors do not need/,
    ],
    [
      'the opcode STACK_GLOBAL',
      () => pickle.whole(pickle.text('os'), pickle.text('system'), '\x93'),
      /the opcode STACK_GLOBAL \(0x93\)/,
    ],
    ['the opcode OBJ', () => pickle.whole('(', pickle.global('torch.FloatStorage'), 'o'), /opcode OBJ /],
    [
      'the opcode NEWOBJ',
      () => pickle.whole(pickle.global('collections.OrderedDict'), ')', '\x81'),
      /opcode NEWOBJ /,
    ],
    ['the opcode EXT1', () => pickle.whole('\x82\x01'), /opcode EXT1 /],
    ['the opcode FRAME', () => pickle.whole('\x95\0\0\0\0\0\0\0\0'), /opcode FRAME /],
    ['an opcode that none is', () => pickle.whole('\xff'), /the opcode 0xff/],
    [
      'a call of a string',
      () => pickle.whole(pickle.text('os.system'), ')R'),
      /a call of what is no function/,
    ],
    [
      'a call of a storage',
      () => pickle.whole(pickle.global('torch.FloatStorage'), ')R'),
      /a call of torch\.FloatStorage/,
    ],
    [
      'an attribute of a tensor',
      () => pickle.whole(pickle.tensor(), '}', 'b'),
      /attributes of what is no dictionary/,
    ],
  ]
  for (const [what, bytes, message] of malicious) {
    it(`runs nothing: ${what}`, async () => {
      await refused(withBin(torchFile(bytes())), 'CHECKPOINT_INVALID', message)
      assert.ok(!existsSync(CANARY()), 'the pickle ran')
    })
  }

  it('would run in Python, so that the above means something', function () {
    const python = process.env.ELECTRA_TEST_PYTHON ?? 'python3'
    const load = 'import pickle, sys; pickle.loads(sys.stdin.buffer.read())'
    for (const [, bytes] of malicious.filter(([what]) => /^(?:os\.system|builtins\.eval)$/.test(what))) {
      const ran = spawnSync(python, ['-c', load], { input: bytes() })
      if (ran.error) {
        console.log(`      skipped: there is no ${python} (ELECTRA_TEST_PYTHON names another)`)
        this.skip()
      }
      assert.ok(existsSync(CANARY()), String(ran.stderr))
      unlinkSync(CANARY())
    }
  })

  const huge = 2n ** 62n
  const dict = (entries: Record<string, Buffer>) => () => torchFile(pickle.stateDict(entries))
  const lying: [string, () => Buffer, RegExp][] = [
    [
      'a string of 4 GB',
      () => torchFile(pickle.whole('X\xff\xff\xff\xff')),
      /pickle has an end in the middle/,
    ],
    ['a number of 255 bytes', () => torchFile(pickle.whole(`\x8a\xff`)), /number of more than 64 bits/],
    [
      'a storage of 2^62 elements',
      dict({ t: pickle.tensor({ storage: pickle.storage(huge) }) }),
      /lies in a storage of 4611686018427387904 elements, but the file has 24 bytes/,
    ],
    [
      'a storage that is larger than its bytes',
      dict({ t: pickle.tensor({ storage: pickle.storage(7) }) }),
      /storage of 7 elements, but the file has 24 bytes/,
    ],
    [
      'a storage that is not there',
      dict({ t: pickle.tensor({ storage: pickle.storage(6, '../../etc/passwd') }) }),
      /the bytes of tensor t are missing/,
    ],
    [
      'a storage of two types',
      dict({
        a: pickle.tensor(),
        b: pickle.tensor({ storage: pickle.storage(6, '0', 'torch.IntStorage') }),
      }),
      /tensor b describes its storage otherwise/,
    ],
    ['a negative storage', dict({ t: pickle.tensor({ storage: pickle.storage(-6) }) }), /names no storage/],
    ['sizes that overflow', dict({ t: pickle.tensor({ sizes: [huge, huge] }) }), /more elements than/],
    [
      'sizes that overflow to nothing',
      dict({ t: pickle.tensor({ sizes: [2n ** 32n, 2n ** 32n], strides: [0, 0] }) }),
      /more elements than its storage has/,
    ],
    [
      'strides of 0 that make much of little',
      dict({ t: pickle.tensor({ sizes: [100_000, 100_000], strides: [0, 0] }) }),
      /more elements than its storage has/,
    ],
    [
      'a stride that leaves the storage',
      dict({ t: pickle.tensor({ strides: [4, 1] }) }),
      /ends beyond its storage/,
    ],
    [
      'a stride that overflows',
      dict({ t: pickle.tensor({ sizes: [3], strides: [huge + huge - 1n] }) }),
      /ends beyond its storage/,
    ],
    ['a negative stride', dict({ t: pickle.tensor({ strides: [-3, 1] }) }), /stride that is no whole/],
    ['a negative size', dict({ t: pickle.tensor({ sizes: [-2, 3] }) }), /size that is no whole number/],
    ['an offset beyond', dict({ t: pickle.tensor({ offset: 1 }) }), /ends beyond its storage/],
    [
      'an offset beyond, of nothing',
      dict({ t: pickle.tensor({ offset: 7, sizes: [0], strides: [1] }) }),
      /begins beyond/,
    ],
    ['a negative offset', dict({ t: pickle.tensor({ offset: -1 }) }), /a tensor without a storage/],
    ['fewer strides than sizes', dict({ t: pickle.tensor({ strides: [1] }) }), /differ in number/],
    [
      'nine dimensions',
      dict({ t: pickle.tensor({ sizes: Array(9).fill(1), strides: Array(9).fill(1) }) }),
      /no short tuple/,
    ],
    ['a million marks', () => torchFile(pickle.whole('('.repeat(1_000_000))), /an empty stack/],
    [
      'tuples in tuples without end',
      () => torchFile(pickle.whole(')', '\x85'.repeat(2_000_000))),
      /more values than a state dict has/,
    ],
    [
      'deep tuples',
      () => torchFile(pickle.whole(')', '\x85'.repeat(1_000_000))),
      /pickle has no dictionary of tensors/,
    ],
    ['copies without end', () => torchFile(pickle.whole('}q\0', 'h\0'.repeat(2_000_000))), /more values/],
    ['a memo that is not there', () => torchFile(pickle.whole('h\x05')), /a memo that was never written/],
    ['a far memo', () => torchFile(pickle.whole('}r\xff\xff\xff\xff0')), /the opcode POP /],
    ['a pop beyond a mark', () => torchFile(pickle.whole('}(s')), /an empty stack/],
    ['a tuple without a mark', () => torchFile(pickle.whole('t')), /no mark where one is needed/],
    ['an odd number of items', () => torchFile(pickle.whole('}(}u')), /items for what is no dictionary/],
    ['no end', () => torchFile(pickle.whole('}').subarray(0, -1)), /an end in the middle/],
    [
      'a pickle of 5 MB',
      () => torchFile(pickle.whole('N'.repeat(5 << 20))),
      /pickle is too large for tensors/,
    ],
    [
      'a dictionary that holds itself',
      () => torchFile(pickle.whole('}q\0', pickle.text('t'), 'h\0s')),
      /under t something that is no tensor/,
    ],
    [
      'a training state',
      dict({ model: Buffer.from('}'), epoch: pickle.integer(3) }),
      /under model something that is no tensor/,
    ],
    ['a tensor twice', () => torchFile(pickle.whole('}(', ...twice(), 'u')), /the tensor t twice/],
    ['keys that are numbers', () => torchFile(pickle.whole('}K\x01Ns')), /keys are not names/],
    [
      'zeros that were compressed',
      () =>
        torchFile(
          pickle.stateDict({
            t: pickle.tensor({ storage: pickle.storage(1 << 24), sizes: [1 << 24], strides: [1] }),
          }),
          { 'data/0': Buffer.alloc(1 << 26) },
          { deflate: true },
        ),
      /its tensors are larger than the file/,
    ],
    [
      'another byte order',
      () => torchFile(pickle.stateDict({}), { byteorder: Buffer.from('big') }),
      /not written on a little-endian machine/,
    ],
    [
      'a TorchScript archive',
      () => readFileSync(join(FIXTURES, 'traces', 'mean', 'model.pt')),
      /TorchScript archive, not weights; load it under a name that ends in \.pt/,
    ],
    [
      'the format before torch 1.6',
      () => Buffer.from('80028a0a6cfc9c46f9206aa850192e8002', 'hex'),
      /the format of torch\.save before torch 1\.6; nothing in it was run\. .*save it again/,
    ],
    ['a bare pickle', () => pickle.whole('}'), /damaged, or not a file of torch\.save/],
    ['no bytes', () => Buffer.alloc(0), /damaged, or not a file of torch\.save/],
  ]
  function twice(): Buffer[] {
    return [pickle.text('t'), pickle.tensor(), pickle.text('t'), pickle.tensor()]
  }
  for (const [what, file, message] of lying) {
    it(`is not believed: ${what}`, () => refused(withBin(file()), 'CHECKPOINT_INVALID', message))
  }
})
