import { ElectraClassifier, type Classification } from 'electra-classifier'

const classifier = await ElectraClassifier.load()
const result: Classification<'negative' | 'neutral' | 'positive'> = await classifier.classify('text')
const score: number = result.scores.positive
// @ts-expect-error there is no such label
const none: number = result.scores.unknown
export { score, none }
