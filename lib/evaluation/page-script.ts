/**
 * Makes the headers of `table.sortable` buttons, and opens what is folded before printing. Without it the page is
 * whole, only unsorted. Plain JavaScript: it is put into the page as it stands.
 */
export const SCRIPT = `
'use strict'
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0]
  const headers = [...table.tHead.rows[0].cells]
  const valueOf = (row, column) => {
    const cell = row.cells[column]
    return 'value' in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim()
  }
  const order = new Intl.Collator(undefined, { numeric: true }).compare
  const compare = (a, b) => (typeof a === 'number' ? a - b : order(a, b))
  headers.forEach((header, column) => {
    const button = document.createElement('button')
    button.type = 'button'
    button.append(...header.childNodes)
    header.append(button)
    button.addEventListener('click', () => {
      const first = header.dataset.first || 'ascending'
      const now = header.getAttribute('aria-sort')
      const next = !now ? first : now === 'ascending' ? 'descending' : 'ascending'
      const sign = next === 'ascending' ? 1 : -1
      for (const other of headers) other.removeAttribute('aria-sort')
      header.setAttribute('aria-sort', next)
      const rows = [...body.rows]
      rows.sort((a, b) => sign * compare(valueOf(a, column), valueOf(b, column)))
      body.append(...rows)
    })
  })
}
addEventListener('beforeprint', () => {
  for (const folded of document.querySelectorAll('details')) folded.open = true
})
`
