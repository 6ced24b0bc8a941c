/** The page of a sweep: heat map, lines, and two settings side by side. */

import { byId, download, element, field, fill, select } from "../common/dom.ts";
import { drawHeat, START } from "./heat_map.ts";
import type { Choice, HeatState } from "./heat_map.ts";
import { firstChoice } from "./heat_order.ts";
import type { JobOrder, SlideOrder } from "./heat_order.ts";
import { drawLines } from "./lines.ts";
import { load } from "../common/load.ts";
import { SideBySide } from "./side_by_side.ts";
import { sweepCsv } from "./csv.ts";
import { decodeSweep } from "./data.ts";
import type { Sweep, SweepData } from "./data.ts";

/** Show a sweep. */
export async function sweepPage(): Promise<void> {
  const sweep = await decodeSweep(await load<SweepData>("data/sweep.js", "sweep"));
  if (sweep.slides.length === 0) return; // the template says so
  let choice = firstChoice(sweep);
  let state = START;
  const heat = byId("heat");
  const compare = new SideBySide(byId("compare-body"), sweep, (chosen) => { choose(chosen); });

  function redraw(focused = ""): void {
    drawHeat(heat, sweep, state, choice, { sort, choose: chooseInTable, page: change });
    if (focused !== "") heat.querySelector<HTMLElement>(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  }
  function change(changed: Partial<HeatState>): void {
    state = { ...state, ...changed };
    redraw();
  }
  function sort(order: JobOrder): void {
    const again = JSON.stringify(order) === JSON.stringify(state.jobs);
    state = { ...state, jobs: order, descending: again ? !state.descending : order.by !== "number", jobPage: 0 };
    const text = document.activeElement?.textContent ?? "";
    redraw();
    [...heat.querySelectorAll<HTMLElement>("button.sort")].find((one) => one.textContent === text)?.focus();
  }
  function choose(chosen: Partial<Choice>): void {
    choice = { ...choice, ...chosen };
    redraw();
    void compare.show(choice);
  }
  function chooseInTable(chosen: Partial<Choice>): void {
    const focused = document.activeElement?.getAttribute("aria-label") ?? "";
    choice = { ...choice, ...chosen };
    redraw(focused);
    void compare.show(choice);
  }

  fill(byId("heat-tools"), ...tools(sweep, sort, change));
  redraw();
  drawLines(byId("lines-body"), sweep);
  await compare.show(choice);
}

function tools(sweep: Sweep, sort: (order: JobOrder) => void, change: (changed: Partial<HeatState>) => void): HTMLElement[] {
  const orders: [string, JobOrder][] = [
    ["in the order of the sweep", { by: "number" }],
    ...sweep.keys.map((key): [string, JobOrder] => [`by ${key}`, { by: "key", key }]),
    ["by tiles of all slides", { by: "total" }],
  ];
  const jobs = select("sort-jobs", orders.map(([text], index) => [index, text]));
  jobs.addEventListener("change", () => { sort(orders[Number(jobs.value)]![1]); });
  const names: [SlideOrder, string][] = [
    ["table", "in the order of the table"],
    ["name", "by name"],
    ["spread", "that change most first"],
    ["kept", "with most tiles first"],
  ];
  const slides = select("sort-slides", names);
  slides.addEventListener("change", () => { change({ slides: slides.value as SlideOrder, slidePage: 0 }); });
  const filter = element("input", { id: "filter-slides", type: "search", autocomplete: "off" });
  filter.addEventListener("input", () => { change({ filter: filter.value, slidePage: 0 }); });
  const csv = element("button", { type: "button" }, "Save the table as CSV");
  csv.addEventListener("click", () => { download(`${sweep.name}.csv`, sweepCsv(sweep)); });
  return [field("Settings", jobs), field("Slides", slides), field("Slide name contains", filter), element("div", { class: "field end" }, csv)];
}
