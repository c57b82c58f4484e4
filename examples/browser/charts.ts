/** Two lines over the steps, ours and theirs, on a logarithmic scale. Colours are the style sheet's, so they follow the theme. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

const HEIGHT = 210;
/** Under the other one, and wider, so that both are seen where they are the same. */
const THEIRS = { label: "tf.train.adam", color: color("--theirs"), width: 4 };
const OURS = { label: "stepjit", color: color("--ours"), width: 1.5 };

export class Chart {
  readonly #plot: uPlot;

  /** `format` is for the legend, which has the latest values, or those under the pointer. */
  constructor(container: HTMLElement, format: (value: number) => string) {
    const value = (_: uPlot, number: number | null) => (number === null ? "–" : format(number));
    const axis = {
      stroke: color("--muted"),
      grid: { stroke: color("--line"), width: 1 },
      ticks: { stroke: color("--line"), width: 1 },
      font: "12px system-ui, sans-serif",
    };
    this.#plot = new uPlot(
      {
        width: container.clientWidth,
        height: HEIGHT,
        scales: { x: { time: false }, y: { distr: 3 } },
        axes: [
          { ...axis, size: 32 },
          { ...axis, size: 56, values: (_, splits) => splits.map(powerOfTen) },
        ],
        series: [
          { label: "step" },
          ...[THEIRS, OURS].map(({ label, color, width }) => ({
            label,
            stroke: color,
            width,
            value,
            points: { show: false },
          })),
        ],
        legend: { markers: { width: 0, fill: (_, series) => [THEIRS, OURS][series - 1]?.color() ?? "" } },
        cursor: { drag: { x: false, y: false } },
      },
      [[], [], []],
      container,
    );
    new ResizeObserver(() => this.#plot.setSize({ width: container.clientWidth, height: HEIGHT })).observe(
      container,
    );
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plot.redraw());
  }

  show([steps, ours, theirs]: [number[], number[], number[]]): void {
    this.#plot.setData([steps, theirs, ours]);
    const pointed = (this.#plot.cursor.left ?? -1) >= 0;
    if (!pointed) this.#plot.setLegend({ idx: steps.length - 1 });
  }
}

/** Labels for whole powers of ten only. */
function powerOfTen(value: number | null): string {
  if (value === null || !Number.isInteger(Math.round(Math.log10(value) * 1e9) / 1e9)) return "";
  return value < 1e-3 ? value.toExponential() : String(value);
}

function color(property: string): () => string {
  return () => getComputedStyle(document.documentElement).getPropertyValue(property);
}
