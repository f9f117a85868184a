import assert from 'node:assert/strict'
import { ElectraClassifier, ElectraError, type ShippedLabel } from '../../lib/index'

/** Logits of a row alone and in a batch come from products of other shapes, so their last bits may differ. */
const SAME = 1e-5

function assertClose(actual: readonly number[], expected: readonly number[], tolerance = SAME): void {
  assert.equal(actual.length, expected.length)
  actual.forEach((value, index) => {
    const difference = Math.abs(value - (expected[index] ?? NaN))
    assert.ok(difference <= tolerance, `${value} against ${expected[index]}`)
  })
}

describe('ElectraClassifier on the model that ships', () => {
  let classifier: ElectraClassifier<ShippedLabel>

  before(async () => {
    classifier = await ElectraClassifier.load(undefined, { dtype: 'fp32' })
  })

  after(() => classifier.close())

  describe('what it is', () => {
    it('has labels, config, device and info, none of which can be changed', () => {
      assert.deepEqual(classifier.labels, ['negative', 'neutral', 'positive'])
      assert.equal(classifier.device, 'cpu')
      assert.equal(classifier.config.hidden_size, 384)
      assert.equal(classifier.config.pooling, 'mean')
      assert.equal(classifier.info.engine, 'electra')
      assert.equal(classifier.info.dtype, 'fp32')
      assert.match(classifier.info.torch_version, /^2\.\d+\.\d+/)
      // Weights that the file has in fp16 are kept so.
      assert.ok(
        classifier.info.memory > 40e6 && classifier.info.memory < 60e6,
        String(classifier.info.memory),
      )
      for (const frozen of [
        classifier.labels,
        classifier.config,
        classifier.config.id2label,
        classifier.info,
      ]) {
        assert.ok(Object.isFrozen(frozen))
      }
    })

    it('takes threads as an option, and says which rule decided', async () => {
      assert.notEqual(classifier.info.threads_rule, 'option')
      await using own = await ElectraClassifier.load(undefined, { threads: 1 })
      assert.equal(own.info.threads, 1)
      assert.equal(own.info.threads_rule, 'option')
    })
  })

  describe('classify', () => {
    it('gives a label, its score, all scores, logits and tokens', async () => {
      const result = await classifier.classify('I love this restaurant!')
      assert.equal(result.label, 'positive')
      assert.equal(result.score, result.scores.positive)
      assert.deepEqual(Object.keys(result).sort(), [
        'label',
        'logits',
        'num_tokens',
        'score',
        'scores',
        'truncated',
      ])
      assert.deepEqual(Object.keys(result.scores), ['negative', 'neutral', 'positive'])
      const sum = Object.values(result.scores).reduce((total, score) => total + score, 0)
      assert.ok(Math.abs(sum - 1) < 1e-9)
      assert.equal(result.logits.length, 3)
      assert.equal(result.num_tokens, 7)
      assert.equal(result.truncated, false)
    })

    it('knows the plain cases', async () => {
      const results = await classifier.classify([
        'The food was wonderful and the staff were lovely.',
        'Terrible service, cold food, never again.',
        'The restaurant is on Main Street.',
      ])
      assert.deepEqual(
        results.map(({ label }) => label),
        ['positive', 'negative', 'neutral'],
      )
    })

    it('gives an array for an array: empty, of one, in order', async () => {
      assert.deepEqual(await classifier.classify([]), [])
      const [only] = await classifier.classify(['Good.'])
      assert.equal(only?.label, 'positive')
    })

    it('scores the empty text as [CLS] [SEP]', async () => {
      const result = await classifier.classify('')
      assert.equal(result.num_tokens, 2)
      const [logits] = await classifier.forward([[101, 102]])
      assertClose(result.logits, logits ?? [])
    })

    it('scores a text alone as in any batch', async () => {
      const texts = Array.from(
        { length: 120 },
        (_, i) => `${'Not bad at all, really. '.repeat(1 + (i % 23))}${i}`,
      )
      const together = await classifier.classify(texts)
      for (let i = 0; i < texts.length; i += 7) {
        const alone = await classifier.classify(texts[i] ?? '')
        assertClose(together[i]?.logits ?? [], alone.logits)
        assert.equal(together[i]?.num_tokens, alone.num_tokens)
      }
    })

    it('serves many calls at once, each with its own answers', async () => {
      const texts = [
        'Superb!',
        'Awful.',
        'It opens at nine.',
        'I was so happy with it.',
        'What a waste of money.',
      ]
      const expected = await classifier.classify(texts)
      const calls = Array.from({ length: 200 }, (_, i) =>
        i % 3 === 0 ? classifier.classify(texts) : classifier.classify(texts[i % 5] ?? ''),
      )
      for (const [i, answer] of (await Promise.all(calls)).entries()) {
        if (Array.isArray(answer)) {
          answer.forEach((result, k) => {
            assertClose(result.logits, expected[k]?.logits ?? [])
          })
        } else {
          assertClose(answer.logits, expected[i % 5]?.logits ?? [])
        }
      }
    })

    it('does not mind the array being changed after the call', async () => {
      const texts = ['Superb!', 'Awful.']
      const pending = classifier.classify(texts)
      texts.reverse()
      assert.deepEqual(
        (await pending).map(({ label }) => label),
        ['positive', 'negative'],
      )
    })

    it('makes ill-formed text well-formed', async () => {
      const [broken, replaced] = await classifier.classify(['good \ud800 food', 'good \ufffd food'])
      assert.deepEqual(broken?.logits, replaced?.logits)
    })
  })

  describe('long texts', () => {
    const long = `${'The room was clean and the bed was fine. '.repeat(200)} But it all went terribly wrong.`

    it('truncates by default, and says so', async () => {
      const result = await classifier.classify(long)
      assert.equal(result.truncated, true)
      assert.equal(result.num_tokens, 512)
      const { ids } = classifier.tokenize(long)
      const [logits] = await classifier.forward([[...ids.slice(0, 511), 102]])
      assertClose(result.logits, logits ?? [])
    })

    it('refuses them when asked to, naming the limit', async () => {
      await assert.rejects(classifier.classify(long, { long_text: 'error' }), (error) => {
        assert.ok(error instanceof ElectraError)
        assert.equal(error.code, 'INPUT_TOO_LONG')
        assert.match(
          error.message,
          /^The text that begins "The room was clean.*" has more than 512 tokens; .*'window'\.$/,
        )
        return true
      })
    })

    it('scores windows: logits averaged with the tokens that each adds as weight', async () => {
      const max_length = 32
      const result = await classifier.classify(long, { long_text: 'window', max_length })
      const { ids } = classifier.tokenize(long)
      assert.equal(result.num_tokens, ids.length)
      assert.equal(result.truncated, false)
      // By hand: 30 tokens between [CLS] and [SEP], each window 24 further than the one before.
      const content = ids.slice(1, -1)
      const rows: number[][] = []
      const weights: number[] = []
      for (let start = 0, covered = 0; covered < content.length; start += 24) {
        const end = Math.min(start + 30, content.length)
        rows.push([101, ...content.slice(start, end), 102])
        weights.push(end - covered)
        covered = end
      }
      const logits = await classifier.forward(rows)
      const expected = [0, 1, 2].map(
        (label) =>
          logits.reduce((sum, row, i) => sum + (row[label] ?? NaN) * (weights[i] ?? NaN), 0) / content.length,
      )
      assertClose(result.logits, expected, 1e-4)
    })

    it('gives the same with windows as without where the text fits', async () => {
      const plain = await classifier.classify('Lovely place.')
      const windowed = await classifier.classify('Lovely place.', { long_text: 'window' })
      assert.deepEqual(windowed, plain)
    })

    it('takes a text of 900,000 characters and stays within its prefix', async () => {
      const huge = 'good food and bad service '.repeat(34_616).slice(0, 900_000)
      const result = await classifier.classify(huge)
      assert.equal(result.truncated, true)
      const prefix = await classifier.classify(huge.slice(0, 6000))
      assert.deepEqual(result.logits, prefix.logits)
    })
  })

  describe('classifyStream', () => {
    it('gives results in order, for sync and async sources', async () => {
      const texts = Array.from(
        { length: 300 },
        (_, i) => `${i % 2 ? 'Great' : 'Terrible'} ${'very '.repeat(i % 17)}${i}`,
      )
      const expected = await classifier.classify(texts)
      async function* source(): AsyncGenerator<string> {
        for (const text of texts) {
          await Promise.resolve()
          yield text
        }
      }
      let i = 0
      for await (const result of classifier.classifyStream(source())) {
        assertClose(result.logits, expected[i++]?.logits ?? [])
      }
      assert.equal(i, texts.length)
    })

    it('reads ahead only a bounded number of texts', async () => {
      let read = 0
      function* endless(): Generator<string> {
        for (;;) yield `text number ${read++}`
      }
      let seen = 0
      for await (const result of classifier.classifyStream(endless())) {
        assert.equal(typeof result.label, 'string')
        if (++seen === 50) break
      }
      assert.ok(read < 50 + 8 * 1024, `${read} read for ${seen} results`)
    })

    it('throws in its place for what is no text, after the results before it', async () => {
      const stream = classifier.classifyStream(['Good.', 7 as unknown as string])
      assert.equal((await stream.next()).value?.label, 'positive')
      await assert.rejects(stream.next(), { name: 'TypeError', message: 'texts[1] must be a string, not 7.' })
    })
  })

  describe('tokenize and forward', () => {
    it('tokenizes as the model sees it', () => {
      assert.deepEqual(classifier.tokenize('Nice!'), {
        ids: [101, 3835, 999, 102],
        tokens: ['[CLS]', 'nice', '!', '[SEP]'],
      })
    })

    it('forwards rows of ids to rows of logits, in order', async () => {
      const { ids } = classifier.tokenize('Nice!')
      const rows = await classifier.forward([ids, Int32Array.of(101, 102), ids])
      assert.equal(rows.length, 3)
      assertClose(rows[0] ?? [], rows[2] ?? [])
      const { logits } = await classifier.classify('Nice!')
      assertClose(rows[0] ?? [], logits)
      assert.deepEqual(await classifier.forward([]), [])
    })

    const wrong: [string, unknown, { name: string; message: string }][] = [
      [
        'no rows',
        undefined,
        { name: 'TypeError', message: 'rows must be an array of rows of ids, not undefined.' },
      ],
      [
        'a flat array',
        [101, 102],
        { name: 'TypeError', message: 'rows[0] must be an array of ids or an Int32Array, not 101.' },
      ],
      [
        'an empty row',
        [[101], []],
        { name: 'RangeError', message: 'rows[1] has 0 ids; the model takes 1 to 512.' },
      ],
      [
        'a row too long',
        [new Int32Array(513)],
        { name: 'RangeError', message: 'rows[0] has 513 ids; the model takes 1 to 512.' },
      ],
      [
        'an id out of range',
        [[101, 30522]],
        { name: 'RangeError', message: 'rows[0][1] must be an integer from 0 to 30521, not 30522.' },
      ],
      [
        'a negative id',
        [[-1]],
        { name: 'RangeError', message: 'rows[0][0] must be an integer from 0 to 30521, not -1.' },
      ],
      [
        'a fraction',
        [[1.5]],
        { name: 'RangeError', message: 'rows[0][0] must be an integer from 0 to 30521, not 1.5.' },
      ],
      ['a string', [['101']], { name: 'TypeError', message: "rows[0][0] must be a number, not '101'." }],
    ]
    for (const [what, rows, error] of wrong) {
      it(`refuses ${what}`, () => assert.rejects(classifier.forward(rows as number[][]), error))
    }
  })

  describe('wrong arguments', () => {
    const texts: [string, unknown, string][] = [
      ['no argument', undefined, 'text must be a string, not undefined.'],
      ['null', null, 'text must be a string, not null.'],
      ['a number', 7, 'text must be a string, not 7.'],
      ['an object', { text: 'a' }, 'text must be a string, not an object (Object).'],
      ['an object without a prototype', Object.create(null), 'text must be a string, not an object.'],
      [
        'a forgotten await',
        Promise.resolve('a'),
        'text must be a string, not a Promise (is an await missing?).',
      ],
      ['a number among texts', ['a', 7], 'texts[1] must be a string, not 7.'],
      ['a hole among texts', ['a', , 'b'], 'texts[1] must be a string, not undefined.'], // eslint-disable-line no-sparse-arrays
    ]
    for (const [what, input, message] of texts) {
      it(`refuses ${what}`, () =>
        assert.rejects(classifier.classify(input as string), { name: 'TypeError', message }))
    }

    const options: [string, unknown, { name: string; message: string }][] = [
      [
        'an unknown option',
        { maxLength: 3 },
        {
          name: 'TypeError',
          message:
            "There is no option 'maxLength'; the options are signal, timeout_ms, priority, on_full, max_length, long_text, max_text_chars.",
        },
      ],
      [
        'options that are no object',
        'fast',
        { name: 'TypeError', message: "options must be an object, not 'fast'." },
      ],
      [
        'a max_length beyond the model',
        { max_length: 513 },
        { name: 'RangeError', message: 'max_length must be an integer from 3 to 512, not 513.' },
      ],
      [
        'a max_length without room',
        { max_length: 2 },
        { name: 'RangeError', message: 'max_length must be an integer from 3 to 512, not 2.' },
      ],
      [
        'an unknown long_text',
        { long_text: 'cut' },
        { name: 'RangeError', message: "long_text must be one of 'truncate', 'error', 'window', not 'cut'." },
      ],
      [
        'a timeout that is no number',
        { timeout_ms: '5' },
        { name: 'TypeError', message: "timeout_ms must be a number, not '5'." },
      ],
      [
        'no time at all',
        { timeout_ms: 0 },
        { name: 'RangeError', message: 'timeout_ms must be an integer from 1 to 2147483647, not 0.' },
      ],
      [
        'an unknown priority',
        { priority: 'urgent' },
        { name: 'RangeError', message: "priority must be one of 'high', 'normal', not 'urgent'." },
      ],
      [
        'an unknown on_full',
        { on_full: 'drop' },
        { name: 'RangeError', message: "on_full must be one of 'error', 'wait', not 'drop'." },
      ],
      [
        'a signal that is none',
        { signal: {} },
        { name: 'TypeError', message: 'signal must be an AbortSignal, not an object (Object).' },
      ],
    ]
    for (const [what, given, error] of options) {
      it(`refuses ${what}`, () => assert.rejects(classifier.classify('a', given as object), error))
    }

    it('refuses a text beyond max_text_chars', async () => {
      await assert.rejects(classifier.classify('abcd', { max_text_chars: 3 }), {
        name: 'RangeError',
        message: 'text has 4 characters, more than max_text_chars (3); shorten it or raise the option.',
      })
      await assert.rejects(classifier.classify('a'.repeat(1_000_001)), { name: 'RangeError' })
    })

    it('refuses a stream that is none', () => {
      assert.throws(() => classifier.classifyStream(7 as unknown as string[]), {
        name: 'TypeError',
        message: 'texts must be an iterable or async iterable of strings.',
      })
    })

    it('is still usable', async () => {
      assert.equal((await classifier.classify('Wonderful!')).label, 'positive')
    })
  })

  describe('aborts', () => {
    const many = Array.from({ length: 400 }, (_, i) => `This is text number ${i}, and it was rather nice.`)

    it('before: nothing is done', async () => {
      const reason = new RangeError('not now')
      await assert.rejects(
        classifier.classify('a', { signal: AbortSignal.abort(reason) }),
        (error) => error === reason,
      )
      await assert.rejects(
        classifier.classify(many, { signal: AbortSignal.abort(reason) }),
        (error) => error === reason,
      )
    })

    it('during: the call ends with the very reason, and others go on', async () => {
      const controller = new AbortController()
      const reason = new Error('caller left')
      const aborted = classifier.classify(many, { signal: controller.signal })
      const other = classifier.classify('Lovely!')
      setImmediate(() => {
        controller.abort(reason)
      })
      await assert.rejects(aborted, (error) => error === reason)
      assert.equal((await other).label, 'positive')
    })

    it('after: nothing happens', async () => {
      const controller = new AbortController()
      const result = await classifier.classify('Lovely!', { signal: controller.signal })
      controller.abort()
      assert.equal(result.label, 'positive')
    })

    it('ends a stream whose source is silent', async () => {
      const controller = new AbortController()
      async function* silent(): AsyncGenerator<string> {
        yield 'Good.'
        await new Promise(() => undefined)
      }
      const stream = classifier.classifyStream(silent(), { signal: controller.signal })
      assert.equal((await stream.next()).value?.label, 'positive')
      const next = stream.next()
      controller.abort('over')
      await assert.rejects(next, (error) => error === 'over')
    })
  })
})

