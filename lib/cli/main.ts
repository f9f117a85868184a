#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { untilAborted } from '../abort'
import { ElectraError } from '../errors'
import type { LoadOptions } from '../types'
import type { ClassifyArguments } from './classify'
import type { InstallArguments } from './install-libtorch'
import type { ListArguments, UninstallArguments } from './installed-libtorches'
import { VARIANTS } from '../libtorch/variants'
import { Ended, InputError, watchForEnd } from './endings'
import type { EvaluateArguments } from './evaluate'
import { addModelSourceOptions, type ModelSourceArguments } from './model-source'
import { FORMATS } from './output'

const CLASSIFY_EXAMPLES = `
Examples:
  $ electra-classifier classify "I love this restaurant!" "It was fine."
  $ electra-classifier classify --file reviews.txt
  $ electra-classifier classify --file reviews.csv --column review --format csv > scored.csv
  $ electra-classifier classify --model jbeno/electra-large-classifier-sentiment --file reviews.jsonl
  $ electra-classifier classify --file pairs.jsonl --pair-column text_pair --model reranker
  $ tail -f comments.log | electra-classifier classify
  $ electra-classifier classify -- "-5 stars"

Files ending in .csv have a header; without --column the column is text, sentence, or the only one. Files
ending in .jsonl or .ndjson hold an object or a string on each line; --column is the key (default: text).
Anything else is one text a line. Stdin is one text a line, too; with --column it is CSV, or JSON Lines where
it begins with a brace. With --pair-column each row is a pair of texts: that of --column (default: text), and
that one.

A table shows the best label and its score; json and csv show all, as far as --top-k allows. A text longer
than the model takes is truncated, and a note on stderr says how many were.

Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted, 143 terminated.`

const EVALUATE_EXAMPLES = `
Examples:
  $ electra-classifier evaluate reviews.csv --text review --label stars --model electra-large
  $ electra-classifier evaluate reviews.jsonl --text text --label label --group source --output report
  $ electra-classifier evaluate scored.csv --text text --label label --predictions probabilities

FILE is CSV with a header (.csv) or JSON Lines (.jsonl, .ndjson); labels are names or ids. It prints precision,
recall and F1 of each label, accuracy, ROC AUC, confusion matrix, log loss, Brier score and calibration error, for
the whole and for each group. --output writes report.html, report.json and predictions.csv.

--predictions scores no text: it takes probabilities (JSON arrays) from a column, in the order of the labels of
--model. --compare does the same for a second opinion and puts the two side by side.

The file is read whole before work begins, so that a bad row leaves nothing half-written. Ctrl-C leaves a valid
predictions.csv, and the same command with --resume goes on from there.

Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted, 143 terminated.`

const EXPORT_EXAMPLES = `
Example:
  $ electra-classifier export jbeno/electra-large-classifier-sentiment electra-large.pt

The archive holds config and tokenizer, and runs here (--model electra-large.pt) and in Python:
torch.jit.load("electra-large.pt")(input_ids, attention_mask).`

const INSTALL_EXAMPLES = `
Examples:
  $ electra-classifier install-libtorch
  $ electra-classifier install-libtorch --variant cu130
  $ electra-classifier install-libtorch --from torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl
  $ electra-classifier install-libtorch --from https://mirror.example/whl/cpu/
  $ electra-classifier install-libtorch --dir /opt/libtorch

A wheel holds libtorch whatever Python it is for. A CUDA build takes NVIDIA's libraries as well, at the versions
that torch pins; from a folder, their wheels have to lie there, too. HTTPS_PROXY and NO_PROXY are honoured, and a
download that was cut goes on where it was.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 terminated.`

const DOCTOR_EXAMPLES = `
Examples:
  $ electra-classifier doctor
  $ electra-classifier doctor --format json

Exit codes: 0 ready, 1 something is missing; the last line says what to run.`

