import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ElectraClassifier, ElectraError, exportArchive, type TextInput } from '../../lib/index'

const FIXTURES = join(__dirname, '..', 'fixtures')
const CHECKPOINTS = join(FIXTURES, 'checkpoints')

/** Against Python in fp32. */
const PARITY = 1e-4
/** A row alone against the same row in a batch. */
const SAME = 1e-5

interface Golden {
  max_length: number
  inputs: TextInput[]
  cases: {
    checkpoint: string
    problem_type: string | null
    /** For each input the labels, the best one first. */
    scores: [label: string, score: number][][]
  }[]
}
const golden = JSON.parse(readFileSync(join(FIXTURES, 'scored.json'), 'utf8')) as Golden

function assertClose(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  assert.equal(actual.length, expected.length)
  actual.forEach((value, index) => {
    const difference = Math.abs(value - (expected[index] ?? NaN))
    assert.ok(difference <= tolerance, `${value} against ${expected[index]}`)
  })
}

let folder: string
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'electra-pairs-'))
})
after(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** A fixture's folder, some of its config replaced. */
function changed(name: string, changes: object): string {
  const path = mkdtempSync(join(folder, `${name}-`))
  cpSync(join(CHECKPOINTS, name), path, { recursive: true })
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, ...changes }))
  return path
}

describe('scores by problem type: those of transformers’ pipeline, for texts and pairs', () => {
  for (const { checkpoint, problem_type, scores } of golden.cases) {
    it(`${checkpoint}, ${problem_type ?? 'which the config does not name'}`, async () => {
      await using classifier = await ElectraClassifier.load(changed(checkpoint, { problem_type }), {
        dtype: 'fp32',
      })
      const one_label = classifier.labels.length === 1
      const expected_function =
        problem_type === 'regression'
          ? 'none'
          : one_label || problem_type === 'multi_label_classification'
            ? 'sigmoid'
            : 'softmax'
      assert.equal(classifier.info.score_function, expected_function)
      const results = await classifier.classify(golden.inputs, { max_length: golden.max_length })
      for (const [index, result] of results.entries()) {
        const ranked = scores[index] ?? []
        assert.deepEqual(Object.keys(result.scores), classifier.labels)
        assertClose(
          ranked.map(([label]) => result.scores[label] ?? NaN),
          ranked.map(([, score]) => score),
          PARITY,
        )
        assert.equal(result.label, ranked[0]?.[0])
        assert.equal(result.score, result.scores[result.label])
      }
    })
  }

  it('averages the logits of windows before anything else', async () => {
    await using classifier = await ElectraClassifier.load(
      changed('five-labels', { problem_type: 'multi_label_classification' }),
      { dtype: 'fp32' },
    )
    const text = 'one two three four five six seven eight nine ten'
    const { logits, scores } = await classifier.classify(text, { long_text: 'window', max_length: 16 })
    assertClose(
      Object.values(scores),
      logits.map((logit) => 1 / (1 + Math.exp(-logit))),
      1e-12,
    )
  })

  it('names a single logit LABEL_0 where the config names none', async () => {
    const changes = { id2label: undefined, label2id: undefined, num_labels: 1 }
    await using classifier = await ElectraClassifier.load(changed('one-label', changes))
    assert.deepEqual(classifier.labels, ['LABEL_0'])
    assert.equal((await classifier.classify('good')).label, 'LABEL_0')
  })
})

