import { CustomChart, LineChart } from 'echarts/charts'
import type { CustomSeriesOption, LineSeriesOption } from 'echarts/charts'
import { GridComponent } from 'echarts/components'
import type { GridComponentOption } from 'echarts/components'
import { init, use } from 'echarts/core'
import type { ComposeOption } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

/*
 * The only file that imports the plotting library; the build bundles the library into it, with its notice.
 *
 * Why ECharts: it hands a colour such as `var(--ink)` through to the SVG untouched, so one drawing serves light and
 * dark, and what is not imported here is left out of the bundle (0.57 MB minified). Vega takes such colours too, but
 * a curve of 200 points comes out half as large again (11 kB, not 7.6 kB), and its canvas module awaits at the top
 * level, which a CommonJS bundle cannot hold. Observable Plot needs a DOM.
 */
use([CustomChart, LineChart, GridComponent, SVGRenderer])

/** What may be drawn: these series on Cartesian grids, and nothing else. */
export type Drawing = ComposeOption<CustomSeriesOption | LineSeriesOption | GridComponentOption>

/** The drawing as an `<svg>` element without scripts, styles or ids: the same drawing gives the same text. */
export function drawSvg(drawing: Drawing, width: number, height: number): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height })
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: 'inherit' }, ...drawing })
    return withoutNames(chart.renderToSVGString({ useViewBox: true }))
  } finally {
    chart.dispose()
  }
}

/**
 * Takes off the rules for hovering and the clips at the frame's edge. They do nothing here, and their names count up
 * from drawing to drawing.
 */
function withoutNames(svg: string): string {
  return svg
    .replace(/<(style|defs)\s*>.*?<\/\1>/gs, '')
    .replace(/ (?:class="zr[\w-]+"|clip-path="url\(#[\w-]+\)"|pointer-events="\w+")/g, '')
    .replace(/ (?:xmlns:xlink|baseProfile)="[^"]*"/g, '')
    .replace(/(<svg[^>]*>)\s*<rect[^>]*><\/rect>/, '$1')
}
