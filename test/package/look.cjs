/* global document, getComputedStyle, innerWidth */
'use strict'
/* Runs inside the page, before its own content: what a reader would see, as data for the tests. */

function channels(color) {
  const [red, green, blue, alpha = 1] = (color.match(/[\d.]+/g) ?? []).map(Number)
  return { rgb: [red, green, blue], alpha }
}

function luminance(color) {
  const [red, green, blue] = channels(color).rgb.map((value) => {
    const share = value / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (light + 0.05) / (dark + 0.05)
}

/** The colour that an HTML element stands on. */
function groundOf(element) {
  for (let at = element; at; at = at.parentElement) {
    const { backgroundColor } = getComputedStyle(at)
    if (channels(backgroundColor).alpha > 0) return backgroundColor
  }
  return 'rgb(255, 255, 255)'
}

/** The text of a plot with the colour under it: the last shape drawn before it that holds its middle, else the page's. */
function textsOf(svg) {
  const drawn = []
  const texts = []
  for (const mark of svg.querySelectorAll('path, rect, text')) {
    const box = mark.getBoundingClientRect()
    const { fill } = getComputedStyle(mark)
    if (mark.tagName !== 'text') {
      if (fill !== 'none') drawn.push({ box, fill })
      continue
    }
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2]
    const under = drawn.findLast(
      ({ box: at }) => at.left <= x && x <= at.right && at.top <= y && y <= at.bottom,
    )
    texts.push([mark, fill, under ? under.fill : groundOf(svg.closest('.plot'))])
  }
  return texts
}

function isShown(element) {
  const { width, height } = element.getBoundingClientRect()
  return width > 0 && height > 0 && element.checkVisibility()
}

globalThis.look = {
  /** Each plot's name, and how many of its shapes have a size and a colour. */
  plots: () =>
    [...document.querySelectorAll('.plot')].map((plot) => ({
      name: plot.getAttribute('aria-label'),
      marks: [...plot.querySelectorAll('path, rect')].filter((shape) => {
        const { fill, stroke } = getComputedStyle(shape)
        return isShown(shape) && (fill !== 'none' || stroke !== 'none')
      }).length,
    })),

  /** Text of plots that reaches over the plot's edge, or over other text. */
  badly_placed: () =>
    [...document.querySelectorAll('.plot svg')].flatMap((svg) => {
      const frame = svg.getBoundingClientRect()
      const texts = [...svg.querySelectorAll('text')].filter(isShown)
      const boxes = texts.map((text) => ({ text: text.textContent, box: text.getBoundingClientRect() }))
      const cut = boxes.filter(({ box }) => {
        const over = [
          frame.left - box.left,
          box.right - frame.right,
          frame.top - box.top,
          box.bottom - frame.bottom,
        ]
        return Math.max(...over) > 2
      })
      // The box of slanted text says little about where its letters are.
      const straight = boxes.filter(
        (_, index) => !/matrix|rotate/.test(texts[index].getAttribute('transform') ?? ''),
      )
      const over = straight.filter(({ box: a }, index) =>
        straight.slice(index + 1).some(({ box: b }) => {
          const [x, y] = [
            Math.min(a.right, b.right) - Math.max(a.left, b.left),
            Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top),
          ]
          return x > 2 && y > 4
        }),
      )
      return [...cut, ...over].map(({ text }) => text)
    }),

  /** Text whose contrast with what it stands on is below 4.5 to 1. */
  faint: () => {
    const html = [...document.querySelectorAll('main *:not(svg):not(svg *)')].filter((element) =>
      [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()),
    )
    const texts = [
      ...html.map((element) => [element, getComputedStyle(element).color, groundOf(element)]),
      ...[...document.querySelectorAll('.plot svg')].flatMap(textsOf),
    ]
    return texts
      .filter(([element]) => isShown(element))
      .map(([element, ink, ground]) => ({
        text: element.textContent,
        ink,
        ground,
        ratio: contrast(ink, ground),
      }))
      .filter(({ ratio }) => !(ratio >= 4.5))
  },

  /** Colours that marks are told by whose contrast with the card is below 3 to 1. */
  faint_marks: () => {
    const card = document.querySelector('.card')
    const probe = card.appendChild(document.createElement('span'))
    const names = [...Array(6).keys()].map((index) => `series-${index}`).concat('bar', 'other')
    const faint = names.filter((name) => {
      probe.style.color = `var(--${name})`
      return !(contrast(getComputedStyle(probe).color, groundOf(card)) >= 3)
    })
    probe.remove()
    return faint
  },

  /** What is wider than the window and cannot be scrolled to inside its own frame. */
  overflowing: () =>
    [...document.querySelectorAll('main *')]
      .filter((element) => !element.closest('.scroll') || element.matches('.scroll'))
      .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
      .map(({ tagName, className }) => `${tagName} ${className}`),

  /** The cells of a column of the mistakes, from the top. */
  column: (index) =>
    [...document.querySelectorAll('table.mistakes tbody tr')].map((row) => row.cells[index].textContent),

  /** Which column says that the mistakes are sorted by it, and how. */
  sorted: () =>
    [...document.querySelectorAll('table.mistakes th')].flatMap((header) =>
      header.ariaSort ? [[header.textContent, header.ariaSort]] : [],
    ),

  colors: () => {
    const { color, backgroundColor } = getComputedStyle(document.body)
    return { color, backgroundColor }
  },
}
