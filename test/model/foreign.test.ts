import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openBinding } from '../../lib/binding'
import { ElectraClassifier, ElectraError } from '../../lib/index'
import { testProgram } from '../binding/fake'

const ROOT = join(__dirname, '..', '..')
const FOREIGN = join(ROOT, 'test', 'fixtures', 'foreign')
const CHECKPOINTS = join(ROOT, 'test', 'fixtures', 'checkpoints')
const PYTHON = process.env.ELECTRA_TEST_PYTHON ?? 'python3'

/** Largest difference from Python in fp32, in proportion where logits are larger than one. */
const PARITY = 1e-4
/** Mean difference in half precision: random weights amplify single ones. */
const HALF = { fp16: 0.02, bf16: 0.15 }

interface Row {
  input_ids: number[]
  logits: number[]
}

const archive = (name: string): string => join(FOREIGN, name, 'model.pt')
const golden = (name: string): Row[] =>
  JSON.parse(readFileSync(join(FOREIGN, name, 'golden.json'), 'utf8')) as Row[]

function assertClose(actual: readonly number[] | undefined, expected: readonly number[], what: string): void {
  assert.equal(actual?.length, expected.length, what)
  for (const [i, value] of expected.entries()) {
    const difference = Math.abs((actual[i] ?? NaN) - value)
    // Not `difference > …`: NaN must fail.
    assert.ok(difference <= PARITY * Math.max(1, Math.abs(value)), `${what} differs by ${difference}`)
  }
}

const runnable = readdirSync(FOREIGN).filter((name) => existsSync(join(FOREIGN, name, 'golden.json')))

