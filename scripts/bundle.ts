/*
 * Puts packages that only the command line and the report's page use into the files of dist/ that import them, with
 * their notices, so that whoever installs the library to score texts installs none of them.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build, type Metafile, type Plugin } from 'esbuild'

const ROOT = resolve(__dirname, '..')

/** Files of lib/ that import such a package. Each package has one of them, or dist/ would hold it twice. */
export const BUNDLED = ['cli/bar.ts', 'cli/input.ts', 'cli/main.ts', 'evaluation/draw-svg.ts', 'proxy.ts']

/** Our own other files stay files of their own. */
const ownFilesStay: Plugin = {
  name: 'own files stay',
  setup(building) {
    building.onResolve({ filter: /^\.\.?\// }, ({ importer, path }) =>
      importer.startsWith(join(ROOT, 'lib')) ? { path, external: true } : undefined,
    )
  },
}

/** @returns the names of the packages, in order */
export async function bundle(): Promise<string[]> {
  const { dependencies } = packageAt(ROOT)
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: BUNDLED.map((file) => join('lib', file)),
    outbase: 'lib',
    outdir: 'dist',
    bundle: true,
    minify: true,
    metafile: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    external: Object.keys(dependencies),
    define: { 'process.env.NODE_ENV': '"production"' },
    banner: { js: '/* Holds packages whose notices are in THIRD-PARTY-NOTICES. */' },
    plugins: [ownFilesStay],
    logLevel: 'warning',
  })
  const packages = packagesOf(metafile)
  const notices = packages.map(noticeOf).join('\n\n')
  writeFileSync(join(ROOT, 'dist', 'THIRD-PARTY-NOTICES'), `${HEAD}\n${notices}`)
  return packages.map((folder) => packageAt(folder).name)
}

const HEAD = `The packages below are bundled into files of this folder. Each is under the terms that follow its name.
`

/** Folders of the packages that went in. */
function packagesOf({ inputs }: Metafile): string[] {
  const folders = Object.keys(inputs).flatMap((path) => {
    const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)
    return folder ? [join(ROOT, folder[0])] : []
  })
  return [...new Set(folders)].sort()
}

/** @throws Error where a package brings no licence: then it must not be bundled */
function noticeOf(folder: string): string {
  const { name, version, license } = packageAt(folder)
  const files = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (!/^(?:licen[cs]es?|notice|copying|copyright)/i.test(entry.name)) return []
    if (!entry.isDirectory()) return [entry.name]
    return readdirSync(join(folder, entry.name)).map((inner) => join(entry.name, inner))
  })
  if (!files.length) throw new Error(`${name} has no licence file, so it cannot be bundled.`)
  const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim())
  return `${'='.repeat(80)}\n${name} ${version} (${license})\n${'='.repeat(80)}\n\n${texts.join('\n\n')}\n`
}

interface Package {
  name: string
  version: string
  license: string
  dependencies: Record<string, string>
}

function packageAt(folder: string): Package {
  const text = readFileSync(join(folder, 'package.json'), 'utf8')
  return { dependencies: {}, ...(JSON.parse(text) as Omit<Package, 'dependencies'> & Partial<Package>) }
}

if (require.main === module) {
  bundle().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
}
