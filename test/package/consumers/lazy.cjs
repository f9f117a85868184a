'use strict'
/** Shared libraries of the package and of libtorch that are open in this process. */
function open() {
  process.report.excludeNetwork = true
  const ours = /(electra_classifier|electra_core|libtorch_cpu)[^/\\]*$/
  return process.report.getReport().sharedObjects.flatMap((path) => ours.exec(path)?.[1] ?? [])
}

const { ElectraClassifier } = require('electra-classifier')
require('electra-classifier/evaluate')
const before = open()
ElectraClassifier.load().then(async (classifier) => {
  console.log(JSON.stringify({ before, after: [...new Set(open())].sort() }))
  await classifier.close()
})
