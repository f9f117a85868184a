// Compiled, never run: the public types as users meet them. `npm run lint` checks this file.
import {
  ElectraClassifier,
  ElectraError,
  exportArchive,
  type CallOptions,
  type Classification,
  type ClassifierStats,
  type ErrorCode,
  type TextInput,
  type TextPair,
} from '../../lib/index'
import { evaluate, reportJson, reportText, type Evaluation, type Report } from '../../lib/evaluation/index'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function expectType<T>(_value: T): void {
  // Only the compiler looks.
}
function expectEqual<A, B>(_equal: Equal<A, B>): void {
  // Only the compiler looks.
}

export async function api(): Promise<void> {
  const shipped = await ElectraClassifier.load()
  const { label } = await shipped.classify('text')
  expectEqual<typeof label, 'negative' | 'neutral' | 'positive'>(true)
  expectType<ElectraClassifier<'negative' | 'neutral' | 'positive'>>(
    await ElectraClassifier.load(undefined, { dtype: 'fp32' }),
  )

  const own = await ElectraClassifier.load<'no' | 'yes'>('folder/', { device: 'cuda:1', threads: 2 })
  const many = await own.classify(['a', 'b'] as const, { long_text: 'window', max_length: 128 })
  expectEqual<typeof many, Classification<'no' | 'yes'>[]>(true)
  expectType<number | undefined>(many[0]?.scores.yes)
  // @ts-expect-error there is no such label
  expectType<number | undefined>(many[0]?.scores.maybe)

  const any = await ElectraClassifier.load('model.pt')
  const one = await any.classify('text')
  expectEqual<typeof one.label, string>(true)
  expectEqual<typeof any.healthy, boolean>(true)
  for await (const result of any.classifyStream(['a'])) expectType<number>(result.num_tokens)
  expectType<number[][]>(await any.forward([[101, 102], Int32Array.of(101, 102)]))
  expectType<{ ids: number[]; tokens: string[] }>(any.tokenize('text'))

  const patient: CallOptions = { timeout_ms: 1000, priority: 'high', on_full: 'wait' }
  await any.classify('text', patient)
  await any.forward([[101, 102]], patient)
  const stats: ClassifierStats = any.stats()
  expectType<number>(stats.latency.queue.p99_ms)
  await any.close({ drain: true })
  // @ts-expect-error no such priority
  await any.classify('text', { priority: 'low' })

  const pair: TextPair = { text: 'a', text_pair: 'b' }
  const of_pair = await own.classify(pair)
  expectEqual<typeof of_pair, Classification<'no' | 'yes'>>(true)
  const mixed = await own.classify(['a', pair] as const)
  expectEqual<typeof mixed, Classification<'no' | 'yes'>[]>(true)
  for await (const result of own.classifyStream(new Set<TextInput>(['a', pair])))
    expectType<'no' | 'yes'>(result.label)
  expectType<number[]>(any.tokenize(pair).token_type_ids)
  expectType<number[][]>(await any.forward([any.tokenize(pair), any.tokenize('a'), [101, 102]]))
  expectType<'softmax' | 'sigmoid' | 'none'>(any.info.score_function)
  // @ts-expect-error a text by itself has no token types
  expectType<number[]>(any.tokenize('text').token_type_ids)
  // @ts-expect-error a pair has two texts
  await any.classify({ text: 'a' })

  // @ts-expect-error a text is a string
  await any.classify(7)
  // @ts-expect-error no such option
  await any.classify('text', { maxLength: 3 })
  // @ts-expect-error no such dtype
  await ElectraClassifier.load('folder/', { dtype: 'fp8' })
  // @ts-expect-error the labels are read-only
  any.labels = []
  // @ts-expect-error classifiers are loaded, not constructed
  new ElectraClassifier()

  await ElectraClassifier.load('org/name/model.pt', {
    revision: 'v1',
    cache_dir: 'cache/',
    local_files_only: true,
    token: false,
    trust: 'archive',
    signal: AbortSignal.timeout(1000),
    on_progress: ({ file, loaded, total }) => {
      expectType<[string, number, number]>([file, loaded, total])
    },
  })
  // @ts-expect-error the one thing that can be trusted
  await ElectraClassifier.load('org/name/model.pt', { trust: true })

  await exportArchive('folder/', 'out.pt', { revision: 'v1' })
  await any.close()
  {
    await using scoped = await ElectraClassifier.load()
    expectType<string>(scoped.device)
  }
  expectType<ErrorCode>(new ElectraError('UNHEALTHY', 'text').code)
}

export async function evaluation(): Promise<void> {
  const classifier = await ElectraClassifier.load()
  const rows = [{ text: 'text', label: 'positive', id: 7n }]
  const found = await evaluate((texts) => classifier.classifyStream(texts), rows, {
    labels: classifier.labels,
    on_result: (row, result) => {
      expectEqual<typeof row.id, bigint>(true)
      expectEqual<typeof result, Classification<'negative' | 'neutral' | 'positive'>>(true)
    },
  })
  expectEqual<typeof found, Evaluation>(true)
  expectType<number | null>(found.whole.macro.f1)
  expectType<Report | undefined>(found.groups[0])
  expectType<string>(reportText(found.whole))
  expectType<Record<string, unknown>>(reportJson(found))
  // @ts-expect-error a row needs a label
  await evaluate((texts) => classifier.classifyStream(texts), [{ text: 'text' }], { labels: ['a', 'b'] })
}
