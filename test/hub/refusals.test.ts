import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { basename, join } from 'node:path'
import { ElectraError, type ErrorCode } from '../../lib/errors'
import { parseHubSource } from '../../lib/hub/locate'
import type { HubSettings } from '../../lib/hub/locate'
import { tinyModel, Workspace } from '../fixtures/hub-workspace'

const ID = 'org/tiny'
const FILES = tinyModel()

describe('what the hub or the cache does not give', () => {
  let workspace: Workspace

  beforeEach(async () => {
    workspace = await Workspace.open()
    workspace.server.commit(ID, FILES)
  })

  afterEach(() => workspace.close())

  async function refused(
    source: string,
    code: ErrorCode,
    message: RegExp,
    settings: Partial<HubSettings> = {},
  ): Promise<void> {
    await assert.rejects(workspace.locate(source, settings), (error) => {
      assert.ok(error instanceof ElectraError, String(error))
      assert.match(error.message, message)
      assert.equal(error.code, code)
      return true
    })
    const snapshots = join(workspace.repository(ID), 'snapshots')
    const shown = existsSync(snapshots) ? readdirSync(snapshots, { recursive: true }).map(String) : []
    assert.ok(!shown.some((name) => name.endsWith('.safetensors')), 'weights are there all the same')
  }

  /** The hub is gone; nothing listens at its address any more. */
  async function unreachable(): Promise<void> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    process.env.HF_ENDPOINT = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.close()
    await once(server, 'close')
  }

  it('no such model: both readings, and what to check', async () => {
    await refused(
      'org/none',
      'CHECKPOINT_NOT_FOUND',
      /^There is nothing at .*org\/none, so 'org\/none' was taken as a hub id: http:\S+ has no model org\/none, or it is private and HF_TOKEN is not set; check the spelling/,
    )
    await refused(
      'org/none',
      'CHECKPOINT_NOT_FOUND',
      /or it is private and the token that was sent may not read it/,
      {
        token: 'hf_other',
      },
    )
  })

  it('what is neither a path nor a hub id, without asking the hub', async () => {
    for (const source of [
      './nowhere',
      '/no/where',
      'a/b/c',
      'org/na--me',
      'nowhere/model.pt',
      'a b',
      'org/../x/m.pt',
    ]) {
      await refused(source, 'CHECKPOINT_NOT_FOUND', /There is no model at \/.*, and '.*' is no hub id either/)
    }
    assert.deepEqual(workspace.server.seen, [])
  })

  it('a revision that was renamed, though the cache has it', async () => {
    workspace.server.commit(ID, FILES, 'v1')
    const { path } = await workspace.locate(ID, { revision: 'v1' })
    workspace.server.deleteBranch(ID, 'v1')
    await assert.rejects(workspace.locate(ID, { revision: 'v1' }), {
      code: 'CHECKPOINT_NOT_FOUND',
      message: /^The model org\/tiny has no revision 'v1' \(any more\); http:\S+\/org\/tiny\/commits shows/,
    })
    assert.equal((await workspace.locate(ID, { revision: 'v1', local_files_only: true })).path, path)
    assert.equal((await workspace.locate(ID, { revision: basename(path) })).path, path)
  })

  it('a moved branch whose download was cut: the branch stands for what is whole', async () => {
    const before = await workspace.locate(ID)
    workspace.server.commit(ID, { ...FILES, 'model.safetensors': Buffer.alloc(50_000) })
    workspace.server.fault = ({ host }) => (host === 'cdn' ? { cut_after: 0 } : undefined)
    await assert.rejects(workspace.locate(ID), { code: 'DOWNLOAD_FAILED' })
    assert.deepEqual(await workspace.locate(ID, { local_files_only: true }), before)
  })

  it('a gated model: its page, and whose token', async () => {
    workspace.server.gate(ID)
    const terms = String.raw`The model org/tiny is gated: accept its terms at http:\S+/org/tiny, and `
    await refused(ID, 'HUB_DENIED', new RegExp(`${terms}set HF_TOKEN to a token of the account that did`))
    await refused(
      ID,
      'HUB_DENIED',
      new RegExp(`${terms}make sure that the token is of the account that did`),
      {
        token: 'hf_other',
      },
    )
    await workspace.locate(ID, { token: workspace.server.token })
  })

  it('401 and 403 without more words', async () => {
    for (const status of [401, 403]) {
      workspace.server.fault = () => ({ status })
      await refused(ID, 'HUB_DENIED', new RegExp(`answered ${status}: org/tiny wants a token; set HF_TOKEN`))
      await refused(
        ID,
        'HUB_DENIED',
        new RegExp(`answered ${status}: the token that was sent may not read`),
        {
          token: 'hf_other',
        },
      )
    }
  })

  it('a file that is gone between two questions', async () => {
    workspace.server.fault = ({ path }) =>
      path.endsWith('/vocab.txt') ? { status: 404, code: 'EntryNotFound' } : undefined
    await refused(ID, 'CHECKPOINT_NOT_FOUND', /has no file vocab\.txt at [0-9a-f]{40}; see http/)
  })

  it('the server that holds the files says no', async () => {
    workspace.server.fault = ({ host }) => (host === 'cdn' ? { status: 403 } : undefined)
    await refused(
      ID,
      'DOWNLOAD_FAILED',
      /model\.safetensors could not be fetched: http:\S+, to which the hub sent us, answered 403/,
    )
  })

  it('a hub that cannot be reached: the cache serves, and says so; else the error names the reason', async () => {
    const { path } = await workspace.locate(ID)
    await unreachable()
    const found = await workspace.locate(ID)
    assert.equal(found.path, path)
    assert.match(
      found.notes.join(),
      /The hub http:\S+ could not be reached for org\/tiny \(.*ECONNREFUSED.*\).* The copy in the cache is used: /,
    )
    await assert.rejects(workspace.locate('org/other'), {
      code: 'HUB_UNREACHABLE',
      message:
        /There is nothing at .* could not be reached for org\/other \(.*ECONNREFUSED.*\); check the connection/,
    })
    await assert.rejects(workspace.locate(ID, { revision: 'other' }), { code: 'HUB_UNREACHABLE' })
    // Half a snapshot is none.
    rmSync(join(path, 'vocab.txt'))
    await assert.rejects(workspace.locate(ID), { code: 'HUB_UNREACHABLE' })
  })

  it('a hub that is down, silent, or none', async () => {
    workspace.server.fault = () => ({ status: 503 })
    await refused(ID, 'HUB_UNREACHABLE', /answered 503 for org\/tiny; try again later/)
    workspace.server.fault = () => ({ body: '<html>Log in to this network</html>' })
    await refused(ID, 'HUB_UNREACHABLE', /did not answer as a hub does .*check HF_ENDPOINT/)
    workspace.server.fault = () => ({ body: '{"_id":"0","id":"org/tiny","sha":"main"}' })
    await refused(ID, 'HUB_UNREACHABLE', /did not answer as a hub does/)

    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    process.env.HF_HUB_ETAG_TIMEOUT = '0.2'
    process.env.HF_ENDPOINT = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
    await refused(ID, 'HUB_UNREACHABLE', /could not be reached for org\/tiny \(.*timeout.*\)/)
    silent.close()
    process.env.HF_ENDPOINT = 'hub.example'
    await refused(ID, 'HUB_UNREACHABLE', /HF_ENDPOINT is 'hub\.example', which is no address/)
  })

  it('offline: only the cache, and no request', async () => {
    process.env.HF_HUB_OFFLINE = '1'
    await refused(
      ID,
      'CHECKPOINT_NOT_FOUND',
      /There is nothing at \S+, so 'org\/tiny' was taken as a hub id: the cache .* has no complete model of org\/tiny at revision 'main', and HF_HUB_OFFLINE forbids/,
    )
    assert.deepEqual(workspace.server.seen, [])
    process.env.HF_HUB_OFFLINE = '0'
    await refused(ID, 'CHECKPOINT_NOT_FOUND', /and local_files_only forbids/, { local_files_only: true })
    const { path } = await workspace.locate(ID)
    workspace.server.seen.length = 0
    for (const [name, value] of [
      ['HF_HUB_OFFLINE', 'true'],
      ['TRANSFORMERS_OFFLINE', '1'],
    ] as const) {
      Reflect.deleteProperty(process.env, 'HF_HUB_OFFLINE')
      process.env[name] = value
      assert.equal((await workspace.locate(ID)).path, path)
    }
    assert.deepEqual(workspace.server.seen, [])
  })

  it('names that lead out of the model, in an index or as a hash', async () => {
    const outside = ['../../escaped', '/etc/escaped', 'a/../../../escaped', 'C:\\escaped', '..\\escaped', '']
    for (const shard of outside) {
      const index = JSON.stringify({ weight_map: { w: shard } })
      const { 'config.json': config = '', 'vocab.txt': vocab = '' } = FILES
      workspace.server.commit(ID, {
        'config.json': config,
        'vocab.txt': vocab,
        'model.safetensors.index.json': index,
      })
      await refused(
        ID,
        'CHECKPOINT_INVALID',
        /index\.json of org\/tiny names the shard ".*", which is no file of the model/,
      )
    }
    const lie = [{ path: 'config.json', size: 2, oid: '../../../../escaped' }]
    workspace.server.fault = ({ path }) =>
      path.includes('/paths-info/') ? { body: JSON.stringify(lie) } : undefined
    await refused(ID, 'HUB_UNREACHABLE', /did not answer as a hub does/)
    const everything = readdirSync(workspace.home, { recursive: true }).map(String)
    assert.ok(!everything.some((name) => name.includes('escaped')))
    assert.ok(!existsSync(join(workspace.home, '..', 'escaped')))
  })

  it('a size that no such file has, before anything is downloaded', async () => {
    for (const name of ['config.json', 'vocab.txt']) {
      const lie = ['config.json', 'vocab.txt', 'model.safetensors'].map((path) => ({
        path,
        size: path === name ? 2 ** 50 : 2,
        oid: '0'.repeat(40),
      }))
      workspace.server.fault = ({ path }) =>
        path.includes('/paths-info/') ? { body: JSON.stringify(lie) } : undefined
      await refused(
        ID,
        'CHECKPOINT_INVALID',
        new RegExp(`${name} of org/tiny has 1125899906842624 bytes, which is far too many`),
      )
    }
    assert.deepEqual(workspace.server.downloads(), [])
    assert.deepEqual(workspace.blobs(ID), [])
  })

  it('a repository that holds no model that runs here', async () => {
    const { 'config.json': config = '', 'vocab.txt': vocab = '' } = FILES
    workspace.server.commit(ID, { 'config.json': config, 'vocab.txt': vocab, 'flax_model.msgpack': 'x' })
    await refused(
      ID,
      'CHECKPOINT_NOT_FOUND',
      /has no model\.safetensors and no pytorch_model\.bin, whole or in shards; take a model/,
    )
    workspace.server.commit(ID, { 'config.json': config, 'traced.pt': 'x' })
    await refused(
      ID,
      'CHECKPOINT_NOT_FOUND',
      /it has the archive traced\.pt, which is loaded as ORG\/NAME\/FILE\.pt with trust: 'archive'/,
    )
    workspace.server.commit(ID, { 'model.safetensors': 'x' })
    await refused(ID, 'CHECKPOINT_INVALID', /has no config\.json, so it is not in the layout of transformers/)
    assert.deepEqual(workspace.server.downloads(), [])
  })

  it('an archive that is not trusted, and what one is', async () => {
    workspace.server.commit(ID, { ...FILES, 'traced/model.pt': 'an archive', 'traced/config.json': '{}' })
    const source = `${ID}/traced/model.pt`
    await assert.rejects(workspace.locate(source), {
      name: 'RangeError',
      message: /is a TorchScript archive on the hub, which can run any operator .* pass trust: 'archive'/,
    })
    assert.deepEqual(workspace.server.seen, [])
    const { path } = await workspace.locate(source, { trust: 'archive' })
    assert.equal(readFileSync(path, 'utf8'), 'an archive')
    assert.deepEqual(workspace.server.downloads(), ['traced/config.json', 'traced/model.pt'])
    assert.equal((await workspace.locate(source, { trust: 'archive', local_files_only: true })).path, path)
    await assert.rejects(workspace.locate(`${ID}/other.pt`, { trust: 'archive' }), {
      code: 'CHECKPOINT_NOT_FOUND',
      message: /^The model org\/tiny has no file other\.pt; it has the archive traced\/model\.pt/,
    })
  })

  it('an existing path wins over a hub id, and needs neither hub nor trust', async () => {
    const cwd = process.cwd()
    mkdirSync(join(workspace.home, 'org', 'tiny'), { recursive: true })
    writeFileSync(join(workspace.home, 'org', 'tiny', 'model.pt'), 'an archive')
    process.chdir(workspace.home)
    try {
      assert.equal((await workspace.locate(ID)).path, join(process.cwd(), 'org', 'tiny'))
      const archive = await workspace.locate(`${ID}/model.pt`)
      assert.equal(archive.path, join(process.cwd(), 'org', 'tiny', 'model.pt'))
    } finally {
      process.chdir(cwd)
    }
    assert.deepEqual(workspace.server.seen, [])
  })

  describe('the token', () => {
    const sent = (): (string | undefined)[] => [
      ...new Set(
        workspace.server.seen.filter(({ host }) => host === 'hub').map(({ authorization }) => authorization),
      ),
    ]

    it('goes to the hub, and never to where it redirects', async () => {
      process.env.HF_TOKEN = ' hf_environment\n'
      await workspace.locate(ID)
      assert.deepEqual(sent(), ['Bearer hf_environment'])
      const elsewhere = workspace.server.seen.filter(({ host }) => host === 'cdn')
      assert.deepEqual(
        elsewhere.map(({ authorization }) => authorization),
        [undefined],
      )
    })

    it('is the option, else the environment, else the file of a login; false is none', async () => {
      const ask = async (settings: Partial<HubSettings> = {}): Promise<(string | undefined)[]> => {
        workspace.server.seen.length = 0
        await workspace.locate(ID, settings)
        return sent()
      }
      assert.deepEqual(await ask(), [undefined])
      writeFileSync(join(workspace.home, 'token'), 'hf_file\n')
      assert.deepEqual(await ask(), ['Bearer hf_file'])
      const other = join(workspace.home, 'other-token')
      writeFileSync(other, 'hf_other_file')
      process.env.HF_TOKEN_PATH = other
      assert.deepEqual(await ask(), ['Bearer hf_other_file'])
      process.env.HF_TOKEN = 'hf_environment'
      assert.deepEqual(await ask(), ['Bearer hf_environment'])
      assert.deepEqual(await ask({ token: 'hf_option' }), ['Bearer hf_option'])
      assert.deepEqual(await ask({ token: false }), [undefined])
      process.env.HF_HUB_DISABLE_IMPLICIT_TOKEN = '1'
      assert.deepEqual(await ask(), [undefined])
      assert.deepEqual(await ask({ token: 'hf_option' }), ['Bearer hf_option'])
    })

    it('is never shown', async () => {
      process.env.HF_TOKEN = 'hf_se cret'
      await assert.rejects(workspace.locate(ID), (error) => {
        assert.ok(error instanceof ElectraError)
        assert.equal(error.code, 'HUB_DENIED')
        assert.match(error.message, /The token in HF_TOKEN has characters that no token has/)
        assert.doesNotMatch(error.message, /cret/)
        return true
      })
      assert.deepEqual(workspace.server.seen, [])
    })
  })

  describe('the cache', () => {
    it('lies where Python has it', async () => {
      const at = async (env: NodeJS.ProcessEnv): Promise<string> => {
        for (const name of ['HF_HOME', 'HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'XDG_CACHE_HOME', 'HOME']) {
          Reflect.deleteProperty(process.env, name)
        }
        Object.assign(process.env, { HOME: workspace.home, ...env })
        const { path } = await workspace.locate(ID)
        const folder = join(path, '..', '..', '..')
        rmSync(folder, { recursive: true })
        return folder.slice(workspace.home.length)
      }
      const { home } = workspace
      assert.equal(await at({}), '/.cache/huggingface/hub')
      assert.equal(await at({ XDG_CACHE_HOME: `${home}/xdg` }), '/xdg/huggingface/hub')
      assert.equal(await at({ XDG_CACHE_HOME: `${home}/xdg`, HF_HOME: '~/hf' }), '/hf/hub')
      assert.equal(await at({ HF_HOME: `${home}/hf`, HUGGINGFACE_HUB_CACHE: '$HOME/old' }), '/old')
      assert.equal(await at({ HUGGINGFACE_HUB_CACHE: `${home}/old`, HF_HUB_CACHE: `${home}/new` }), '/new')
    })

    it('is the option before all', async () => {
      const cache_dir = join(workspace.home, 'mine')
      const { path } = await workspace.locate(ID, { cache_dir })
      assert.ok(path.startsWith(join(cache_dir, 'models--org--tiny', 'snapshots')))
      assert.ok(!existsSync(workspace.repository(ID)))
    })
  })

  it('tells hub ids from paths', () => {
    const archive = undefined
    assert.deepEqual(parseHubSource('org/name'), { id: 'org/name', archive })
    assert.deepEqual(parseHubSource('bert-base-uncased'), { id: 'bert-base-uncased', archive })
    assert.deepEqual(parseHubSource('o_r.g/n-1.5'), { id: 'o_r.g/n-1.5', archive })
    assert.deepEqual(parseHubSource('org/name/a/b.pt'), { id: 'org/name', archive: 'a/b.pt' })
    const none = [
      '',
      '.',
      '..',
      'org/',
      '/org',
      'org/name/',
      '-org/name',
      'org/name.',
      'a//b',
      'org/name.git',
      'a/b/c',
    ]
    for (const source of [
      ...none,
      'x.pt',
      'a/x.pt',
      'org/name/../x.pt',
      'https://hf.co/a/b',
      `a/${'b'.repeat(97)}`,
      'café/x',
    ]) {
      assert.equal(parseHubSource(source), undefined, source)
    }
  })
})