describe('ElectraClassifier.load', () => {
  const wrong: [string, unknown, unknown, { name: string; message: string }][] = [
    [
      'a source that is no string',
      7,
      {},
      {
        name: 'TypeError',
        message:
          'source must be the path of a folder or archive, a hub id, or undefined for the model that ships, not 7.',
      },
    ],
    [
      'an empty source',
      '',
      {},
      { name: 'TypeError', message: 'source must not be empty; leave it out for the model that ships.' },
    ],
    [
      'an unknown device',
      undefined,
      { device: 'gpu' },
      { name: 'RangeError', message: "device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not 'gpu'." },
    ],
    [
      'an unknown dtype',
      undefined,
      { dtype: 'fp8' },
      {
        name: 'RangeError',
        message: "dtype must be one of 'auto', 'fp32', 'bf16', 'fp16', 'int8', not 'fp8'.",
      },
    ],
    [
      'no threads',
      undefined,
      { threads: 0 },
      { name: 'RangeError', message: 'threads must be an integer from 1 to 1024, not 0.' },
    ],
    [
      'threads that are no number',
      undefined,
      { threads: '2' },
      { name: 'TypeError', message: "threads must be a number, not '2'." },
    ],
    [
      'a batch of nothing',
      undefined,
      { max_batch_tokens: 0 },
      { name: 'RangeError', message: 'max_batch_tokens must be an integer from 1 to 2147483647, not 0.' },
    ],
    [
      'a queue of a fraction',
      undefined,
      { max_queue_tokens: 1.5 },
      { name: 'RangeError', message: 'max_queue_tokens must be an integer from 1 to 2147483647, not 1.5.' },
    ],
    [
      'a watchdog that would not wait',
      undefined,
      { watchdog_ms: 0 },
      { name: 'RangeError', message: 'watchdog_ms must be an integer from 1 to 2147483647, not 0.' },
    ],
    [
      'an unknown option',
      undefined,
      { thread: 2 },
      {
        name: 'TypeError',
        message:
          "There is no option 'thread'; the options are device, devices, dtype, threads, libtorch, warmup, graph_buckets, max_batch_tokens, max_queue_tokens, watchdog_ms, revision, cache_dir, local_files_only, token, on_progress, trust, signal.",
      },
    ],
  ]
  for (const [what, source, options, error] of wrong) {
    it(`refuses ${what}`, () =>
      assert.rejects(ElectraClassifier.load(source as string, options as object), error))
  }

  it('refuses CUDA where there is none, with the reason, rather than fall back', async function () {
    const probe = await ElectraClassifier.load()
    const { device } = probe
    await probe.close()
    if (device !== 'cpu') {
      console.log('      skipped: this machine has CUDA')
      this.skip()
    }
    await assert.rejects(ElectraClassifier.load(undefined, { device: 'cuda' }), (error) => {
      assert.ok(error instanceof ElectraError)
      assert.equal(error.code, 'DEVICE_UNAVAILABLE')
      assert.match(error.message, /CUDA/)
      return true
    })
  })

  it('shows the caller in the stack of a native failure', async () => {
    const classifier = await ElectraClassifier.load()
    await classifier.close()
    async function theCaller(): Promise<void> {
      await classifier.classify('a')
    }
    await assert.rejects(
      theCaller(),
      (error) => error instanceof ElectraError && error.stack?.includes('theCaller') === true,
    )
  })
})

describe('close', () => {
  it('rejects later calls with CLOSED, and may be repeated', async () => {
    const classifier = await ElectraClassifier.load()
    await classifier.close()
    await classifier.close()
    const closed = { name: 'ElectraError', code: 'CLOSED' }
    await assert.rejects(classifier.classify('a'), closed)
    await assert.rejects(classifier.classify(['a', 'b']), closed)
    await assert.rejects(classifier.forward([[101, 102]]), closed)
    await assert.rejects(classifier.classifyStream(['a']).next(), closed)
  })

  it('rejects what waits, and answers or rejects what runs, but loses nothing', async () => {
    const classifier = await ElectraClassifier.load()
    const calls = Array.from({ length: 500 }, (_, i) => classifier.classify(`Text number ${i}, and so on.`))
    const outcomes = Promise.allSettled(calls)
    await classifier.close()
    for (const outcome of await outcomes) {
      if (outcome.status === 'rejected') assert.equal((outcome.reason as ElectraError).code, 'CLOSED')
    }
    assert.equal((await outcomes).length, 500)
  })
})
