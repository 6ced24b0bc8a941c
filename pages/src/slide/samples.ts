/** Real tiles of a slide: kept, barely kept, barely dropped, and one for each filter. */

import { columnTitle, limitsOn, shownValue } from "./cell_card.ts";
import type { Sample, SlideData } from "../common/data.ts";
import { element, fact, fill } from "../common/dom.ts";

const KINDS: Record<string, string> = {
  kept: "Kept",
  barely_kept: "Barely kept",
  barely_dropped: "Barely dropped",
  dropped: "Dropped",
};

/** Show the samples of a slide; `find` shows a cell in the picture. */
export function samplesIn(parent: HTMLElement, slide: SlideData, find: (row: number, column: number) => void): void {
  fill(parent, ...slide.samples.map((sample) => element("li", { class: "sample panel" }, ...cardOf(slide, sample, find))));
}

function cardOf(slide: SlideData, sample: Sample, find: (row: number, column: number) => void): HTMLElement[] {
  const kind = KINDS[sample.kind] ?? sample.kind;
  const place = `row ${sample.row}, column ${sample.column}`;
  const [width, height] = slide.size;
  const picture = sample.src
    ? element("img", { src: sample.src, alt: `Tile at ${place}: ${kind.toLowerCase()}`, width, height, loading: "lazy" })
    : element("p", { class: "sample-none" }, "no picture");
  const columns = Object.entries(sample.columns)
    .filter(([name]) => name !== "sampler_rank")
    .map(([name, value]) => fact(columnTitle(name), shownValue(value, limitsOn(name, slide.rules))));
  const show = (): void => {
    find(sample.row, sample.column);
  };
  return [
    picture,
    element("h3", {}, kind),
    element("p", { class: "sample-reason" }, sample.reason),
    element("dl", {}, ...columns),
    element("button", { type: "button", onclick: show, "aria-label": `Show in the picture: ${place}` }, "Show in the picture"),
  ];
}
