import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CHECKED_MARKER,
  LibtorchError,
  PINNED_VERSION,
  SUPPORTED_MINORS,
  cacheEntry,
  cacheFolder,
  findLibtorch,
  inspectLibtorch,
} from '../../lib/libtorch'
import { type FakeLibtorch, fakeElf, writeFakeLibtorch } from '../fixtures/fake-libtorch'

describe('libtorch', () => {
  let folder: string
  let env: NodeJS.ProcessEnv

  before(function () {
    if (process.platform === 'linux') return
    console.log('skipped: the fake libraries are Linux ones')
    this.skip()
  })
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'electra-libtorch-'))
    env = { XDG_CACHE_HOME: join(folder, 'cache'), PATH: join(folder, 'bin') }
  })
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  const fake = (name: string, options?: FakeLibtorch) => writeFakeLibtorch(join(folder, name), options)
  const refused = (path: string, code: LibtorchError['code'], message: RegExp) => {
    assert.throws(
      () => inspectLibtorch(path),
      (error) => {
        assert.ok(error instanceof LibtorchError)
        assert.equal(error.code, code)
        assert.match(error.message, message)
        return true
      },
    )
  }

  describe('inspectLibtorch', () => {
    it('tells version, minor and variant', () => {
      const path = fake('torch', { needed: ['libstdc++.so.6'] })
      const expected = {
        folder: path,
        lib: join(path, 'lib'),
        version: '2.13.0',
        minor: '2.13',
        variant: 'cpu',
        build: 'cpu',
      }
      assert.deepEqual(inspectLibtorch(path), expected)
    })

    it('reads the version of a Python torch', () => {
      const path = fake('torch', { without: ['build-version'] })
      writeFileSync(join(path, 'version.py'), "from typing import Optional\n\n__version__ = '2.11.1+cu128'\n")
      assert.equal(inspectLibtorch(path).version, '2.11.1')
    })

    it('takes every supported minor', () => {
      for (const minor of SUPPORTED_MINORS) {
        assert.equal(inspectLibtorch(fake(minor, { version: `${minor}.0` })).minor, minor)
      }
    })

    it('refuses a minor that no core is built for', () => {
      refused(
        fake('torch', { version: '2.9.1' }),
        'LIBTORCH_MISMATCH',
        /libtorch 2\.9\.1 in .* is not supported; 2\.11 to 2\.15 are/,
      )
      refused(fake('next', { version: '2.110.0' }), 'LIBTORCH_MISMATCH', /2\.110\.0/)
    })

    it('refuses what has no version, and names the folder that may have been meant', () => {
      refused(
        fake('a', { version: 'unknown' }),
        'LIBTORCH_NOT_FOUND',
        /build-version has no version that can be read/,
      )
      refused(fake('b', { without: ['build-version'] }), 'LIBTORCH_NOT_FOUND', /is no libtorch/)
      const meant = fake('c')
      refused(join(meant, 'lib'), 'LIBTORCH_NOT_FOUND', new RegExp(`name ${meant} instead`))
      refused(join(folder, 'none'), 'LIBTORCH_NOT_FOUND', /there is no folder/)
    })

    it('refuses a CUDA build without its NVIDIA libraries by their names', () => {
      refused(
        fake('torch', { cuda: true }),
        'LIBTORCH_NOT_FOUND',
        /the CUDA build of libtorch 2\.13\.0 .* lacks libraries that it needs: libcudart\.so\.99, libcudnn\.so\.99$/,
      )
    })

    it('takes a CUDA build whose NVIDIA libraries lie where its search path says', () => {
      const runpath = '$ORIGIN/../../nvidia/cudnn/lib:$ORIGIN/../../nvidia/runtime/lib:$ORIGIN'
      const path = fake('torch', { cuda: true, runpath })
      for (const [place, name] of [
        ['cudnn', 'libcudnn.so.99'],
        ['runtime', 'libcudart.so.99'],
      ] as const) {
        mkdirSync(join(folder, 'nvidia', place, 'lib'), { recursive: true })
        writeFileSync(join(folder, 'nvidia', place, 'lib', name), fakeElf(['libc.so.6'], '$ORIGIN'))
      }
      assert.equal(inspectLibtorch(path).variant, 'cuda')
    })

    it('looks in the folders that a library underneath inherits, and only then', () => {
      mkdirSync(join(folder, 'nvidia'))
      writeFileSync(join(folder, 'nvidia', 'libcudart.so.99'), fakeElf(['libnvJitLink.so.99'], ''))
      for (const name of ['libnvJitLink.so.99', 'libcudnn.so.99']) {
        writeFileSync(join(folder, 'nvidia', name), fakeElf([], ''))
      }
      const runpath = '$ORIGIN:$ORIGIN/../../nvidia'
      assert.equal(inspectLibtorch(fake('a', { cuda: true, runpath, inherits: true })).variant, 'cuda')
      refused(fake('b', { cuda: true, runpath }), 'LIBTORCH_NOT_FOUND', /: libnvJitLink\.so\.99$/)
    })

    it('refuses a folder without libc10, and a library that nothing has', () => {
      refused(fake('a', { without: ['lib/libc10.so'] }), 'LIBTORCH_NOT_FOUND', /lacks libc10\.so$/)
      refused(
        fake('b', { needed: ['libnone.so.7'] }),
        'LIBTORCH_NOT_FOUND',
        /the CPU build .*: libnone\.so\.7$/,
      )
    })

    it('refuses damaged libraries and those of another processor', () => {
      const short = fake('short')
      truncateSync(join(short, 'lib', 'libtorch_cpu.so'), 250)
      refused(short, 'LIBTORCH_NOT_FOUND', /libtorch_cpu\.so is cut short or damaged/)
      const text = fake('text')
      writeFileSync(join(text, 'lib', 'libc10.so'), 'x'.repeat(100))
      refused(text, 'LIBTORCH_NOT_FOUND', /libc10\.so is not a 64-bit Linux library/)
      refused(fake('other', { machine: 243 }), 'LIBTORCH_NOT_FOUND', /another processor/)
    })
  })

  describe('findLibtorch', () => {
    const inCache = () => {
      writeFakeLibtorch(cacheEntry(PINNED_VERSION, 'cpu', env))
      writeFileSync(join(cacheEntry(PINNED_VERSION, 'cpu', env), CHECKED_MARKER), '')
    }
    const inPython = (name: string) => {
      writeFakeLibtorch(join(folder, name, 'lib', 'python3.12', 'site-packages', 'torch'))
      return join(folder, name)
    }

    it('takes the option, LIBTORCH, the cache, the active Python, in this order', async () => {
      env.LIBTORCH = fake('from-env')
      inCache()
      env.VIRTUAL_ENV = inPython('venv')
      env.CONDA_PREFIX = inPython('conda')

      assert.equal((await findLibtorch(fake('from-option'), { env })).found?.source, 'option')
      assert.equal((await findLibtorch(undefined, { env })).found?.source, 'LIBTORCH')
      delete env.LIBTORCH
      assert.equal(
        (await findLibtorch(undefined, { env })).found?.folder,
        cacheEntry(PINNED_VERSION, 'cpu', env),
      )
      rmSync(cacheEntry(PINNED_VERSION, 'cpu', env), { recursive: true })
      assert.match((await findLibtorch(undefined, { env })).found?.folder ?? '', /venv\/lib\/python3\.12/)
      delete env.VIRTUAL_ENV
      const { found, tried } = await findLibtorch(undefined, { env })
      assert.match(found?.folder ?? '', /conda\/lib\/python3\.12/)
      assert.deepEqual(
        tried.map(({ source }) => source),
        ['LIBTORCH', 'cache'],
      )
    })

    it('asks the python3 on the path last', async () => {
      const torch = fake('somewhere/torch')
      mkdirSync(join(folder, 'bin'))
      writeFileSync(join(folder, 'bin', 'python3'), `#!/bin/sh\necho ${torch}/__init__.py\n`)
      chmodSync(join(folder, 'bin', 'python3'), 0o755)
      const { found } = await findLibtorch(undefined, { env })
      assert.equal(found?.source, 'python')
      assert.equal(found.folder, torch)
    })

    it('explains each place where nothing is found', async () => {
      env.LIBTORCH = fake('old', { version: '2.9.1' })
      const { found, tried } = await findLibtorch(undefined, { env })
      assert.equal(found, undefined)
      assert.deepEqual(
        tried.map(({ source, code }) => [source, code]),
        [
          ['LIBTORCH', 'LIBTORCH_MISMATCH'],
          ['cache', 'LIBTORCH_NOT_FOUND'],
          ['python', 'LIBTORCH_NOT_FOUND'],
        ],
      )
      assert.match(tried[0]?.reason ?? '', /2\.9\.1/)
      assert.match(tried[1]?.reason ?? '', /no libtorch was installed/)
      assert.equal(tried[2]?.reason, 'there is no python3 on the path')
    })

    it('looks no further than an option that cannot be used', async () => {
      env.LIBTORCH = fake('good')
      const { found, tried } = await findLibtorch(join(folder, 'none'), { env })
      assert.equal(found, undefined)
      assert.deepEqual(
        tried.map(({ source }) => source),
        ['option'],
      )
    })

    it('does not believe a cache entry without its marker', async () => {
      writeFakeLibtorch(cacheEntry(PINNED_VERSION, 'cpu', env))
      assert.equal((await findLibtorch(undefined, { env })).found, undefined)
    })

    it('asks for headers only where something is to be built', async () => {
      env.LIBTORCH = fake('bare', { without: ['include/torch/headeronly/version.h'] })
      assert.equal((await findLibtorch(undefined, { env })).found?.source, 'LIBTORCH')
      const { found, tried } = await findLibtorch(undefined, { env, for_building: true })
      assert.equal(found, undefined)
      assert.match(tried[0]?.reason ?? '', /has no C\+\+ headers/)
    })
  })

  it('keeps its cache where the user wants caches', () => {
    assert.equal(cacheFolder({ XDG_CACHE_HOME: '/somewhere' }), '/somewhere/electra-classifier')
    assert.match(cacheFolder({ XDG_CACHE_HOME: 'relative' }), /^\/.*\/electra-classifier$/)
  })
})
