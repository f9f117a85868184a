import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { dirname, join } from 'node:path'
import type { CpuInfo } from '../../binding'
import { ADDON, CPU_LIMITS, freshAddon, needsFakeCore, scratchPath } from './fake'

const FEATURES = ['avx2', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16']

/** What the addon sees in a process of its own. */
function cpuInfoOf(command: string, args: string[], env: NodeJS.ProcessEnv = {}): CpuInfo {
  const script = `console.log(JSON.stringify(require(${JSON.stringify(ADDON)}).cpuInfo()))`
  const options = { encoding: 'utf8' as const, env: { ...process.env, ...env } }
  return JSON.parse(execFileSync(command, [...args, '-e', script], options)) as CpuInfo
}

describe('cpuInfo', () => {
  needsFakeCore()

  it('gives the least of the limits, and the rule that made it so', () => {
    const info = freshAddon().cpuInfo()
    const limits = {
      'physical cores': info.physical_cores,
      'cpu affinity': info.cpu_affinity,
      'cgroup quota': info.cgroup_quota ?? Infinity,
    }
    assert.equal(info.threads, Math.min(...Object.values(limits)))
    assert.equal(limits[info.rule], info.threads)
    assert.ok(info.physical_cores <= cpus().length)
    assert.ok(info.cpu_affinity >= 1 && info.cpu_affinity >= availableParallelism())
  })

  it('names features that it knows, and those that the system lists', function () {
    const { features, model } = freshAddon().cpuInfo()
    assert.deepEqual(
      features,
      FEATURES.filter((feature) => features.includes(feature)),
    )
    assert.ok(model.length > 0)
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      console.log('      skipped: only Linux on x86-64 lists the features to compare with')
      this.skip()
    }
    const listed = execFileSync('grep', ['-m1', '^flags', '/proc/cpuinfo'], { encoding: 'utf8' }).split(/\s+/)
    assert.deepEqual(
      features.filter((feature) => feature !== 'amx_bf16'),
      FEATURES.filter((feature) => feature !== 'amx_bf16' && listed.includes(feature)),
    )
  })

  it('sees nothing above avx2 with ELECTRA_CPU_ISA=avx2', () => {
    const { features } = cpuInfoOf(process.execPath, [], { ELECTRA_CPU_ISA: 'avx2' })
    assert.deepEqual(
      features,
      freshAddon()
        .cpuInfo()
        .features.filter((feature) => feature === 'avx2'),
    )
  })

  it('follows the affinity that the process was started with', function () {
    if (!existsSync('/usr/bin/taskset') || availableParallelism() < 2) {
      console.log('      skipped: needs taskset and two CPUs')
      this.skip()
    }
    const info = cpuInfoOf('/usr/bin/taskset', ['-c', '0', process.execPath])
    assert.equal(info.cpu_affinity, 1)
    assert.equal(info.threads, 1)
  })

  const topology = {
    'sys/devices/system/cpu/online': '0-3,6\n',
    'sys/devices/system/cpu/cpu0/topology/thread_siblings_list': '0,2\n',
    'sys/devices/system/cpu/cpu1/topology/thread_siblings_list': '1,3\n',
    'sys/devices/system/cpu/cpu2/topology/thread_siblings_list': '0,2\n',
    'sys/devices/system/cpu/cpu3/topology/thread_siblings_list': '1,3\n',
    'sys/devices/system/cpu/cpu4/topology/thread_siblings_list': '4\n',
    'sys/devices/system/cpu/cpu6/topology/thread_siblings_list': '6\n',
  }
  const machines: [string, Record<string, string>, string][] = [
    ['hyper-threads once, and offline CPUs not at all', topology, '3 none'],
    [
      'no quota in cgroup v2',
      { ...topology, 'proc/self/cgroup': '0::/a\n', 'sys/fs/cgroup/a/cpu.max': 'max 100000\n' },
      '3 none',
    ],
    [
      'a v2 quota, rounded up',
      { ...topology, 'proc/self/cgroup': '0::/a\n', 'sys/fs/cgroup/a/cpu.max': '150000 100000\n' },
      '3 2',
    ],
    [
      'a v2 quota of whole CPUs as it is',
      { ...topology, 'proc/self/cgroup': '0::/a\n', 'sys/fs/cgroup/a/cpu.max': '200000 100000\n' },
      '3 2',
    ],
    [
      'the least quota of all v2 ancestors',
      {
        ...topology,
        'proc/self/cgroup': '0::/a/b/c\n',
        'sys/fs/cgroup/a/b/c/cpu.max': '400000 100000\n',
        'sys/fs/cgroup/a/cpu.max': '30000 100000\n',
      },
      '3 1',
    ],
    [
      'the quota at the mount where the path is the host’s',
      { ...topology, 'proc/self/cgroup': '0::/docker/0123\n', 'sys/fs/cgroup/cpu.max': '500000 100000\n' },
      '3 5',
    ],
    [
      'the quota at the mount of a path above the namespace',
      { ...topology, 'proc/self/cgroup': '0::/../../x\n', 'sys/fs/cgroup/cpu.max': '500000 100000\n' },
      '3 5',
    ],
    [
      'v2 beside v1',
      {
        ...topology,
        'proc/self/cgroup': '1:memory:/m\n0::/u\n',
        'sys/fs/cgroup/unified/u/cpu.max': '100000 100000\n',
      },
      '3 1',
    ],
    [
      'a v1 quota',
      {
        ...topology,
        'proc/self/cgroup': '4:cpu,cpuacct:/d\n',
        'sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_quota_us': '250000\n',
        'sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_period_us': '100000\n',
      },
      '3 3',
    ],
    [
      'a v1 quota of an ancestor',
      {
        ...topology,
        'proc/self/cgroup': '4:cpu:/d/e\n',
        'sys/fs/cgroup/cpu/d/e/cpu.cfs_quota_us': '-1\n',
        'sys/fs/cgroup/cpu/d/e/cpu.cfs_period_us': '100000\n',
        'sys/fs/cgroup/cpu/d/cpu.cfs_quota_us': '100000\n',
        'sys/fs/cgroup/cpu/d/cpu.cfs_period_us': '50000\n',
      },
      '3 2',
    ],
    [
      'no v1 quota, nor that of another controller',
      {
        ...topology,
        'proc/self/cgroup': '4:cpuset:/d\n',
        'sys/fs/cgroup/cpuset/d/cpu.cfs_quota_us': '100000\n',
        'sys/fs/cgroup/cpuset/d/cpu.cfs_period_us': '100000\n',
      },
      '3 none',
    ],
    [
      'nothing in files that make no sense',
      {
        'sys/devices/system/cpu/online': 'x-y,3-1,5\n',
        'proc/self/cgroup': 'nonsense\n::\n0::\n',
        'sys/fs/cgroup/cpu.max': '-5 0\n',
      },
      '1 none',
    ],
  ]
  for (const [what, files, expected] of machines) {
    it(`counts ${what}`, function () {
      if (process.platform !== 'linux') {
        console.log('      skipped: only Linux has these files')
        this.skip()
      }
      const root = scratchPath('machine')
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(root, path)), { recursive: true })
        writeFileSync(join(root, path), text)
      }
      assert.equal(execFileSync(CPU_LIMITS, [root], { encoding: 'utf8' }), `${expected}\n`)
    })
  }
})