describe('archives that others made', () => {
  it('come from two majors of transformers, with both kinds of attention', () => {
    for (const name of ['electra-4-eager', 'bert-4-sdpa', 'electra-5-eager', 'electra-5-sdpa']) {
      assert.ok(runnable.includes(name), name)
    }
  })

  for (const name of runnable) {
    it(`${name} gives Python’s logits, rows of all lengths together and alone`, async () => {
      await using classifier = await ElectraClassifier.load(archive(name), { dtype: 'fp32', device: 'cpu' })
      assert.equal(classifier.info.engine, 'script')
      assert.equal(classifier.info.mixes_lengths, true)
      const rows = golden(name)
      const together = await classifier.forward(rows.map((row) => row.input_ids))
      for (const [i, row] of rows.entries()) {
        assertClose(together[i], row.logits, `row ${i}`)
        const [alone] = await classifier.forward([row.input_ids])
        assertClose(alone, together[i] ?? [], `row ${i} alone`)
      }
    })

    for (const dtype of ['bf16', 'fp16'] as const) {
      it(`${name} runs in ${dtype}`, async () => {
        await using classifier = await ElectraClassifier.load(archive(name), { dtype, device: 'cpu' })
        assert.equal(classifier.info.dtype, dtype)
        assert.equal(classifier.info.mixes_lengths, true)
        const rows = golden(name)
        const logits = (await classifier.forward(rows.map((row) => row.input_ids))).flat()
        const expected = rows.flatMap((row) => row.logits)
        const sum = expected.reduce((total, value, i) => total + Math.abs((logits[i] ?? NaN) - value), 0)
        // Not `> …`: NaN must fail.
        assert.ok(sum / expected.length <= HALF[dtype], `the mean difference is ${sum / expected.length}`)
      })
    }
  }

  it('say where they were made for another device or dtype', async () => {
    const note = async (name: string, dtype: 'fp32' | 'bf16'): Promise<string> => {
      await using classifier = await ElectraClassifier.load(archive(name), { dtype, device: 'cpu' })
      return classifier.info.notes.find((line) => line.includes('code names')) ?? ''
    }
    assert.equal(await note('electra-5-eager', 'fp32'), '')
    assert.match(await note('electra-5-eager-elsewhere', 'fp32'), /names cuda:0 and runs on cpu in fp32/)
    assert.match(await note('electra-5-eager-elsewhere', 'bf16'), /names cuda:0 and fp32 and runs on cpu in/)
    assert.match(await note('scripted-elsewhere', 'fp32'), /names cuda and runs on cpu in fp32/)
  })

  it('hold half of the memory in half precision, constants of a frozen one included', async () => {
    for (const name of ['scripted', 'frozen']) {
      const memory = async (dtype: 'fp32' | 'bf16'): Promise<number> => {
        await using classifier = await ElectraClassifier.load(archive(name), { dtype })
        return classifier.info.memory
      }
      const full = await memory('fp32')
      assert.ok(full > 1000, `${name}: ${full}`)
      assert.equal(await memory('bf16'), full / 2, name)
    }
  })

  const refused: [name: string, dtype: 'fp32' | 'bf16' | 'fp16', code: string, message: RegExp][] = [
    [
      'holds-to-fp32',
      'bf16',
      'MODEL_LOAD_FAILED',
      /runs on cpu in fp32, but not on cpu in bf16 \(torch says: .*same dtype.*\); load it with device 'cpu' and dtype 'fp32', or export/,
    ],
    ['holds-to-fp32', 'fp16', 'MODEL_LOAD_FAILED', /but not on cpu in fp16/],
    ['types-second', 'fp32', 'CHECKPOINT_INVALID', /found forward\(input_ids, token_type_ids\)/],
    [
      'no-logits',
      'fp32',
      'CHECKPOINT_INVALID',
      /gives a dictionary without "logits", expected logits of shape/,
    ],
    [
      'with-dropout',
      'fp32',
      'CHECKPOINT_INVALID',
      /other logits for the same row each time.*call model\.eval\(\)/,
    ],
  ]
  for (const [name, dtype, code, message] of refused) {
    it(`refuses ${name} in ${dtype}, with reason and remedy`, async () => {
      await assert.rejects(ElectraClassifier.load(archive(name), { dtype, device: 'cpu' }), (error) => {
        assert.ok(error instanceof ElectraError)
        assert.equal(error.code, code, error.message)
        assert.match(error.message, message)
        assert.doesNotMatch(error.message, /\n|Traceback|frame #/)
        return true
      })
    })
  }
})

/** Runs archives on the device "meta", where, as on a card, meeting a tensor that is elsewhere fails. */
const ON_META = `
import sys, torch
for path in sys.argv[1:]:
    module = torch.jit.load(path)
    for part in module.modules():
        for name, value in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            part._c.setattr(name, value.to("meta"))
    ids = torch.ones(2, 7, dtype=torch.long, device="meta")
    with torch.no_grad():
        logits = module(ids, ids)
    logits = logits["logits"] if isinstance(logits, dict) else logits[0] if isinstance(logits, tuple) else logits
    assert logits.is_meta and logits.shape == (2, 3), path
print("moved")
`
const has_reference = spawnSync(PYTHON, ['-c', 'import torch, electra_classifier, transformers']).status === 0
const NO_REFERENCE = `      skipped: ${PYTHON} has no torch, transformers and electra-classifier (ELECTRA_TEST_PYTHON names another)`

describe('moving an archive to a device that is not here', () => {
  let folder: string
  let env: NodeJS.ProcessEnv
  let retarget: string

  before(async function () {
    retarget = testProgram(this, 'electra_retarget')
    folder = mkdtempSync(join(tmpdir(), 'retarget-'))
    const { libtorch } = await openBinding()
    env = { ...process.env, LD_LIBRARY_PATH: join(libtorch.folder, 'lib') }
  })

  after(() => {
    if (folder) rmSync(folder, { recursive: true, force: true })
  })

  /** Writes the archive as moved to `device`, with its config beside it. */
  function moved(name: string, device: string): { out: string; named: string } {
    cpSync(join(FOREIGN, name), folder, { recursive: true })
    const out = join(folder, `${name}-${device.replace(':', '')}.pt`)
    return { out, named: execFileSync(retarget, [archive(name), device, out], { env, encoding: 'utf8' }) }
  }

  for (const name of ['electra-5-sdpa', 'electra-5-eager', 'bert-4-sdpa', 'scripted']) {
    it(`takes ${name} to cuda:0 and back`, async () => {
      const { out } = moved(name, 'cuda:0')
      await using classifier = await ElectraClassifier.load(out, { dtype: 'fp32', device: 'cpu' })
      assert.match(classifier.info.notes.join(' '), /code names cuda:0 and runs on cpu/)
      const rows = golden(name)
      const logits = await classifier.forward(rows.map((row) => row.input_ids))
      for (const [i, row] of rows.entries()) assertClose(logits[i], row.logits, `row ${i}`)
    })
  }

  it('leaves no part of a trace behind', function () {
    this.timeout(300_000)
    if (!has_reference) {
      console.log(NO_REFERENCE)
      this.skip()
    }
    const named = {
      'electra-5-sdpa': 'cpu\n',
      'electra-5-eager-elsewhere': 'cuda:0\n',
      'electra-4-eager': '',
      'sequence-4-eager': '',
      'sequence-5-sdpa': 'cpu\n',
      'bert-4-sdpa': 'cpu\n',
    }
    const archives = Object.entries(named).map(([name, devices]) => {
      const to_meta = moved(name, 'meta')
      assert.equal(to_meta.named, devices, name)
      return to_meta.out
    })
    const { stdout, stderr } = spawnSync(PYTHON, ['-c', ON_META, ...archives], { encoding: 'utf8' })
    assert.equal(stdout, 'moved\n', stderr)
  })
})

describe('scripts/trace.py', () => {
  let folder: string

  before(function () {
    if (!has_reference) {
      console.log(NO_REFERENCE)
      this.skip()
    }
    folder = mkdtempSync(join(tmpdir(), 'trace-'))
  })

  after(() => {
    if (folder) rmSync(folder, { recursive: true, force: true })
  })

  const python = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(PYTHON, args, { cwd: join(ROOT, 'scripts'), encoding: 'utf8' })

  it('traces a checkpoint, checks it, and the one file runs here and on any device', async function () {
    this.timeout(300_000)
    const checkpoint = join(CHECKPOINTS, 'embeddings-project')
    const out = join(folder, 'traced.pt')
    const { status, stdout, stderr } = python('trace.py', checkpoint, out, '--attn', 'eager')
    assert.equal(status, 0, stderr)
    assert.match(stdout, /devices written into the graph: none/)
    assert.match(stdout, /another batch and length, 5 × 31: largest difference \d/)
    assert.match(stdout, /padded rows of 1 to 29 tokens: largest difference \d/)
    assert.equal(python('-c', ON_META, out).stdout, 'moved\n')
    await using classifier = await ElectraClassifier.load(out, { dtype: 'fp32', device: 'cpu' })
    assert.equal(classifier.info.engine, 'script')
    const rows = JSON.parse(readFileSync(join(checkpoint, 'golden.json'), 'utf8')) as Row[]
    const logits = await classifier.forward(rows.map((row) => row.input_ids))
    for (const [i, row] of rows.entries()) assertClose(logits[i], row.logits, `row ${i}`)
  })

  it('exits with 1 and leaves no file where a check fails', function () {
    this.timeout(300_000)
    const out = join(folder, 'bad.pt')
    // A trace with its shape written down, as of a model whose Python code looks at it.
    const script = `
import sys, torch, trace
class Fixed(trace.ToLogits):
    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids[:, :9], attention_mask[:, :9])
trace.trace = lambda model: torch.jit.trace(Fixed(model), trace.make_inputs(model.config, [9, 5], 0), check_trace=False)
sys.argv = ["trace.py", ${JSON.stringify(join(CHECKPOINTS, 'mean-swishglu'))}, ${JSON.stringify(out)}]
trace.main()`
    const { status, stdout, stderr } = python('-c', script)
    assert.equal(status, 1, stderr)
    assert.match(stdout, /the shape it was traced with.*largest difference 0\.0e\+00/)
    assert.match(stderr, /failed: the trace gives other logits than the model for another batch and length/)
    assert.deepEqual(
      readdirSync(folder).filter((file) => file.startsWith('bad.pt')),
      [],
    )
  })

  it('exits with 2 where there is nothing to trace', function () {
    this.timeout(300_000)
    const empty = join(folder, 'empty')
    cpSync(join(CHECKPOINTS, 'mean-swishglu'), empty, {
      recursive: true,
      filter: (path) => !path.endsWith('vocab.txt'),
    })
    const { status, stderr } = python('trace.py', empty, join(folder, 'none.pt'))
    assert.equal(status, 2)
    assert.match(stderr, /has no tokenizer\.json and no vocab\.txt; copy one/)
    assert.equal(python('trace.py', empty, 'out.onnx').status, 2)
    assert.equal(existsSync(join(folder, 'none.pt')), false)
  })
})
