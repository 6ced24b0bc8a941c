/** Histograms of coverage and scores with the limits marked: uPlot. */

import uPlot from "uplot";
import { element, fill, short, whole } from "../common/dom.ts";
import { BINS } from "./ranges.ts";
import type { Range } from "../common/sliders.ts";

export interface Histogram {
  /** Show counts of all cells and of kept ones, and the limits. */
  show: (all: number[], kept: number[], limits: (number | null)[]) => void;
}

const HEIGHT = 110;

/** Counts on a logarithmic axis that begins at 0. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- uPlot declares the enum, but does not contain it
const STEEP: uPlot.Scale = { distr: 4, asinh: 1 };

/** Build a histogram in an element; `name` says what it counts. A `steep` one has a logarithmic axis of counts. */
export function histogramIn(parent: HTMLElement, name: string, range: Range, note: string, steep = false): Histogram {
  const plot = element("div", { class: "plot", role: "img" });
  fill(parent, plot, element("p", { class: "hint" }, note));
  const colour = (property: string) => (): string => getComputedStyle(plot).getPropertyValue(property).trim();
  const width = (range.high - range.low) / BINS;
  const middles = Array.from({ length: BINS }, (_, bin) => range.low + (bin + 0.5) * width);
  const bars = uPlot.paths.bars?.({ size: [1, 100], gap: 1 });
  const series = (property: string): uPlot.Series => ({
    ...(bars === undefined ? {} : { paths: bars }),
    points: { show: false },
    fill: colour(property),
    stroke: colour(property),
    width: 0,
  });
  let limits: (number | null)[] = [];
  const axis: uPlot.Axis = {
    stroke: colour("--muted"),
    font: "12px system-ui, sans-serif",
    grid: { show: false },
    ticks: { stroke: colour("--line"), size: 4 },
  };
  const chart = new uPlot(
    {
      width: parent.clientWidth || 300,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: [range.low, range.high] }, y: { range: (_, __, most) => [0, most || 1], ...(steep ? STEEP : {}) } },
      axes: [
        { ...axis, size: 24, values: (_, ticks) => ticks.map((tick) => short(tick)) },
        { ...axis, size: 52, space: 28, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) && tick >= 0 ? whole(tick) : "")) },
      ],
      series: [{}, series("--edge"), series("--kept")],
      hooks: {
        draw: [
          (self) => {
            markLimits(self, limits, range, colour("--text")());
          },
        ],
      },
    },
    [middles, middles.map(() => 0), middles.map(() => 0)],
    plot,
  );
  new ResizeObserver(() => {
    if (plot.clientWidth) chart.setSize({ width: plot.clientWidth, height: HEIGHT });
  }).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    chart.redraw();
  });
  return {
    show: (all, kept, marks) => {
      limits = marks;
      chart.setData([middles, all, kept]);
      const sum = (counts: number[]): string => whole(counts.reduce((one, other) => one + other, 0));
      plot.setAttribute("aria-label", `Histogram of ${name}: ${sum(all)} cells, ${sum(kept)} of them kept.`);
    },
  };
}

function markLimits(chart: uPlot, limits: (number | null)[], range: Range, colour: string): void {
  const { ctx: pen, bbox } = chart;
  pen.save();
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = 2 * devicePixelRatio;
  for (const limit of limits) {
    if (limit === null || limit < range.low || limit > range.high) continue;
    const x = chart.valToPos(limit, "x", true);
    pen.beginPath();
    pen.moveTo(x, bbox.top);
    pen.lineTo(x, bbox.top + bbox.height);
    pen.stroke();
  }
  pen.restore();
}
