'use strict'
const first = require('electra-classifier')
const second = require('other')

async function main() {
  const classifiers = await Promise.all([first.ElectraClassifier.load(), second.ElectraClassifier.load()])
  const [one, two] = await Promise.all(
    ['I love this restaurant!', 'Terrible.'].map((text, i) => classifiers[i].classify(text)),
  )
  await classifiers[0].close()
  // The second is open still, and ends with the process.
  console.log('two', first.ElectraError === second.ElectraError, one.label, two.label)
}

void main()
