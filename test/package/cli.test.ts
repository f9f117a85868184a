import assert from 'node:assert/strict'
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text as textOf } from 'node:stream/consumers'
import { parse } from 'csv-parse/sync'

const ROOT = join(__dirname, '..', '..')
const MAIN = join(ROOT, 'dist', 'cli', 'main.js')
const MODEL = join(ROOT, 'models', 'sentiment-minilm-l6')

interface Ended {
  stdout: string
  stderr: string
  code: number | null
  signal: NodeJS.Signals | null
}

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [MAIN, ...args], { cwd: ROOT, env: { ...process.env, ...env } })
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  const closed = once(child, 'close')
  const [stdout, stderr] = await Promise.all([textOf(child.stdout), textOf(child.stderr)])
  const [code, signal] = (await closed) as [number | null, NodeJS.Signals | null]
  return { stdout, stderr, code, signal }
}

function cli(args: readonly string[], stdin = '', env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const child = start(args, env)
  // A command that does not read it closes it first.
  child.stdin.on('error', () => undefined)
  child.stdin.end(stdin)
  return ended(child)
}

interface Printed {
  text: string
  text_pair?: string
  label: string
  score: number
  scores: Record<string, number>
  logits: number[]
  num_tokens: number
  truncated: boolean
}

function printed(stdout: string): Printed[] {
  const lines = stdout.trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Printed)
}

