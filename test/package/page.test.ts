import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, type BrowserContextOptions, type Page, chromium } from 'playwright-core'
import { PAGES } from '../fixtures/pages'

const ROOT = join(__dirname, '..', '..')
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const NAMES = Object.keys(PAGES)

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

describe("the report's page, in a browser", function () {
  this.timeout(300_000)
  let folder: string
  let browser: Browser

  before(async function () {
    if (!existsSync(CHROMIUM)) {
      console.log(`      skipped: there is no Chromium at ${CHROMIUM}; name yours with CHROMIUM`)
      return this.skip()
    }
    folder = mkdtempSync(join(tmpdir(), 'electra-page-'))
    // As it is packed: with the plotting library inside.
    const { renderPage } = (await import(
      join(ROOT, 'dist', 'evaluation', 'page.js')
    )) as typeof import('../../lib/evaluation/page')
    for (const [name, data] of Object.entries(PAGES)) writeFileSync(fileOf(name), await renderPage(data))
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
  })

  after(async () => {
    // Nothing of it is there where the tests are skipped.
    await (browser as Browser | undefined)?.close()
    if (folder) rmSync(folder, { recursive: true })
  })

  const fileOf = (name: string): string => join(folder, `${name}.html`)

  /** Opens a page; whatever it complains about or asks for goes to `complaints`. */
  async function open(
    name: string,
    options: BrowserContextOptions = {},
  ): Promise<{ page: Page; complaints: string[] }> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
    await context.addInitScript({ path: join(__dirname, 'look.cjs') })
    // Mocha's limit is the one that counts.
    context.setDefaultTimeout(0)
    const page = await context.newPage()
    const url = pathToFileURL(fileOf(name)).href
    const complaints: string[] = []
    page.on('console', (message) => complaints.push(message.text()))
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('request', (request) => {
      if (request.url() !== url && !request.url().startsWith('data:')) complaints.push(request.url())
    })
    await page.goto(url)
    return { page, complaints }
  }

  for (const name of NAMES) {
    describe(name, () => {
      it('draws every figure, asks for nothing and complains of nothing', async () => {
        const { page, complaints } = await open(name)
        const plots = await page.evaluate<{ name: string; marks: number }[]>('look.plots()')
        assert.ok(plots.length >= 1)
        assert.deepEqual(
          plots.filter(({ marks }) => marks === 0),
          [],
        )
        assert.equal(await page.evaluate('globalThis.broken'), undefined)
        assert.deepEqual(complaints, [])
        await page.context().close()
      })

      for (const width of [360, 1600]) {
        it(`fits ${width} pixels, with no text cut or overlapping`, async () => {
          const { page } = await open(name, { viewport: { width, height: 900 } })
          assert.deepEqual(await page.evaluate('look.overflowing()'), [])
          assert.ok((await page.evaluate<number>('document.documentElement.scrollWidth')) <= width)
          assert.deepEqual(await page.evaluate('look.badly_placed()'), [])
          await page.context().close()
        })
      }

      for (const colorScheme of ['light', 'dark'] as const) {
        it(`can be read in ${colorScheme} colours`, async () => {
          const { page } = await open(name, { colorScheme })
          assert.deepEqual(await page.evaluate('look.faint()'), [])
          assert.deepEqual(await page.evaluate('look.faint_marks()'), [])
          await page.context().close()
        })
      }
    })
  }

  it('has all the figures', async () => {
    const { page } = await open('three classes')
    const plots = await page.evaluate<{ name: string }[]>('look.plots()')
    const names = [
      ...[/^Confusion matrix/, /^ROC curve/, /^Precision and recall curve/, /^Reliability diagram/],
      ...[/^Histogram .* negative/, /^Histogram .* neutral/, /^Histogram .* positive/],
      ...[/^By group: yelp/, /^By length in tokens: 1–8/],
    ]
    assert.equal(plots.length, names.length)
    for (const [index, name] of names.entries()) assert.match(plots[index]?.name ?? '', name)
    await page.context().close()
  })

  it('sorts the mistakes by a click on a header, and back by another', async () => {
    const { page } = await open('three classes')
    const numbers = async (column: number): Promise<number[]> =>
      (await page.evaluate<string[]>(`look.column(${column})`)).map((text) => Number(text.replace(',', '')))
    assert.deepEqual(await page.evaluate('look.sorted()'), [['Score', 'descending']])
    const rows = await numbers(0)
    const ascending = [...rows].sort((a, b) => a - b)
    assert.equal(rows.length, 50)
    assert.notDeepEqual(rows, ascending)

    await page.getByRole('button', { name: 'Row' }).click()
    assert.deepEqual(await numbers(0), ascending)
    assert.deepEqual(await page.evaluate('look.sorted()'), [['Row', 'ascending']])
    await page.getByRole('button', { name: 'Row' }).click()
    assert.deepEqual(await numbers(0), ascending.reverse())
    assert.deepEqual(await page.evaluate('look.sorted()'), [['Row', 'descending']])
    // Equal ones stay as they were.
    await page.getByRole('button', { name: 'True' }).click()
    const labels = await page.evaluate<string[]>('look.column(2)')
    assert.deepEqual(labels, [...labels].sort())
    const positives = (await numbers(0)).slice(labels.indexOf('positive'))
    assert.deepEqual(
      positives,
      [...positives].sort((a, b) => b - a),
    )
    await page.context().close()
  })

  it('sorts by the keyboard alone', async () => {
    const { page } = await open('three classes')
    await page.getByRole('columnheader', { name: 'Predicted' }).getByRole('button').focus()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    assert.deepEqual(await page.evaluate('look.sorted()'), [['Score', 'ascending']])
    await page.keyboard.press('Space')
    assert.deepEqual(await page.evaluate('look.sorted()'), [['Score', 'descending']])
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'Score')
    await page.context().close()
  })

  it('is whole without its script, only unsorted', async () => {
    const { page, complaints } = await open('three classes', { javaScriptEnabled: false })
    assert.equal(await page.locator('table.mistakes tbody tr').count(), 50)
    assert.equal(await page.locator('button').count(), 0)
    assert.equal(await page.locator('.plot svg').count(), 9)
    assert.deepEqual(complaints, [])
    await page.context().close()
  })

  it('looks otherwise in the dark, and prints in light colours', async () => {
    const { page } = await open('three classes', { colorScheme: 'light' })
    const light = await page.evaluate('look.colors()')
    await page.emulateMedia({ colorScheme: 'dark' })
    assert.notDeepEqual(await page.evaluate('look.colors()'), light)
    await page.emulateMedia({ colorScheme: 'dark', media: 'print' })
    assert.deepEqual(await page.evaluate('look.faint()'), [])
    await page.pdf()
    assert.equal(await page.locator('details:not([open])').count(), 0)
    await page.context().close()
  })

  it('shows hostile texts as they are', async () => {
    const { page } = await open('hostile names and texts')
    const shown = await page.evaluate<string[]>('look.column(1)')
    assert.ok(shown.includes('<script>globalThis.broken = true</script>'))
    assert.ok(shown.includes('nul \\x00 escape \\x1b[31m bell \\x07 next line \\x85 delete \\x7f'))
    assert.ok(shown.includes('lone \ufffd surrogates \ufffd'))
    assert.ok(shown.includes('(empty)'))
    await page.context().close()
  })
})
