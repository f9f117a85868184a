'use strict'
const { Worker, isMainThread, parentPort } = require('node:worker_threads')

async function main() {
  const { ElectraClassifier } = require('electra-classifier')
  const classifier = await ElectraClassifier.load()
  parentPort.postMessage((await classifier.classify('I love this restaurant!')).label)
  await classifier.close()
}

if (isMainThread) {
  const worker = new Worker(__filename)
  worker.on('message', (label) => console.log('worker', label))
  worker.on('exit', (code) => console.log('exit', code))
} else void main()
