'use strict'
const { ElectraClassifier, ElectraError } = require('electra-classifier')

async function main() {
  const classifier = await ElectraClassifier.load()
  const { label } = await classifier.classify('I love this restaurant!')
  await classifier.close()
  console.log('cjs', label, new ElectraError('CLOSED', 'x') instanceof Error)
}

void main()
