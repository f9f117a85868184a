'use strict'
const { ElectraClassifier } = require('electra-classifier')

ElectraClassifier.load().then(
  () => console.log('loaded'),
  ({ name, code, message }) => console.log(JSON.stringify({ name, code, message })),
)
