/** Two settings side by side on one slide, with gained and lost tiles marked. */

import { compareAreas, compareTiles } from "./compare_tiles.ts";
import type { AreaMap, Comparison } from "./compare_tiles.ts";
import { element, field, fill, select, short, whole } from "../common/dom.ts";
import { fitted } from "../common/frame.ts";
import type { Choice } from "./heat_map.ts";
import { load } from "../common/load.ts";
import { link, openView, type View } from "../common/viewer.ts";
import { decodeTiles, isDone, settingText, textOf, tilesFile } from "./data.ts";
import type { Sweep, Tiles, TilesData } from "./data.ts";
import { areasDrawing, type Draw, GAINED, LOST, tilesDrawing } from "./tile_marks.ts";

/** The tiles of one setting, or the reason why there are none. */
type Found = { data: TilesData; tiles: Tiles } | string;

/** The comparison on the page: two selects for settings, one for the slide, two pictures. */
export class SideBySide {
  private readonly selects: Record<keyof Choice, HTMLSelectElement>;
  private readonly views: [View, View];
  private readonly drawings: [Draw | null, Draw | null] = [null, null];
  private readonly heads = [element("h3", {}), element("h3", {})] as const;
  private readonly result = element("div", { class: "comparison", "aria-live": "polite" });
  private readonly pictures: HTMLElement;
  private shown = "";
  private request = 0;

  /** Build the comparison in an element; `choose` is called when the reader chooses. */
  constructor(parent: Element, private readonly sweep: Sweep, choose: (choice: Partial<Choice>) => void) {
    const settings = sweep.jobs.map((job) => settingText(sweep, job));
    const slides = sweep.slides.map((slide) => slide.slide_id);
    const chooser = (name: keyof Choice, texts: string[]): HTMLSelectElement => {
      const made = select(`choose-${name}`, [...texts.entries()]);
      made.addEventListener("change", () => { choose({ [name]: Number(made.value) }); });
      return made;
    };
    this.selects = { left: chooser("left", settings), right: chooser("right", settings), slide: chooser("slide", slides) };
    const panes = [element("div", { class: "view" }), element("div", { class: "view" })] as const;
    const swap = element("button", { type: "button" }, "Swap A and B");
    swap.addEventListener("click", () => {
      choose({ left: Number(this.selects.right.value), right: Number(this.selects.left.value) });
    });
    this.pictures = element(
      "div", { class: "pair" },
      element("figure", {}, this.heads[0], panes[0]),
      element("figure", {}, this.heads[1], panes[1]),
    );
    fill(
      parent,
      element(
        "div", { class: "controls" },
        field("A", this.selects.left), field("B", this.selects.right), field("Slide", this.selects.slide),
      ),
      element("div", { class: "actions" }, swap, ...this.zoomButtons()),
      this.result,
      this.pictures,
    );
    const view = (index: 0 | 1): View =>
      openView(panes[index], `Tiles of ${"AB"[index]!}. ${KEYS}`, { moved: () => { this.redraw(index); } });
    this.views = [view(0), view(1)];
    link(...this.views);
  }

  /** Show a choice. */
  async show(choice: Choice): Promise<void> {
    const request = ++this.request;
    const names = Object.keys(this.selects) as (keyof Choice)[];
    for (const name of names) this.selects[name].value = String(choice[name]);
    const rows = [choice.left, choice.right];
    rows.forEach((row, index) => {
      fill(this.heads[index]!, `${"AB"[index]!}: ${settingText(this.sweep, this.sweep.jobs[row]!)}`);
    });
    const found = await Promise.all(rows.map((row) => this.found(row, choice.slide)));
    if (request !== this.request) return; // the reader chose something else meanwhile
    const [left, right] = found as [Found, Found];
    if (typeof left === "string" || typeof right === "string") {
      this.pictures.hidden = true;
      const reasons = [left, right].map((one, index) => (typeof one === "string" ? `${"AB"[index]!}: ${one}` : null));
      fill(this.result, ...reasons.map((why) => (why === null ? null : element("p", { class: "note" }, why))));
      return;
    }
    this.pictures.hidden = false;
    this.draw(choice.slide, left, right);
  }

