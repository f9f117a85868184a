import { createRequire } from 'node:module'
import { ElectraClassifier, ElectraError, exportArchive } from 'electra-classifier'
import { evaluate } from 'electra-classifier/evaluate'

const classifier = await ElectraClassifier.load()
const { label } = await classifier.classify('I love this restaurant!')
await classifier.close()
// One module in memory, whichever way it was asked for: instanceof must hold across both.
const same = createRequire(import.meta.url)('electra-classifier').ElectraError === ElectraError
console.log('esm', label, same, typeof exportArchive, typeof evaluate)