describe('the command line', function () {
  this.timeout(120_000)
  const folder = mkdtempSync(join(tmpdir(), 'electra-cli-'))
  after(() => {
    rmSync(folder, { recursive: true })
  })
  const file = (name: string, content: string): string => {
    const path = join(folder, name)
    writeFileSync(path, content)
    return path
  }

  describe('classify', () => {
    it('begins a table with the label', async () => {
      const { stdout, stderr, code } = await cli(['classify', 'I love this restaurant!'])
      assert.match(stdout, /^positive {2}0\.9\d{3} {2}I love this restaurant!\n$/)
      assert.deepEqual([stderr, code], ['', 0])
    })

    it('prints every fact as JSON, for texts from the arguments, the empty one too', async () => {
      const args = ['classify', '--format', 'json', '--dtype', 'fp32', '--threads', '1']
      const { stdout, code } = await cli([...args, 'Terrible.', '', '-5'])
      const results = printed(stdout)
      assert.equal(code, 0)
      assert.deepEqual(
        results.map(({ text }) => text),
        ['Terrible.', '', '-5'],
      )
      const [first] = results
      assert.equal(first?.label, 'negative')
      assert.equal(first.score, first.scores.negative)
      assert.deepEqual(Object.keys(first.scores), ['negative', 'neutral', 'positive'])
      assert.equal(first.logits.length, 3)
      assert.deepEqual([first.num_tokens, first.truncated], [4, false])
      assert.equal(results[1]?.num_tokens, 2)
    })

    it('reads a CSV file and prints CSV, in order', async () => {
      const path = file('a.csv', 'id,review\n1,"Great, ""really"""\n2,Awful.\n3,\n')
      const { stdout, code } = await cli([
        'classify',
        '--file',
        path,
        '--column',
        'review',
        '--format',
        'csv',
      ])
      const [header, ...rows] = parse(stdout)
      assert.equal(code, 0)
      assert.deepEqual(header, [
        ...['text', 'label', 'score', 'negative', 'neutral', 'positive', 'num_tokens', 'truncated'],
      ])
      assert.deepEqual(
        rows.map(([text, label]) => [text, label]),
        [
          ['Great, "really"', 'positive'],
          ['Awful.', 'negative'],
          ['', 'neutral'],
        ],
      )
    })

    it('reads JSON Lines from a file and plain lines from stdin, a blank line being a row', async () => {
      const path = file('a.jsonl', '{"text":"Great."}\n"Awful."\n')
      const from_file = await cli(['classify', '--file', path, '--format', 'json', '--top-k', '1'])
      assert.deepEqual(
        printed(from_file.stdout).map(({ scores }) => Object.keys(scores)),
        [['positive'], ['negative']],
      )
      const from_stdin = await cli(['classify', '--format', 'json'], 'Great.\r\n\nAwful.\n')
      assert.deepEqual(
        printed(from_stdin.stdout).map(({ text }) => text),
        ['Great.', '', 'Awful.'],
      )
    })

    it('reads CSV or JSON Lines from stdin where a column is named', async () => {
      for (const stdin of ['q,z\nGreat.,1\n', '{"q":"Great."}\n']) {
        const { stdout } = await cli(['classify', '--column', 'q'], stdin)
        assert.match(stdout, /^positive .* Great\.\n$/)
      }
    })

    it('says how many texts were truncated', async () => {
      const { stdout, stderr, code } = await cli(
        ['classify', '--format', 'json'],
        `${'word '.repeat(600)}\nshort\n`,
      )
      assert.deepEqual(
        printed(stdout).map(({ truncated }) => truncated),
        [true, false],
      )
      assert.match(stderr, /^electra-classifier: One text was longer than the model's 512 tokens; .*\n$/)
      assert.equal(code, 0)
    })

    it('scores pairs of CSV and JSON Lines, and prints both texts', async () => {
      const model = join(ROOT, 'test', 'fixtures', 'checkpoints', 'five-labels')
      const pair = { text: 'is it good?', text_pair: 'no' }
      const lines = file('pairs.jsonl', `${JSON.stringify({ ...pair, id: 1 })}\n`)
      const args = ['classify', '--model', model, '--pair-column', 'text_pair', '--format', 'json']
      const of_file = await cli([...args, '--file', lines])
      const of_stdin = await cli([...args, '--column', 'a'], 'a,text_pair\nis it good?,no\n')
      for (const { stdout, stderr, code } of [of_file, of_stdin]) {
        assert.deepEqual([stderr, code], ['', 0])
        const [row] = printed(stdout)
        assert.deepEqual({ text: row?.text, text_pair: row?.text_pair }, pair)
        // Ten letters and a mark, [CLS], and [SEP] after each text.
        assert.equal(row?.num_tokens, 14)
      }
      assert.equal(of_file.stdout, of_stdin.stdout)
      const trace = join(ROOT, 'test', 'fixtures', 'traces', 'mean', 'model.pt')
      const refused = await cli(['classify', '--model', trace, '--file', lines, '--pair-column', 'text_pair'])
      assert.match(refused.stderr, /--pair-column needs a model that takes pairs, and .*model\.pt takes none/)
      assert.deepEqual([refused.stdout, refused.code], ['', 2])
    })

    it('prints the rows before a bad one, names its line, and ends with 2', async () => {
      const bad: [string, string, RegExp][] = [
        ['bad.csv', 'text,b\nGreat.,1\n"never closed,2\n', /bad\.csv, line 3 is not CSV/],
        ['bad.jsonl', '"Great."\n{oops\n', /bad\.jsonl, line 2 is not JSON/],
      ]
      for (const [name, content, message] of bad) {
        const { stdout, stderr, code } = await cli(['classify', '--file', file(name, content)])
        assert.match(stdout, /^positive .* Great\.\n$/)
        assert.match(stderr, message)
        assert.match(stderr, /^electra-classifier: [^\n]+\n$/)
        assert.equal(code, 2)
      }
    })

    it('answers wrong usage with one sentence and 2', async () => {
      const csv = file('columns.csv', 'a,b\n1,2\n')
      const wrong: [string[], RegExp][] = [
        [['--file', csv], /several columns; pick one with --column: a, b/],
        [['--file', csv, '--column', 'c'], /no column "c"; its columns are a, b/],
        [['--file', join(folder, 'nope.txt')], /there is no such file/],
        [['--model', join(folder, 'nope'), 'x'], /no model at/],
        [['--file', csv, 'x'], /either TEXT or --file/],
        [['--column', 'a', 'x'], /--column goes with/],
        [['--pair-column', 'a', 'x'], /--pair-column goes with/],
        [['--top-k', '4', 'x'], /--top-k 4 is too many: the model has 3 labels/],
        [['--top-k', '0', 'x'], /'0' is invalid/],
        [['--threads', '5000', 'x'], /threads must be an integer from 1 to 1024/],
        [['--device', 'gpu', 'x'], /auto, cpu, cuda or cuda:N/],
        [['--dtype', 'int4', 'x'], /Allowed choices are auto, fp32, bf16, fp16/],
        [['--format', 'xml', 'x'], /Allowed choices are table, json, csv/],
        [['--nope'], /unknown option '--nope'/],
      ]
      for (const [args, message] of wrong) {
        const { stdout, stderr, code } = await cli(['classify', ...args])
        assert.match(stderr, message)
        assert.match(stderr, /^electra-classifier: [^\n]+\n$/)
        assert.deepEqual([stdout, code], ['', 2], args.join(' '))
      }
    })

    it('answers each line of a slow stdin at once, and ends with it', async () => {
      const child = start(['classify'])
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      for (const [text, label] of [
        ['Great.', 'positive'],
        ['Awful.', 'negative'],
      ] as const) {
        child.stdin.write(`${text}\n`)
        assert.match(String((await lines.next()).value), new RegExp(`^${label} `))
      }
      child.stdin.end()
      assert.equal((await lines.next()).done, true)
      assert.deepEqual(await once(child, 'close'), [0, null])
    })

    for (const [name, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      it(`ends quietly with ${code} on ${name}, with all that was printed`, async () => {
        const child = start(['classify'])
        child.stdin.write('Great.\n')
        const [first] = (await once(child.stdout, 'data')) as [Buffer]
        assert.match(first.toString(), /^positive .* Great\.\n$/)
        child.kill(name)
        assert.deepEqual(await ended(child), { stdout: '', stderr: '', code, signal: null })
      })
    }

    it('ends quietly with 0 when its reader leaves, although stdin goes on', async () => {
      const child = start(['classify'])
      child.stdin.on('error', () => undefined)
      child.stdin.write('Great.\n')
      await once(child.stdout, 'data')
      child.stdout.destroy()
      const stderr = textOf(child.stderr)
      child.stdin.write('Awful.\n')
      assert.deepEqual(await once(child, 'exit'), [0, null])
      assert.equal(await stderr, '')
    })

    it('says why when its output cannot be written, and ends with 1', async function () {
      if (!existsSync('/dev/full')) {
        console.log('      skipped: there is no /dev/full here')
        return this.skip()
      }
      const command = `${JSON.stringify(process.execPath)} ${JSON.stringify(MAIN)} classify Great. > /dev/full`
      const child = spawn('sh', ['-c', command])
      child.stdin.end()
      const { stderr, code } = await ended(child)
      assert.match(stderr, /^electra-classifier: The output cannot be written: ENOSPC[^\n]*\n$/)
      assert.equal(code, 1)
    })
  })

  describe('on a terminal', () => {
    const quoted = [process.execPath, MAIN].map((part) => JSON.stringify(part)).join(' ')
    const onTerminal = (command: string): ChildProcessWithoutNullStreams =>
      spawn('script', ['-qec', `stty cols 60; ${quoted} ${command}`, '/dev/null'], { cwd: ROOT })
    const hasScript = (): boolean => process.platform === 'linux' && existsSync('/usr/bin/script')

    before(function () {
      if (hasScript()) return
      console.log('      skipped: there is no script(1) here to make a terminal')
      this.skip()
    })

    it('cuts a text to the width, and asks for one where there is none', async () => {
      const long = await ended(onTerminal(`classify "${'I love it. '.repeat(20)}"`))
      assert.match(long.stdout, /^positive {2}0\.\d{4} {2}I love it\. .*…\r\n$/)
      assert.equal(long.stdout.trimEnd().length, 60)
      const none = await ended(onTerminal('classify'))
      assert.match(none.stdout, /^electra-classifier: There is nothing to classify: give TEXT/)
      assert.equal(none.code, 2)
    })

    it('shows progress where results go elsewhere, and none between results', async () => {
      const path = file('many.txt', 'Great.\n'.repeat(50))
      const out = join(folder, 'many.out')
      const elsewhere = await ended(onTerminal(`classify --file "${path}" > "${out}"`))
      assert.match(elsewhere.stdout, /100%.* 50 texts.* texts\/s.* 0:00 left/)
      assert.equal(readFileSync(out, 'utf8').split('\n').length, 51)
      const here = await ended(onTerminal(`classify --file "${path}"`))
      assert.match(here.stdout, /^(?:positive {2}0\.\d{4} {2}Great\.\r\n){50}$/)
    })
  })

  describe('export', () => {
    it('writes an archive that scores as the checkpoint does, and says where', async () => {
      const out = join(folder, 'model.pt')
      const { stdout, stderr, code } = await cli(['export', MODEL, out])
      assert.deepEqual([stderr, code], ['', 0])
      assert.match(stdout, /^wrote .*model\.pt \(\d+\.\d MB\)\n$/)
      const args = ['classify', '--format', 'json', '--dtype', 'fp32', 'I love this restaurant!']
      const [own, archive] = await Promise.all([cli(args), cli([...args, '--model', out])])
      const [[expected], [actual]] = [printed(own.stdout), printed(archive.stdout)]
      assert.ok(expected && actual)
      assert.equal(actual.label, expected.label)
      for (const [i, logit] of expected.logits.entries()) {
        assert.ok(Math.abs(logit - (actual.logits[i] ?? NaN)) <= 1e-4)
      }
    })

    it('refuses to write over its input or to what is no archive, and ends with 2', async () => {
      const copy = join(folder, 'checkpoint')
      cpSync(MODEL, copy, { recursive: true })
      const weights = join(copy, 'model.safetensors')
      const before = readFileSync(weights)
      const link = join(folder, 'link.pt')
      symlinkSync(weights, link)
      const wrong: [string[], RegExp][] = [
        [[copy, weights], /must end in \.pt/],
        [[copy, link], /is model\.safetensors of the checkpoint itself/],
        [[copy, join(folder, 'nope', 'x.pt')], /There is no folder .*nope to write to/],
        [[join(folder, 'nope'), join(folder, 'x.pt')], /no model at/],
        [[copy], /missing required argument 'OUT\.pt'/],
      ]
      for (const [args, message] of wrong) {
        const { stdout, stderr, code } = await cli(['export', ...args])
        assert.match(stderr, message)
        assert.deepEqual([stdout, code], ['', 2])
      }
      assert.deepEqual(readFileSync(weights), before)
    })
  })

  describe('doctor', () => {
    interface Report {
      ready: boolean
      next?: string
      checks: Record<
        string,
        { ok: boolean; found: string; remedy?: string; version?: string; tried?: object[] }
      >
    }

    it('lists what was found and ends with ready', async () => {
      const { stdout, stderr, code } = await cli(['doctor'])
      assert.deepEqual([stderr, code], ['', 0])
      for (const name of ['Node', 'platform', 'addon', 'CPU', 'threads', 'libtorch', 'core', 'devices']) {
        assert.match(stdout, new RegExp(`^ok +${name} +\\S`, 'm'))
      }
      assert.match(stdout, /^ok +default model +.*sentiment-minilm-l6 \(negative, neutral, positive\)$/m)
      assert.match(stdout, /\n\nready\n$/)
    })

    it('says the same as JSON', async () => {
      const { stdout, code } = await cli(['doctor', '--format', 'json'])
      const { ready, checks } = JSON.parse(stdout) as Report
      assert.deepEqual([ready, code], [true, 0])
      assert.equal(checks.node?.version, process.versions.node)
      assert.match(checks.libtorch?.version ?? '', /^2\.\d+\.\d+$/)
      assert.ok(Object.values(checks).every(({ ok }) => ok))
    })

    it('names what is missing and the command to run, and ends with 1', async () => {
      // Without a path, for an installed python3 may have a torch.
      const nowhere = {
        LIBTORCH: join(folder, 'nope'),
        XDG_CACHE_HOME: folder,
        PATH: folder,
        VIRTUAL_ENV: '',
        CONDA_PREFIX: '',
      }
      const text = await cli(['doctor'], '', nowhere)
      assert.match(text.stdout, /^missing +libtorch +none was found\n +LIBTORCH .*nope: there is no folder/m)
      assert.match(text.stdout, /^ok +default model/m)
      assert.match(text.stdout, /\nnot ready; run next: npx electra-classifier install-libtorch\n$/)
      assert.deepEqual([text.stderr, text.code], ['', 1])

      const json = await cli(['doctor', '--json'], '', nowhere)
      const { ready, next, checks } = JSON.parse(json.stdout) as Report
      assert.deepEqual([ready, next, json.code], [false, 'npx electra-classifier install-libtorch', 1])
      assert.equal(checks.libtorch?.tried?.length, 3)

      const classify = await cli(['classify', 'x'], '', nowhere)
      assert.match(classify.stderr, /^electra-classifier: No libtorch was found; get one with/)
      assert.equal(classify.code, 1)
    })

    it('works without an addon', async () => {
      const bare = join(folder, 'bare')
      for (const part of ['dist', 'package.json', 'models']) {
        cpSync(join(ROOT, part), join(bare, part), { recursive: true })
      }
      symlinkSync(join(ROOT, 'node_modules'), join(bare, 'node_modules'))
      const child = spawn(process.execPath, [join(bare, 'dist', 'cli', 'main.js'), 'doctor'], { cwd: folder })
      child.stdin.end()
      const { stdout, stderr, code } = await ended(child)
      assert.match(stdout, /^missing +addon +There is no addon for \S+ in .*bare; compile one/m)
      assert.match(stdout, /\nnot ready; run next: npx electra-classifier build\n$/)
      assert.deepEqual([stderr, code], ['', 1])
    })
  })

  describe('help', () => {
    it('shows each command with its options and examples, and the version', async () => {
      const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
      const shown: [string[], RegExp][] = [
        [['--help'], /classify[\s\S]*evaluate[\s\S]*export[\s\S]*doctor/],
        [['classify', '--help'], /--file[\s\S]*--top-k[\s\S]*Examples:\n {2}\$ electra-classifier classify/],
        [
          ['evaluate', '--help'],
          /<FILE>[\s\S]*--predictions[\s\S]*--model[\s\S]*Examples:\n {2}\$ electra-classifier evaluate/,
        ],
        [['export', '--help'], /<CHECKPOINT>[\s\S]*<OUT\.pt>[\s\S]*Example:/],
        [['doctor', '--help'], /--format[\s\S]*Examples:/],
        [['--version'], new RegExp(`^${version.replaceAll('.', '\\.')}\n$`)],
      ]
      for (const [args, expected] of shown) {
        const { stdout, stderr, code } = await cli(args)
        assert.match(stdout, expected)
        assert.deepEqual([stderr, code], ['', 0])
      }
    })

    it('shows help and ends with 2 where no command is named, or an unknown one', async () => {
      const none = await cli([])
      assert.match(none.stderr, /^Usage: electra-classifier/)
      assert.equal(none.code, 2)
      const unknown = await cli(['clasify'])
      assert.match(
        unknown.stderr,
        /^electra-classifier: unknown command 'clasify'\n\(Did you mean classify\?\)/,
      )
      assert.equal(unknown.code, 2)
    })
  })
})