  private async found(row: number, slide: number): Promise<Found> {
    const [job, sweep] = [this.sweep.jobs[row]!, this.sweep];
    if (!isDone(sweep, row, slide)) {
      return textOf(sweep, "reason", row, slide) || job.error || "the job did not do this slide";
    }
    const missing = textOf(sweep, "missing", row, slide);
    if (missing !== "") return `no tiles to show: ${missing}`;
    const { src, key } = tilesFile(job, slide);
    try {
      const data = await load<TilesData>(src, key);
      return { data, tiles: await decodeTiles(data) };
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  private draw(slide: number, left: Exclude<Found, string>, right: Exclude<Found, string>): void {
    const compared = compareTiles(left.tiles, right.tiles);
    const map = compareAreas(left.tiles, right.tiles);
    fill(this.result, ...summary(compared, map, left.data, right.data));
    if (compared.sameTiles) {
      this.drawings[0] = tilesDrawing(left.tiles, compared.left, LOST);
      this.drawings[1] = tilesDrawing(right.tiles, compared.right, GAINED);
    } else {
      this.drawings[0] = areasDrawing(left.tiles, map, 1, LOST);
      this.drawings[1] = areasDrawing(right.tiles, map, 2, GAINED);
    }
    this.redraw(0);
    this.redraw(1);
    const { view, slide_id } = this.sweep.slides[slide]!;
    const opened = `${slide_id} ${left.data.bounds.join()} ${right.data.bounds.join()}`;
    if (opened === this.shown) return;
    this.shown = opened;
    this.views[0].open(view, left.data.bounds);
    this.views[1].open(view, right.data.bounds);
  }

  private redraw(index: 0 | 1): void {
    const view = this.views[index];
    const frame = view.frame();
    if (frame.width === 0 || frame.height === 0) return; // the pictures are hidden
    this.drawings[index]?.(fitted(view.canvas, frame), frame);
  }

  private zoomButtons(): HTMLElement[] {
    const acts = [["Zoom in", "zoomIn"], ["Zoom out", "zoomOut"], ["Show all", "home"]] as const;
    return acts.map(([text, act]) =>
      element("button", { type: "button", onclick: () => { this.views[0][act](); } }, text),
    );
  }
}

const KEYS = "Arrow keys move the picture, plus and minus zoom, 0 shows the whole slide.";

function summary(compared: Comparison, map: AreaMap, left: TilesData, right: TilesData): HTMLElement[] {
  const item = (kind: string, letter: string, text: string): HTMLElement =>
    element("li", {}, element("span", { class: `mark mark-${kind}`, "aria-hidden": "true" }, letter), text);
  const size = (area: number): string => areaText(area, left.mpp ?? right.mpp);
  const tiles = [
    item("both", "", `${whole(compared.both)} in both`),
    item("lost", "L", `${whole(compared.lost)} lost: only in A`),
    item("gained", "G", `${whole(compared.gained)} gained: only in B`),
  ];
  const areas = [
    item("both", "", `${size(map.both)} in both`),
    item("lost", "", `${size(map.lost)} only in A`),
    item("gained", "", `${size(map.gained)} only in B`),
  ];
  const lines = [
    element("p", {}, `A keeps ${whole(left.count)} tiles, B keeps ${whole(right.count)}.`),
    element("ul", { class: "marks" }, ...(compared.sameTiles ? tiles : areas)),
  ];
  if (compared.sameTiles) {
    lines.push(element("p", { class: "hint" }, `Area: ${size(map.both)} in both, ${size(map.lost)} only in A, ${size(map.gained)} only in B. Tiles with the same box in level-0 pixels are the same tile.`));
  } else {
    lines.push(element("p", { class: "note" }, "The tiles of A and B differ in size on the slide, so areas are compared: hatching marks what only one of them covers."));
  }
  const stale = [["A", left.stale], ["B", right.stale]].filter(([, why]) => why !== "");
  return [...lines, ...stale.map(([letter, why]) => element("p", { class: "note" }, `${letter!}: ${why!}`))];
}

/** Return an area in mm² if the mpp is known, else in level-0 pixels. */
export function areaText(area: number, mpp: number | null): string {
  return mpp === null ? `${whole(area)} px² of level 0` : `${short(area * (mpp / 1000) ** 2)} mm²`;
}
