import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FAKE_CORE, fakeLibtorch, freshAddon, needsFakeCore, scratchPath, spec } from './fake'

/** A copy of the fake core with one name in its string table replaced by another of the same length. */
function patched(to: string, from: string, by: string): string {
  assert.equal(from.length, by.length)
  const library = readFileSync(FAKE_CORE)
  for (let at = library.indexOf(from); at >= 0; at = library.indexOf(from, at)) library.write(by, at)
  writeFileSync(to, library)
  return to
}

describe('open', () => {
  needsFakeCore()

  it('says what is open', async () => {
    assert.deepEqual(await freshAddon().open(fakeLibtorch(), FAKE_CORE), {
      torch_version: '0.0.0-fake',
      devices: [{ name: 'cpu', description: 'a fake CPU' }],
      cuda_unavailable: 'the fake core has no CUDA',
    })
  })

  it('comes first: what needs a core says so', async () => {
    const addon = freshAddon()
    const missing = { code: 'LIBTORCH_NOT_FOUND', message: 'no libtorch is open yet: call open() first' }
    await assert.rejects(addon.Model.load(spec()), missing)
    await assert.rejects(addon.exportArchive(spec(), '/out', []), missing)
    await assert.rejects(addon.readArchive('/archive'), missing)
    assert.ok(addon.cpuInfo().threads >= 1)
  })

  it('opens the same pair again as a no-op, at once and under another spelling', async () => {
    const addon = freshAddon()
    const libtorch = fakeLibtorch()
    const link = scratchPath('link')
    symlinkSync(libtorch, link)
    const [first, ...rest] = await Promise.all(
      [libtorch, libtorch, `${libtorch}/`, link].map((path) => addon.open(path, FAKE_CORE)),
    )
    for (const again of rest) assert.deepEqual(again, first)
  })

  it('refuses another libtorch, and another core, with LIBTORCH_MISMATCH', async () => {
    const addon = freshAddon()
    const libtorch = fakeLibtorch()
    const other = fakeLibtorch()
    const other_core = scratchPath('libelectra_core-fake.so')
    copyFileSync(FAKE_CORE, other_core)
    await addon.open(libtorch, FAKE_CORE)
    await assert.rejects(addon.open(other, FAKE_CORE), {
      code: 'LIBTORCH_MISMATCH',
      message: `this process has opened the libtorch in ${libtorch} and cannot open another one in ${other}`,
    })
    await assert.rejects(addon.open(libtorch, other_core), {
      code: 'LIBTORCH_MISMATCH',
      message: `this process has opened the core ${FAKE_CORE} and cannot open another one, ${other_core}`,
    })
    await (await addon.Model.load(spec())).close()
  })

  it('says that there is no libtorch in a folder, and takes another one then', async () => {
    const addon = freshAddon()
    const empty = scratchPath('empty')
    mkdirSync(empty)
    await assert.rejects(addon.open(empty, FAKE_CORE), {
      code: 'LIBTORCH_NOT_FOUND',
      message: `${empty}/libtorch.so does not exist`,
    })
    await addon.open(fakeLibtorch(), FAKE_CORE)
  })

  it('names the library that a libtorch needs and that is missing', async () => {
    const folder = scratchPath('incomplete')
    mkdirSync(folder)
    const library = patched(join(folder, 'libtorch.so'), 'libstdc++.so.6', 'libabsent.so.6')
    await assert.rejects(freshAddon().open(folder, FAKE_CORE), {
      code: 'LIBTORCH_NOT_FOUND',
      message: `${library} cannot be opened because libabsent.so.6, which it needs, is missing`,
    })
  })

  it('says that a file is no library', async () => {
    const folder = scratchPath('text')
    mkdirSync(folder)
    writeFileSync(
      join(folder, 'libtorch.so'),
      'not a library, but long enough to be looked at as one '.repeat(4),
    )
    await assert.rejects(freshAddon().open(folder, FAKE_CORE), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'LIBTORCH_NOT_FOUND')
      assert.match(error.message, /libtorch\.so cannot be opened: .*invalid ELF header/)
      return true
    })
  })

  const cores: [string, () => string, RegExp][] = [
    ['is missing', () => scratchPath('absent.so'), /absent\.so does not exist$/],
    [
      'needs a library that is missing',
      () => patched(scratchPath('core.so'), 'libstdc++.so.6', 'libabsent.so.6'),
      /core\.so cannot be opened because libabsent\.so\.6, which it needs, is missing$/,
    ],
    [
      'is another library',
      () => patched(scratchPath('core.so'), 'electra_core_get', 'electra_core_xyz'),
      /^the library has no symbol electra_core_get$/,
    ],
    [
      'is of another version',
      () => {
        const path = scratchPath('other-version.so')
        copyFileSync(FAKE_CORE, path)
        return path
      },
      /other-version\.so was built for another version of the addon; build both from the same sources$/,
    ],
  ]
  for (const [what, core, message] of cores) {
    it(`rejects with LIBTORCH_MISMATCH where the core ${what}, and takes the right one then`, async () => {
      const addon = freshAddon()
      const libtorch = fakeLibtorch()
      await assert.rejects(addon.open(libtorch, core()), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'LIBTORCH_MISMATCH')
        assert.match(error.message, message)
        return true
      })
      await addon.open(libtorch, FAKE_CORE)
    })
  }
})
