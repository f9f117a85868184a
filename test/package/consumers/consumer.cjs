'use strict'
const { ElectraClassifier, ElectraError } = require('electra-classifier')
const { evaluate } = require('electra-classifier/evaluate')

async function main() {
  const classifier = await ElectraClassifier.load()
  const { label } = await classifier.classify('I love this restaurant!')
  const rows = [{ text: 'I love this restaurant!', label: 'positive' }]
  const { whole } = await evaluate((texts) => classifier.classifyStream(texts), rows, {
    labels: classifier.labels,
  })
  await classifier.close()
  console.log('cjs', label, whole.accuracy, new ElectraError('CLOSED', 'x') instanceof Error)
}

void main()
