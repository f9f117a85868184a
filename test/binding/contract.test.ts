import assert from 'node:assert/strict'
import { join } from 'node:path'
import ts from 'typescript'
import { type Addon, fakeAddon, needsFakeCore, spec } from './fake'

const DECLARATIONS = join(__dirname, '..', '..', 'binding.d.ts')

function isPublic(node: ts.ClassElement): boolean {
  return (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Private) === 0
}

/** Names that binding.d.ts declares as values, and those of Model's members. */
function declared() {
  const source = ts.createSourceFile(
    DECLARATIONS,
    ts.sys.readFile(DECLARATIONS) ?? '',
    ts.ScriptTarget.ES2022,
    true,
  )
  const exported: string[] = []
  const functions = new Map<string, number>()
  const members = { static: [] as string[], method: [] as string[], property: [] as string[] }
  for (const statement of source.statements) {
    if (ts.isFunctionDeclaration(statement) && statement.name) {
      exported.push(statement.name.text)
      functions.set(statement.name.text, statement.parameters.length)
    }
    if (!ts.isClassDeclaration(statement) || !statement.name) continue
    exported.push(statement.name.text)
    for (const member of statement.members.filter(isPublic)) {
      if (!member.name) continue
      const isStatic = (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Static) !== 0
      const kind = isStatic ? 'static' : ts.isMethodDeclaration(member) ? 'method' : 'property'
      members[kind].push(member.name.getText())
    }
  }
  return { exported, members, source }
}

/** Names of an interface's properties: all, and those that may be absent. */
function properties(source: ts.SourceFile, name: string): { all: string[]; optional: string[] } {
  const found = source.statements.find(
    (statement) => ts.isInterfaceDeclaration(statement) && statement.name.text === name,
  )
  assert.ok(found && ts.isInterfaceDeclaration(found), `binding.d.ts has no interface ${name}`)
  const members = found.members.filter(ts.isPropertySignature)
  const names = (list: ts.PropertySignature[]): string[] => list.map((member) => member.name.getText()).sort()
  return { all: names(members), optional: names(members.filter((member) => member.questionToken)) }
}

describe('the native contract', () => {
  needsFakeCore()
  let addon: Addon
  before(async () => {
    addon = await fakeAddon()
  })

  it('exports what binding.d.ts declares, and nothing else', () => {
    assert.deepEqual(Object.keys(addon).sort(), declared().exported.sort())
  })

  it('gives Model the members that binding.d.ts declares', async () => {
    const { members } = declared()
    const own = Object.getOwnPropertyNames(addon.Model).filter(
      (name) => !['length', 'name', 'prototype', 'arguments', 'caller'].includes(name),
    )
    assert.deepEqual(own, members.static)
    const prototype = Object.getOwnPropertyNames(addon.Model.prototype).filter(
      (name) => name !== 'constructor',
    )
    assert.deepEqual(prototype.sort(), members.method.sort())
    const model = await addon.Model.load(spec())
    assert.deepEqual(Object.keys(model), members.property)
    await model.close()
  })

  it('fills every field of ModelInfo, CpuInfo and CoreInfo', async () => {
    const { source } = declared()
    const model = await addon.Model.load(spec())
    assert.deepEqual(Object.keys(model.info).sort(), properties(source, 'ModelInfo').all)
    await model.close()

    const { all, optional } = properties(source, 'CpuInfo')
    const cpu = Object.keys(addon.cpuInfo())
    assert.deepEqual(
      cpu.filter((name) => !all.includes(name)),
      [],
    )
    assert.deepEqual(
      all.filter((name) => !cpu.includes(name) && !optional.includes(name)),
      [],
    )
  })

  it('describes a model exactly, and lets nobody change that', async () => {
    const model = await addon.Model.load(spec('', { kind: 'archive', dtype: 'bf16', threads: 3 }))
    assert.deepEqual(model.info, {
      device: 'cpu',
      dtype: 'bf16',
      engine: 'script',
      num_labels: 3,
      vocab_size: 100,
      max_position_embeddings: 16,
      memory: 5_000_000_000,
      threads: 3,
      mixes_lengths: true,
      notes: ['first note', 'second note'],
    })
    assert.ok(Object.isFrozen(model.info) && Object.isFrozen(model.info.notes))
    assert.throws(() => {
      Object.assign(model, { info: 1 })
    }, TypeError)
    await model.close()
  })

  it('chooses bf16 for auto where the CPU has it, fp16 where it has AVX2, and fp32 elsewhere', async () => {
    const { features } = addon.cpuInfo()
    const has_bf16 = features.includes('avx512_bf16') || features.includes('amx_bf16')
    const model = await addon.Model.load(spec('', { dtype: 'auto' }))
    assert.equal(model.info.dtype, has_bf16 ? 'bf16' : features.includes('avx2') ? 'fp16' : 'fp32')
    await model.close()
  })
})
