import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { BUNDLED } from '../../scripts/bundle'

const ROOT = join(__dirname, '..', '..')

function files(folder: string, extension: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extension.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
}

function imports(file: string): string[] {
  return importsIn(readFileSync(join(ROOT, file), 'utf8'))
}

/** What is loaded when the file is: types are not. */
function loads(file: string): string[] {
  return importsIn(readFileSync(join(ROOT, file), 'utf8').replace(/^import type .*$/gm, ''))
}

function importsIn(source: string): string[] {
  return [...source.matchAll(/(?:from|import|require)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '')
}

function includes(file: string): string[] {
  const source = readFileSync(join(ROOT, file), 'utf8')
  return [...source.matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map((match) => match[1] ?? '')
}

const lib = files('lib', /\.m?ts$/).filter((file) => !file.endsWith('.d.ts'))

/** Files of lib that import a path ending in one of `modules`, but for those allowed to. */
function offenders(modules: RegExp, allowed: RegExp): string[] {
  return lib.filter((file) => !allowed.test(file) && imports(file).some((path) => modules.test(path)))
}

describe('who may import whom', () => {
  it('lets types and errors import nothing', () => {
    for (const file of ['lib/types.ts', 'lib/errors.ts']) assert.deepEqual(imports(file), [], file)
  })

  it('keeps the pure stages pure: no files, no clock, no binding, no processes', () => {
    // What draws the page may use what draws.
    const evaluation = lib.filter((file) => /^lib\/evaluation\/(?!page|plot|draw-svg|html)/.test(file))
    for (const file of [
      ...[
        'lib/tokenizer.ts',
        'lib/wordpiece.ts',
        'lib/pairs.ts',
        'lib/batch.ts',
        'lib/queue.ts',
        'lib/latency.ts',
        'lib/classification.ts',
        'lib/text-width.ts',
      ],
      ...evaluation,
    ]) {
      const foreign = imports(file).filter(
        (path) => path.startsWith('node:') || /^\..*(?:binding|checkpoint|classifier|\/cli\/)/.test(path),
      )
      assert.deepEqual(foreign, [], file)
      assert.doesNotMatch(
        readFileSync(join(ROOT, file), 'utf8'),
        /performance\.now|Date\.now|new Date\(|setTimeout|setImmediate/,
        file,
      )
    }
  })

  it('draws the page only where the command line writes one', () => {
    assert.deepEqual(offenders(/\/page(?:\.js)?$/, /^lib\/cli\/evaluation-output\.ts$/), [])
    const source = readFileSync(join(ROOT, 'lib/cli/evaluation-output.ts'), 'utf8')
    assert.match(source, /await import\('\.\.\/evaluation\/page\.js'\)/)
    assert.doesNotMatch(source, /from '[^']*\/page(?:\.js)?'/)
  })

  it('gives the scheduler its forward as a function', () => {
    const pure = ['./batch', './classification', './errors', './queue', './stats', './types']
    assert.deepEqual(imports('lib/scheduler.ts'), pure)
  })

  it('lets only what loads or exports a model, and the command line, use binding, and only binding the native contract', () => {
    assert.deepEqual(
      offenders(/\/binding$/, /(?:classifier|open-model|replicas|export-archive|binding)\.ts|cli\//),
      [],
    )
    assert.deepEqual(offenders(/\.\.\/binding$/, /lib\/binding\.ts|cli\//), [])
  })

  it('lets only index and the command line use classifier', () => {
    assert.deepEqual(offenders(/\/classifier$/, /index\.ts|cli\//), [])
  })

  it('lets only what opens a model, and options, use hub, and hub neither binding nor classifier', () => {
    assert.deepEqual(offenders(/\/hub\//, /open-model\.ts|options\.ts/), [])
    const foreign = lib
      .filter((file) => file.startsWith('lib/hub/'))
      .flatMap(imports)
      .filter((path) => /binding|classifier|cli\//.test(path))
    assert.deepEqual(foreign, [])
  })

  it('lets libtorch be found and brought without binding, classifier or the command line', () => {
    const foreign = lib
      .filter((file) => file.startsWith('lib/libtorch/'))
      .flatMap(imports)
      .filter((path) => /\/binding$|classifier|cli\/|hub\//.test(path))
    assert.deepEqual(foreign, [])
  })

  it('lets one file each import what is bundled, and those files be the ones that are', () => {
    const { dependencies, devDependencies } = JSON.parse(
      readFileSync(join(ROOT, 'package.json'), 'utf8'),
    ) as Record<'dependencies' | 'devDependencies', Record<string, string>>
    assert.ok(Object.keys(dependencies).length <= 5)
    const users = lib.flatMap((file) =>
      loads(file)
        .filter((path) => /^[@a-z][\w@/.-]*$/.test(path))
        .map((path) => ({ file, name: /^(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? '' }))
        .filter(({ name }) => !(name in dependencies) && name !== 'electra-classifier'),
    )
    const bundled = new Map(users.map(({ file, name }) => [name, file]))
    for (const { file, name } of users) {
      assert.ok(name in devDependencies, `${file} imports ${name}`)
      assert.equal(bundled.get(name), file, `${name} is bundled once only if one file imports it`)
    }
    const files = [...new Set(bundled.values())].map((file) => relative('lib', file))
    assert.deepEqual(files.sort(), BUNDLED)
  })

  it('loads no binary, no hub client and nothing of the command line with require', () => {
    for (const [entry, foreign] of [
      [
        'index.js',
        /\.node$|\/cli\/|\/evaluation\/|commander|csv-parse|cli-progress|echarts|@huggingface\/hub|\/libtorch\/(?:install|plan|wheel|zip)|\/proxy\.js$/,
      ],
      ['evaluation/index.js', /\.node$|\/cli\/|\/page\.js$|node_modules|classifier\.js|binding\.js/],
    ] as const) {
      const script = `require(${JSON.stringify(join(ROOT, 'dist', entry))});
      console.log(JSON.stringify(Object.keys(require.cache)))`
      const loaded = JSON.parse(
        execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }),
      ) as string[]
      assert.ok(loaded.some((path) => path.endsWith(entry)))
      assert.deepEqual(
        loaded.map((path) => relative(ROOT, path)).filter((path) => foreign.test(path)),
        [],
      )
    }
  })

  it('keeps Node out of the core, torch out of the addon, and napi.h at the JavaScript edge', () => {
    const isTorch = (path: string): boolean => /^(?:torch|ATen|c10|caffe2)\//.test(path)
    for (const file of files('native', /\.(?:h|cpp)$/)) {
      const included = includes(file)
      if (file.startsWith('native/core/')) {
        assert.deepEqual(
          included.filter((path) => /^(?:napi|node)/.test(path)),
          [],
          file,
        )
      } else {
        // The test programs that look inside the core, and what feeds its readers.
        if (!/^native\/(?:test\/(?:retarget|gpu_logic|fake_gpu)\.|fuzz\/)/.test(file))
          assert.deepEqual(included.filter(isTorch), [], file)
        if (!/addon\/(?:addon|model)\./.test(file))
          assert.deepEqual(
            included.filter((path) => path === 'napi.h'),
            [],
            file,
          )
      }
    }
  })

  it('keeps CUDA in the CUDA library', () => {
    const isCuda = (path: string): boolean =>
      /^(?:cu(?:da|blas|dnn)\w*\.h|(?:ATen|c10|torch)\/cuda\/)/.test(path)
    const users = files('native', /\.(?:h|cpp)$/).filter((file) => includes(file).some(isCuda))
    assert.ok(users.length > 0)
    assert.deepEqual(
      users.filter((file) => !file.startsWith('native/core/cuda/')),
      [],
    )
  })

  it('keeps TorchScript in the script engine and the archive reader and writer', () => {
    const isTorchScript = (path: string): boolean => /^torch\/(?:script\.h|jit|csrc\/jit)/.test(path)
    const users = files('native/core', /\.(?:h|cpp)$/).filter((file) => includes(file).some(isTorchScript))
    assert.deepEqual(
      users.filter((file) => !/script_engine|checkpoint\/(?:archive|load_module)/.test(file)),
      [],
    )
  })
})
