import { ElectraClassifier, type Classification } from 'electra-classifier'
import { evaluate, type Evaluation } from 'electra-classifier/evaluate'

const classifier = await ElectraClassifier.load()
const result: Classification<'negative' | 'neutral' | 'positive'> = await classifier.classify('text')
const score: number = result.scores.positive
// @ts-expect-error there is no such label
const none: number = result.scores.unknown
const rows = [{ text: 'text', label: 2 }]
const evaluation: Evaluation = await evaluate((texts) => classifier.classifyStream(texts), rows, {
  labels: classifier.labels,
})
export { score, none, evaluation }