const BUILD_EXAMPLES = `
Examples:
  $ electra-classifier build
  $ LIBTORCH=/opt/libtorch electra-classifier build

It takes a C++20 compiler, cmake, make or ninja, and npm; what is missing is named, with the command that installs it.
A libtorch with C++ headers is found (LIBTORCH names one) or installed. The result goes into the package, and is used
instead of the prebuilt addon.`

const DTYPES = ['auto', 'fp32', 'bf16', 'fp16', 'int8']

/** Runs a command line to its end, and ends the process. */
async function run(argv: readonly string[]): Promise<never> {
  const signal = watchForEnd()
  let exit_code: number
  try {
    exit_code = await parse(argv, signal)
  } catch (error) {
    exit_code = report(signal.aborted ? signal.reason : error)
  }
  // Where a pipe is written in the background, process.exit() would cut what is still on its way.
  await new Promise<void>((done) => {
    process.stdout.write('', () => {
      done()
    })
  })
  // Not by itself: a stdin that is still open would keep the process.
  process.exit(exit_code)
}

async function parse(argv: readonly string[], signal: AbortSignal): Promise<number> {
  let exit_code = 0
  const program = new Command('electra-classifier')
    .description('Scores texts with ELECTRA classifiers, on this machine.')
    .version(version(), '-v, --version')
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      outputError: (message, write) => {
        write(message.replace(/^error: /, 'electra-classifier: '))
      },
    })

  withModel(
    program
      .command('classify')
      .description('Score texts: from the arguments, a file, or stdin.')
      .argument('[TEXT...]', 'texts to score')
      .option('--file <F>', 'read texts from a file')
      .option('--column <NAME>', 'column of a CSV file, key of JSON Lines')
      .option('--pair-column <NAME>', 'column or key of the second text, for models of text pairs')
      .addOption(new Option('--format <FORMAT>', 'how results are printed').choices(FORMATS).default('table'))
      .option('--top-k <K>', 'show the K best labels', wholeNumber),
  )
    .addHelpText('after', CLASSIFY_EXAMPLES)
    .action(async (texts: string[], given: ClassifyArguments) => {
      const { classify } = await import('./classify.js')
      await classify(texts, given, signal)
    })

  withModel(
    program
      .command('evaluate')
      .description('Score labelled texts, and say how good the scores are.')
      .argument('<FILE>', 'CSV or JSON Lines')
      .requiredOption('--text <COL>', 'column of the texts')
      .requiredOption('--label <COL>', 'column of the true labels, by name or id')
      .option('--group <COL>', 'report each value of this column by itself, too')
      .option('--output <DIR>', 'write report.html, report.json and predictions.csv there')
      .addOption(
        new Option('--format <FORMAT>', 'how the report is printed')
          .choices(['table', 'json'])
          .default('table'),
      )
      .option('--predictions <COL>', 'take probabilities from this column; no model runs')
      .option('--compare <COL>', 'compare with the probabilities of this column')
      .option('--resume', 'go on where a run with the same options was stopped')
      .option('--ignore-unknown-labels', 'leave out rows whose label the model does not have'),
  )
    .addHelpText('after', EVALUATE_EXAMPLES)
    .action(async (file: string, given: EvaluateArguments) => {
      const { evaluateFile } = await import('./evaluate.js')
      await evaluateFile(file, given, signal)
    })

  const exportCommand = program
    .command('export')
    .description('Write a checkpoint as one TorchScript archive.')
    .argument('<CHECKPOINT>', 'model folder or hub id')
    .argument('<OUT.pt>', 'archive to write')
    .addHelpText('after', EXPORT_EXAMPLES)
    .action(async (checkpoint: string, out: string, given: ModelSourceArguments) => {
      const { exportCheckpoint } = await import('./export.js')
      await untilAborted(signal, () => exportCheckpoint(checkpoint, out, given, signal))
    })
  addModelSourceOptions(exportCommand)

  program
    .command('install-libtorch')
    .description('Bring the libtorch that does the computing.')
    .addOption(
      new Option('--variant <V>', 'for the CPU, or for a CUDA version (default: cpu)').choices(VARIANTS),
    )
    .option('--from <URL|FILE>', "a wheel of torch, a folder of wheels, or a mirror of PyTorch's index")
    .option('--dir <D>', 'install it there instead of in the cache')
    .addHelpText('after', INSTALL_EXAMPLES)
    .action(async (given: InstallArguments) => {
      const { install } = await import('./install-libtorch.js')
      await untilAborted(signal, () => install(given, signal))
    })

  program
    .command('list')
    .description('Say which libtorches are installed.')
    .option('--dir <D>', 'look at that folder instead of the cache')
    .addOption(new Option('--format <FORMAT>', 'how it is printed').choices(['text', 'json']).default('text'))
    .action(async (given: ListArguments) => {
      const { list } = await import('./installed-libtorches.js')
      await untilAborted(signal, () => list(given))
    })

  program
    .command('uninstall-libtorch')
    .description('Remove what install-libtorch has installed.')
    .addOption(new Option('--variant <V>', 'only that build (default: all)').choices(VARIANTS))
    .option('--dir <D>', 'remove that folder instead of what is in the cache')
    .action(async (given: UninstallArguments) => {
      const { uninstall } = await import('./installed-libtorches.js')
      await untilAborted(signal, () => uninstall(given))
    })

  program
    .command('doctor')
    .description('Say what was found, and what is missing.')
    .addOption(new Option('--format <FORMAT>', 'how it is printed').choices(['text', 'json']).default('text'))
    .addOption(new Option('--json', 'the same as --format json').implies({ format: 'json' }))
    .addHelpText('after', DOCTOR_EXAMPLES)
    .action(async ({ format }: { format: 'text' | 'json' }) => {
      const { doctor } = await import('./doctor.js')
      exit_code = (await untilAborted(signal, () => doctor(format))) ? 0 : 1
    })

  program
    .command('build')
    .description('Compile the addon on this machine, where none is prebuilt for it.')
    .addHelpText('after', BUILD_EXAMPLES)
    .action(async () => {
      const { build } = await import('./build.js')
      await untilAborted(signal, () => build(signal))
    })

  await program.parseAsync(argv)
  return exit_code
}

