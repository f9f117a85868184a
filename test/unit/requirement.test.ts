import assert from 'node:assert/strict'
import { compareVersions, requirementsOf } from '../../lib/libtorch/requirement'

describe('requirements of a wheel', () => {
  const metadata = (...lines: string[]) =>
    `Name: x\n${lines.map((line) => `Requires-Dist: ${line}`).join('\n')}\n\nText\n`
  const projects = (lines: string[], extras: string[] = []) =>
    requirementsOf(metadata(...lines), extras).map(({ project }) => project)

  it('reads names as Python normalises them, with their extras', () => {
    const [one] = requirementsOf(metadata('NVIDIA_cuDNN.cu13[a, b]==9.20.0.48'))
    assert.deepEqual([one?.project, one?.extras], ['nvidia-cudnn-cu13', ['a', 'b']])
  })

  it('keeps what holds on this machine, and each extra only where it was asked for', () => {
    const system = { linux: 'Linux', darwin: 'Darwin', win32: 'Windows' }[process.platform as string] ?? ''
    const lines = [
      'plain',
      `here; platform_system == "${system}"`,
      'elsewhere; platform_system == "Plan9"',
      `old; platform_system == "${system}" and python_version < "3.15"`,
      'new; python_version >= "3.15"',
      `cublas; (sys_platform == 'none' or sys_platform == '${process.platform}') and extra == 'cublas'`,
      `cufft; sys_platform == '${process.platform}' and extra == 'cufft'`,
    ]
    assert.deepEqual(projects(lines), ['plain', 'here', 'old'])
    assert.deepEqual(projects(lines, ['cublas']), ['plain', 'here', 'old', 'cublas'])
  })

  it('compares versions by number', () => {
    for (const [specifier, yes, no] of [
      ['==9.20.0.48', '9.20.0.48', '9.20.0.49'],
      ['==13.0.88.*', '13.0.88.1', '13.0.89'],
      ['<14,>=13.0.88', '13.5.37', '14.0'],
      ['>=13.0.88,<14', '13.0.100', '13.0.9'],
      ['!=1.5', '1.5.1', '1.5.0'],
      ['~=2.2', '2.9', '3.0'],
      ['(==1.0)', '1', '1.0.1'],
    ] as const) {
      const [one] = requirementsOf(metadata(`x${specifier}`))
      assert.ok(one)
      assert.equal(one.accepts(yes), true, `${yes} ${specifier}`)
      assert.equal(one.accepts(no), false, `${no} ${specifier}`)
    }
    assert.ok(compareVersions('13.10', '13.9') > 0)
  })
})
