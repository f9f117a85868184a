'use strict'
// A whole process: require, load the model that ships, one result. The caller times it.
const { ElectraClassifier } = require('../..')

async function main() {
  const classifier = await ElectraClassifier.load()
  await classifier.classify('I love this restaurant!')
  console.log(JSON.stringify({ uptime_s: process.uptime() }))
}

void main()
