'use strict'
const { writeFileSync } = require('node:fs')
const { dirname, join } = require('node:path')
const { ElectraClassifier } = require('electra-classifier')

/** The code of the error that writing ends with. */
function write(folder) {
  try {
    writeFileSync(join(folder, 'written'), '')
    return 'written'
  } catch ({ code }) {
    return code
  }
}

async function main() {
  const classifier = await ElectraClassifier.load()
  const { label } = await classifier.classify('I love this restaurant!')
  await classifier.close()
  console.log(write(dirname(require.resolve('electra-classifier'))), write(process.argv[2]), label)
}

void main()