describe('pairs', () => {
  const pair = { text: 'is it good?', text_pair: 'no, it is bad.' }
  let classifier: ElectraClassifier

  before(async () => {
    classifier = await ElectraClassifier.load(join(CHECKPOINTS, 'five-labels'), { dtype: 'fp32' })
  })
  after(() => classifier.close())

  it('are scored alone as among texts, in an array and in a stream', async () => {
    assert.equal(classifier.info.takes_pairs, true)
    const inputs = Array.from({ length: 60 }, (_, i) => golden.inputs[i % golden.inputs.length] ?? '')
    const together = await classifier.classify(inputs)
    const streamed = []
    for await (const result of classifier.classifyStream(inputs)) streamed.push(result)
    for (const [index, input] of golden.inputs.entries()) {
      const alone = await classifier.classify(input)
      assertClose(together[index]?.logits ?? [], alone.logits, SAME)
      assertClose(streamed[index]?.logits ?? [], alone.logits, SAME)
      assert.equal(together[index]?.num_tokens, alone.num_tokens)
    }
  })

  it('are not the two texts in a row: the second has a type of its own', async () => {
    const { ids, token_type_ids, tokens } = classifier.tokenize(pair)
    assert.equal(tokens.filter((token) => token === '[SEP]').length, 2)
    const [typed, untyped] = await classifier.forward([{ ids, token_type_ids }, ids])
    assertClose((await classifier.classify(pair)).logits, typed ?? [], SAME)
    assert.ok(typed?.some((logit, label) => Math.abs(logit - (untyped?.[label] ?? NaN)) > 0.01))
    const [zeros] = await classifier.forward([{ ids, token_type_ids: new Int32Array(ids.length) }])
    assertClose(zeros ?? [], untyped ?? [], SAME)
  })

  it('may be changed after the call', async () => {
    const mine = { ...pair }
    const pending = Promise.all([classifier.classify(mine), classifier.classify([mine])])
    mine.text_pair = 'never'
    const [one, [of_array]] = await pending
    const { logits } = await classifier.classify(pair)
    assertClose(one.logits, logits, SAME)
    assertClose(of_array?.logits ?? [], logits, SAME)
  })

  it('say when they were truncated, and where their tokens are counted', async () => {
    const whole = await classifier.classify(pair)
    assert.deepEqual([whole.num_tokens, whole.truncated], [classifier.tokenize(pair).ids.length, false])
    const cut = await classifier.classify(pair, { max_length: 9 })
    assert.deepEqual([cut.num_tokens, cut.truncated], [9, true])
    const exact = await classifier.classify(pair, { max_length: whole.num_tokens, long_text: 'error' })
    assert.deepEqual(exact, whole)
  })

  it('that are long are tokenized in steps, to the same ids', async () => {
    const long = { text: 'good '.repeat(3000), text_pair: 'bad '.repeat(4000) }
    const short = { text: 'good '.repeat(30), text_pair: 'bad '.repeat(40) }
    const results = await classifier.classify([long, short])
    assertClose(results[0]?.logits ?? [], results[1]?.logits ?? [], SAME)
    assert.equal(results[0]?.num_tokens, classifier.config.max_position_embeddings)
  })

  it('are refused by long_text: error, which quotes both', async () => {
    await assert.rejects(classifier.classify(pair, { long_text: 'error', max_length: 9 }), (error) => {
      assert.ok(error instanceof ElectraError)
      assert.equal(error.code, 'INPUT_TOO_LONG')
      assert.equal(
        error.message,
        'The pair that begins "is it good?" and "no, it is bad." has more than 9 tokens; shorten it, or pass long_text: \'truncate\'.',
      )
      return true
    })
  })

  const wrong: [string, unknown, object, { name: string; message: string | RegExp }][] = [
    [
      'windows',
      pair,
      { long_text: 'window' },
      {
        name: 'TypeError',
        message:
          "text is a pair, which has no windows; pass long_text: 'truncate' or 'error', or one text at a time.",
      },
    ],
    [
      'a second text that is none',
      { text: 'a', text_pair: 7 },
      {},
      { name: 'TypeError', message: 'text.text_pair must be a string, not 7.' },
    ],
    [
      'no first text',
      { text_pair: 'a' },
      {},
      { name: 'TypeError', message: 'text.text must be a string, not undefined.' },
    ],
    [
      'no second text',
      { text: 'a' },
      {},
      { name: 'TypeError', message: 'text must be a string, not an object (Object).' },
    ],
    [
      'a pair among texts whose second is too long',
      ['a', { text: 'a', text_pair: 'abcd' }],
      { max_text_chars: 3 },
      { name: 'RangeError', message: /^texts\[1\]\.text_pair has 4 characters/ },
    ],
  ]
  for (const [what, input, options, error] of wrong) {
    it(`refuse ${what}`, () => assert.rejects(classifier.classify(input as string, options), error))
  }

  const rows: [string, unknown, { name: string; message: string }][] = [
    [
      'types of another length',
      { ids: [2, 3], token_type_ids: [0] },
      { name: 'RangeError', message: 'rows[0].token_type_ids has 1 entries, and the row has 2 ids.' },
    ],
    [
      'a type out of range',
      { ids: [2, 3], token_type_ids: [0, 2] },
      {
        name: 'RangeError',
        message: 'rows[0].token_type_ids[1] must be an integer from 0 to 1, not 2.',
      },
    ],
    [
      'types that are no array',
      { ids: [2, 3], token_type_ids: 1 },
      {
        name: 'TypeError',
        message: 'rows[0].token_type_ids must be an array of ids or an Int32Array, not 1.',
      },
    ],
    [
      'no ids',
      { ids: [] },
      { name: 'RangeError', message: 'rows[0].ids has 0 ids; the model takes 1 to 48.' },
    ],
  ]
  for (const [what, row, error] of rows) {
    it(`forward refuses ${what}`, () => assert.rejects(classifier.forward([row as number[]]), error))
  }

  it('are scored by an archive of ours as by its checkpoint', async () => {
    const archive = join(folder, 'five-labels.pt')
    await exportArchive(join(CHECKPOINTS, 'five-labels'), archive)
    await using exported = await ElectraClassifier.load(archive, { dtype: 'fp32' })
    assert.equal(exported.info.takes_pairs, true)
    assertClose((await exported.classify(pair)).logits, (await classifier.classify(pair)).logits, PARITY)
  })

  it('are refused where the archive’s forward takes no token_type_ids', async () => {
    await using trace = await ElectraClassifier.load(join(FIXTURES, 'traces', 'mean', 'model.pt'))
    assert.equal(trace.info.takes_pairs, false)
    const refusal = {
      name: 'TypeError',
      message:
        /^text is a pair, and this model takes none: the forward\(input_ids, attention_mask\) of its archive takes no token_type_ids; load the checkpoint .*\.$/,
    }
    await assert.rejects(trace.classify(pair), refusal)
    assert.throws(() => trace.tokenize(pair), refusal)
    await assert.rejects(trace.forward([{ ids: [2, 3], token_type_ids: [0, 0] }]), {
      name: 'TypeError',
      message: 'rows[0].token_type_ids must be left out: the model takes no token types.',
    })
    const stream = trace.classifyStream(['a b', pair])
    assert.ok((await stream.next()).value)
    await assert.rejects(stream.next(), { name: 'TypeError', message: /^texts\[1\] is a pair/ })
  })

  it('are refused where the tokenizer has no template for them', async () => {
    const path = changed('five-labels', {})
    const vocab = readFileSync(join(path, 'vocab.txt'), 'utf8').trimEnd().split('\n')
    const ids = Object.fromEntries(vocab.map((token, id) => [token, id]))
    const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } })
    const tokenizer = {
      added_tokens: [],
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase: true,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: {
        type: 'TemplateProcessing',
        single: [special('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, special('[SEP]')],
        pair: [],
        special_tokens: Object.fromEntries(
          ['[CLS]', '[SEP]'].map((token) => [token, { id: token, ids: [ids[token]], tokens: [token] }]),
        ),
      },
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: ids,
      },
    }
    writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(tokenizer))
    await using without = await ElectraClassifier.load(path)
    assert.equal(without.info.takes_pairs, false)
    await assert.rejects(without.classify(pair), {
      name: 'TypeError',
      message: /takes none: its tokenizer files do not say, .*how two texts make one row/,
    })
  })
})
