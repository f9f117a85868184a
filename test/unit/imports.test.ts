import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'

const ROOT = join(__dirname, '..', '..')

function files(folder: string, extension: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extension.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
}

function imports(file: string): string[] {
  const source = readFileSync(join(ROOT, file), 'utf8')
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
    for (const file of ['lib/tokenizer.ts', 'lib/wordpiece.ts', 'lib/batch.ts', 'lib/classification.ts']) {
      const foreign = imports(file).filter(
        (path) => path.startsWith('node:') || /binding|checkpoint|classifier/.test(path),
      )
      assert.deepEqual(foreign, [], file)
      assert.doesNotMatch(
        readFileSync(join(ROOT, file), 'utf8'),
        /performance\.now|Date\.now|setTimeout|setImmediate/,
        file,
      )
    }
  })

  it('gives the scheduler its forward as a function', () => {
    assert.deepEqual(imports('lib/scheduler.ts'), ['./batch'])
  })

  it('lets only classifier and the command line use binding, and only binding the native contract', () => {
    assert.deepEqual(offenders(/\/binding$/, /classifier\.ts|binding\.ts|cli\//), [])
    assert.deepEqual(offenders(/\.\.\/binding$/, /lib\/binding\.ts|cli\//), [])
  })

  it('lets only index and the command line use classifier', () => {
    assert.deepEqual(offenders(/\/classifier$/, /index\.ts|cli\//), [])
  })

  it('loads no binary and nothing of the command line with require', () => {
    const script = `require(${JSON.stringify(join(ROOT, 'dist', 'index.js'))});
      console.log(JSON.stringify(Object.keys(require.cache)))`
    const loaded = JSON.parse(
      execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }),
    ) as string[]
    const unwanted = loaded.filter((path) => /\.node$|\/cli\/|commander|csv-parse|cli-progress/.test(path))
    assert.deepEqual(unwanted, [])
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
        // The one test program that looks into a TorchScript module.
        if (file !== 'native/test/retarget.cpp') assert.deepEqual(included.filter(isTorch), [], file)
        if (!/addon\/(?:addon|model)\./.test(file))
          assert.deepEqual(
            included.filter((path) => path === 'napi.h'),
            [],
            file,
          )
      }
    }
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