/** Adds the options that say which model runs, and how. */
function withModel(command: Command): Command {
  command
    .option('--model <M>', 'model folder, archive (.pt) or hub id; without it, the small one that ships')
    .option('--device <D>', 'auto, cpu, cuda or cuda:N (default: auto)', device)
    .addOption(new Option('--dtype <T>', 'what to compute in (default: auto)').choices(DTYPES))
    .option('--threads <N>', 'CPU threads (default: what the machine allows)', wholeNumber)
  return addModelSourceOptions(command)
}

/** Says on stderr what went wrong, and gives the exit code for it. */
function report(error: unknown): number {
  if (error instanceof Ended) return error.exit_code
  // It has said everything itself: help, the version, or what it could not parse.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  process.stderr.write(`electra-classifier: ${error instanceof Error ? error.message : String(error)}\n`)
  // A RangeError is an option's value that the library refused.
  const given = error instanceof InputError || error instanceof RangeError
  const absent = error instanceof ElectraError && error.code === 'CHECKPOINT_NOT_FOUND'
  return given || absent ? 2 : 1
}

function wholeNumber(value: string): number {
  if (!/^[1-9]\d{0,3}$/.test(value))
    throw new InvalidArgumentError('It must be a whole number of at least 1.')
  return Number(value)
}

function device(value: string): NonNullable<LoadOptions['device']> {
  if (value === 'auto' || value === 'cpu' || value === 'cuda') return value
  const card = /^cuda:(\d{1,3})$/.exec(value)?.[1]
  if (card === undefined) throw new InvalidArgumentError('It must be auto, cpu, cuda or cuda:N.')
  return `cuda:${Number(card)}`
}

function version(): string {
  const text = readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

void run(process.argv)
