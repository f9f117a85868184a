import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { renderPage } from '../../lib/evaluation/page'
import { PAGES, ordinary } from '../fixtures/pages'

/** How often a page has a tag. */
function tags(html: string, name: string): number {
  return html.split(`<${name}`).length - 1
}

describe("the report's page", () => {
  for (const [name, data] of Object.entries(PAGES)) {
    it(`has one script, one style sheet and nothing from elsewhere: ${name}`, async () => {
      const html = await renderPage(data)
      assert.deepEqual([tags(html, 'script'), tags(html, 'style'), tags(html, 'img')], [1, 1, 0])
      assert.equal(html.split('</script>').length, 2)
      const bare = html.replace(/="[^"]*"/g, '=""')
      assert.doesNotMatch(bare, /<[^>]*\s(?:on\w+|src|xlink:href)=/)
      // eslint-disable-next-line no-control-regex -- these are what is looked for
      assert.doesNotMatch(html, /[\0-\x09\x0b-\x1f\x7f-\x9f]|\p{Surrogate}/u)
      assert.doesNotMatch(html, />(?:NaN|undefined|null|Infinity)</)
    })
  }

  it('is the same each time', async () => {
    const data = ordinary(['a', 'b', 'c'], ['x', 'y'])
    assert.equal(await renderPage(data), await renderPage(data))
  })

  it('allows its own script by its hash, and no other', async () => {
    const html = await renderPage(ordinary(['a', 'b']))
    const script = /<script>(.*)<\/script>/s.exec(html)?.[1] ?? ''
    const hash = createHash('sha256').update(script).digest('base64')
    assert.ok(html.includes(`script-src 'sha256-${hash}'"`))
    assert.match(html, /Content-Security-Policy" content="default-src 'none';/)
  })

  it('shows figures with four decimals, counts in groups of three, and a dash for what is not defined', async () => {
    const html = await renderPage(ordinary(['a', 'b']))
    assert.ok(html.includes('<dt>Macro F1</dt><dd>0.8254</dd>'))
    assert.ok(html.includes('5,421 rows, 2 classes.'))
    const empty = await renderPage(PAGES['no rows'] ?? ordinary([]))
    assert.ok(empty.includes('<dt>Macro F1</dt><dd>–</dd>'))
  })

  it('cuts a text that is too long, and says how long it is', async () => {
    const html = await renderPage(PAGES['long names'] ?? ordinary([]))
    assert.match(html, /x{1000}<\/bdi> <span class="none">… 20,000 characters</)
  })
})
