/** Charts of kept tiles against each swept key. */

import uPlot from "uplot";
import { element, fill, svg, whole } from "../common/dom.ts";
import { spreadOf } from "./heat_order.ts";
import { commonSlides, linedKeys, linesOf, slidePoints, sumPoints } from "./series.ts";
import type { Line, Lines } from "./series.ts";
import type { Sweep } from "./data.ts";

const MOST = 8;
const HEIGHT = 260;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [4, 4], [14, 4], [2, 6], [8, 3, 2, 3, 2, 3]];

/** One drawn line: its name and the number of tiles at each value. */
interface Drawn {
  name: string;
  points: (number | null)[];
}

/** Draw the charts of all swept keys. */
export function drawLines(parent: Element, sweep: Sweep): void {
  const keys = linedKeys(sweep);
  if (keys.length === 0) {
    fill(parent, element("p", { class: "hint" }, "No swept key has two values: there is no line to draw."));
    return;
  }
  fill(parent, ...keys.map((key) => keySection(sweep, linesOf(sweep, key))));
}

function keySection(sweep: Sweep, lines: Lines): HTMLElement {
  const sums = element("div", {});
  const single = element("div", {});
  const common = commonSlides(sweep, lines.lines);
  const sumLines = lines.lines
    .map((line) => ({ name: line.held || "tiles", points: sumPoints(sweep, line, common) }))
    .filter(hasPoints);
  const more = sumLines.length > MOST ? ` The first ${MOST} of ${sumLines.length} combinations are drawn.` : "";
  const text = `Sum of ${slidesText(common.length, sweep.slides.length)}.${more}`;
  fill(sums, ...chart(common.length === 0 ? "No slide was finished by every setting." : text, lines, sumLines.slice(0, MOST)));
  const draw = (line: Line): void => { fill(single, ...slidesChart(sweep, lines, line)); };
  draw(lines.lines[0]!);
  return element(
    "section", { class: "lines", "aria-label": `Tiles against ${lines.key}` },
    element("h3", {}, "Tiles against ", element("code", {}, lines.key)),
    element(
      "div", { class: "charts-pair" },
      element("div", { class: "panel" }, element("h4", {}, "All slides"), sums),
      element("div", { class: "panel" }, element("h4", {}, "Each slide"), holder(lines, draw), single),
    ),
  );
}

function slidesText(count: number, all: number): string {
  if (count === all) return all === 1 ? "the slide" : `all ${whole(all)} slides`;
  return `the ${whole(count)} of ${whole(all)} slides that every setting finished`;
}

/** Return the choice of the other keys' values, if there is more than one combination. */
function holder(lines: Lines, draw: (line: Line) => void): HTMLElement | null {
  if (lines.lines.length < 2) return null;
  const options = lines.lines.map((line, index) => element("option", { value: index }, line.held));
  const select = element("select", {}, ...options);
  select.addEventListener("change", () => { draw(lines.lines[Number(select.value)]!); });
  return element("label", { class: "field" }, "Other keys", select);
}

function slidesChart(sweep: Sweep, lines: Lines, line: Line): (HTMLElement | null)[] {
  const points = sweep.slides.map((_, slide) => slidePoints(sweep, line, slide));
  let slides = points.flatMap((found, slide) => (found.some((one) => one !== null) ? [slide] : []));
  const count = slides.length;
  let text = count === points.length ? "A line for each slide." : `A line for each of the ${whole(count)} slides that were finished.`;
  if (slides.length > MOST) {
    const spread = new Map(slides.map((slide) => [slide, spreadOf(sweep, slide)]));
    slides = slides.sort((a, b) => spread.get(b)! - spread.get(a)! || a - b).slice(0, MOST);
    text = `The ${MOST} of ${whole(count)} slides that change most.`;
  }
  const drawn = slides.map((slide) => ({ name: sweep.slides[slide]!.slide_id, points: points[slide]! }));
  return chart(drawn.length === 0 ? "No slide was finished with these values." : text, lines, drawn);
}

function hasPoints(line: Drawn): boolean {
  return line.points.some((point) => point !== null);
}

/** Return a chart with its text, its legend and its numbers as a table. */
function chart(text: string, lines: Lines, drawn: Drawn[]): (HTMLElement | null)[] {
  if (drawn.length === 0) return [element("p", { class: "hint" }, text)];
  const place = element("div", { class: "chart", "aria-hidden": "true" });
  new ResizeObserver(() => { plot(place, lines, drawn); }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { plot(place, lines, drawn); });
  return [element("p", { class: "hint" }, text), place, legend(drawn), numbers(lines, drawn)];
}

function legend(drawn: Drawn[]): HTMLElement {
  const items = drawn.map((line, index) => {
    const stroke = { class: `line-${index}`, x1: 0, y1: 6, x2: 36, y2: 6, "stroke-dasharray": DASHES[index]!.join(" ") || null };
    const sample = svg("svg", { width: 36, height: 12, "aria-hidden": "true" }, svg("line", stroke));
    return element("li", {}, sample as unknown as HTMLElement, line.name);
  });
  return element("ul", { class: "line-legend" }, ...items);
}

function numbers(lines: Lines, drawn: Drawn[]): HTMLElement {
  const head = element("tr", {}, element("th", { scope: "col" }, lines.key), ...drawn.map((line) => element("th", { scope: "col" }, line.name)));
  const rows = lines.values.map((value, index) =>
    element(
      "tr", {}, element("th", { scope: "row" }, value),
      ...drawn.map((line) => element("td", { class: "num" }, line.points[index] == null ? "–" : whole(line.points[index]))),
    ),
  );
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  return element("details", {}, element("summary", {}, "Numbers"), element("div", { class: "scroll" }, table));
}

const plots = new WeakMap<Element, { plot: uPlot; width: number; dark: boolean }>();

function plot(place: HTMLElement, lines: Lines, drawn: Drawn[]): void {
  const width = Math.floor(place.clientWidth);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const before = plots.get(place);
  if (width === 0 || (before?.width === width && before.dark === dark)) return;
  before?.plot.destroy();
  const style = getComputedStyle(place);
  const colour = (name: string): string => style.getPropertyValue(name).trim() || "gray";
  const axis: uPlot.Axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    font: `12px ${style.fontFamily}`,
    labelFont: `12px ${style.fontFamily}`,
  };
  const across: uPlot.Axis = { ...axis, label: lines.key, labelSize: 20, size: 34 };
  if (!lines.numeric) {
    across.splits = () => lines.places;
    across.values = (_, places) => places.map((at) => lines.values[at] ?? "");
  }
  const [first, last] = [Math.min(...lines.places), Math.max(...lines.places)];
  const margin = (last - first) * 0.03;
  const made = new uPlot(
    {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: [first - margin, last + margin] }, y: { range: (_, __, highest) => [0, Math.max(1, highest * 1.05)] } },
      axes: [across, { ...axis, size: 64, values: (_, places) => places.map((at) => whole(at)) }],
      series: [
        {},
        ...drawn.map((line, index) => {
          const stroke = colour(`--line-${index}`);
          return { label: line.name, stroke, width: 2, dash: DASHES[index]!, points: { show: true, size: 6, fill: stroke } };
        }),
      ],
    },
    [lines.places, ...drawn.map((line) => line.points)],
    place,
  );
  plots.set(place, { plot: made, width, dark });
}
