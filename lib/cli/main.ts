#!/usr/bin/env node
import { ElectraClassifier } from '../classifier'
import { run } from './program'

void run(process.argv, (source, options) =>
  source === undefined ? ElectraClassifier.load(undefined, options) : ElectraClassifier.load(source, options),
)
