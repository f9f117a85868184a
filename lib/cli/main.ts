#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { classify, type ClassifyFlags } from './classify'
import { doctor } from './doctor'
import { exportCommand } from './export'
import { explain, EXIT_FAILURE, EXIT_USAGE } from './failure'
import { FORMATS } from './output'

function positiveInteger(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError('It must be a whole number of at least 1.')
  }
  return value
}

function version(): string {
  const text = readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function createProgram(): Command {
  const program = new Command('electra-classifier')
    .description('Scores text with ELECTRA classifiers, computed by libtorch.')
    .version(version())
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => {
        write(text.replace(/^error: /, 'electra-classifier: '))
      },
    })

  program
    .command('classify')
    .description('Classify texts from the arguments, a file, or stdin; one line each, in order.')
    .argument('[text...]', 'texts to classify')
    .option('--file <file>', 'plain lines, .csv with a header, or .jsonl')
    .option('--column <name>', 'CSV column or JSON key of the text (default: text, or sentence)')
    .addOption(new Option('--format <format>', 'how results are printed').choices(FORMATS).default('table'))
    .option('--model <path>', 'checkpoint folder or TorchScript archive (default: the model that ships)')
    .option('--device <device>', 'auto, cpu, cuda or cuda:N')
    .addOption(new Option('--dtype <dtype>', 'what to compute in').choices(['auto', 'fp32', 'bf16', 'fp16']))
    .option('--threads <n>', 'CPU threads', positiveInteger)
    .option('--top-k <k>', 'show the k highest labels', positiveInteger)
    .addHelpText(
      'after',
      `
Examples:
  electra-classifier classify "I love this restaurant!"
  electra-classifier classify --file reviews.csv --column review --format csv > scored.csv
  zcat texts.gz | electra-classifier classify --format json`,
    )
    .action((texts: string[], flags: ClassifyFlags) => classify(texts, flags))

  program
    .command('export')
    .description('Write a checkpoint as one TorchScript archive, with config and tokenizer inside.')
    .argument('<checkpoint>', 'folder with config.json and model.safetensors')
    .argument('<out.pt>', 'the archive to write')
    .addHelpText('after', '\nExample:\n  electra-classifier export models/my-electra my-electra.pt')
    .action(exportCommand)

  program
    .command('doctor')
    .description('Show what was found and what is missing; exits with 1 where something is.')
    .addOption(
      new Option('--format <format>', 'how it is printed').choices(['table', 'json']).default('table'),
    )
    .action(async ({ format }: { format: 'table' | 'json' }) => {
      if (!(await doctor(format))) process.exitCode = EXIT_FAILURE
    })

  return program
}

async function main(): Promise<void> {
  try {
    await createProgram().parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) {
      // It has printed its message, or the help that was asked for.
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE
      return
    }
    const { message, code } = explain(error)
    process.stderr.write(`electra-classifier: ${message}\n`)
    process.exitCode = code
  }
}

void main()
