/** The table of settings and slides, shaded by the share of candidates that are kept. */

import { element, fill, percent, whole } from "../common/dom.ts";
import { pageOf, shadeOf, sortedJobs, sortedSlides } from "./heat_order.ts";
import type { JobOrder, SlideOrder } from "./heat_order.ts";
import { countOf, keptOf, settingText, shareOf, textOf, totalOf } from "./data.ts";
import type { Sweep } from "./data.ts";

const JOBS = 50;
const SLIDES = 20;

/** What the reader chose: the rows of two jobs, and a slide. */
export interface Choice {
  left: number;
  right: number;
  slide: number;
}

/** The order, the filter and the page that are shown. */
export interface HeatState {
  jobs: JobOrder;
  descending: boolean;
  slides: SlideOrder;
  filter: string;
  jobPage: number;
  slidePage: number;
}

export const START: HeatState = {
  jobs: { by: "number" },
  descending: false,
  slides: "table",
  filter: "",
  jobPage: 0,
  slidePage: 0,
};

/** Reactions to what the reader does in the table. */
export interface HeatEvents {
  sort: (order: JobOrder) => void;
  choose: (choice: Partial<Choice>) => void;
  page: (pages: Partial<HeatState>) => void;
}

/** Draw the table; at most 50 settings and 20 slides are in it at once. */
export function drawHeat(
  parent: Element, sweep: Sweep, state: HeatState, choice: Choice, events: HeatEvents,
): void {
  const jobs = sortedJobs(sweep, state.jobs, state.descending);
  const slides = sortedSlides(sweep, state.slides, state.filter);
  const down = pageOf(jobs.length, JOBS, state.jobPage);
  const across = pageOf(slides.length, SLIDES, state.slidePage);
  const shown = slides.slice(across.first, across.last);
  const rows = jobs.slice(down.first, down.last).map((job) => rowOf(sweep, job, shown, choice, events));
  const table = element(
    "table", { class: "heat" },
    element("caption", { class: "unseen" }, "Kept tiles of each setting on each slide, and their share of all grid cells"),
    element("thead", {}, headOf(sweep, state, shown, events)),
    element("tbody", {}, ...rows),
  );
  table.addEventListener("keydown", moveFocus);
  const box = element("div", { class: "heat-box", tabindex: 0, role: "region", "aria-label": "Settings and slides" }, table);
  const pagers = [
    pager("settings", jobs.length, state.jobPage, JOBS, (jobPage) => { events.page({ jobPage }); }),
    pager("slides", slides.length, state.slidePage, SLIDES, (slidePage) => { events.page({ slidePage }); }),
  ];
  fill(parent, ...pagers, slides.length === 0 ? element("p", { class: "hint" }, "No slide has this name.") : null, box);
  const first = table.querySelector<HTMLElement>("td [aria-pressed=true]") ?? table.querySelector<HTMLElement>("tbody button");
  first?.setAttribute("tabindex", "0");
}

function headOf(sweep: Sweep, state: HeatState, slides: number[], events: HeatEvents): HTMLElement {
  const direction = state.descending ? "descending" : "ascending";
  const sorted = (order: JobOrder): string | null =>
    JSON.stringify(order) === JSON.stringify(state.jobs) ? direction : null;
  const head = (order: JobOrder, name: string, title: string): HTMLElement =>
    element(
      "th", { scope: "col", "aria-sort": sorted(order), title },
      element("button", { type: "button", class: "sort", onclick: () => { events.sort(order); } }, name),
    );
  return element(
    "tr", {},
    element("th", { scope: "col", class: "corner" }, "Setting"),
    head({ by: "total" }, "All slides", "Sort by the tiles of all slides"),
    ...slides.map((slide) => {
      const name = sweep.slides[slide]!.slide_id;
      return head({ by: "slide", slide }, name, `Sort by ${name}`);
    }),
  );
}

function rowOf(sweep: Sweep, row: number, slides: number[], choice: Choice, events: HeatEvents): HTMLElement {
  const job = sweep.jobs[row]!;
  const name = settingText(sweep, job);
  const total = totalOf(sweep, row);
  const ended = job.status === "done" || job.status === "failed";
  const badge = ended ? null : element("span", { class: "badge badge-failed" }, job.status);
  const link = job.folder === "" ? null : element("a", { class: "folder", href: `../${encodeURI(job.folder)}/` }, "folder");
  return element(
    "tr", {},
    element(
      "th", { scope: "row" },
      ...settingLines(sweep, row),
      element(
        "span", { class: "row-links" },
        side("left", row, name, choice, events), side("right", row, name, choice, events), link, badge,
      ),
    ),
    element(
      "td", { class: "num" }, total.slides === 0 ? "–" : whole(total.kept),
      total.slides === sweep.slides.length || total.slides === 0
        ? null
        : element("small", {}, `of ${total.slides} of ${sweep.slides.length} slides`),
    ),
    ...slides.map((slide) => cellOf(sweep, row, slide, name, choice, events)),
  );
}

function settingLines(sweep: Sweep, row: number): HTMLElement[] {
  const job = sweep.jobs[row]!;
  const keys = sweep.keys.filter((key) => key in job.settings);
  if (keys.length === 0) return [element("span", { class: "setting" }, job.name)];
  return keys.map((key) =>
    element("span", { class: "setting" }, element("span", { class: "key-name" }, `${key}=`), element("b", {}, job.settings[key]!)),
  );
}

function side(which: "left" | "right", row: number, name: string, choice: Choice, events: HeatEvents): HTMLElement {
  const letter = which === "left" ? "A" : "B";
  return element("button", {
    type: "button",
    class: "side",
    tabindex: -1,
    "data-at": letter,
    "aria-pressed": String(choice[which] === row),
    "aria-label": `${letter}: ${name}`,
    title: `Compare as ${letter}`,
    onclick: () => { events.choose({ [which]: row }); },
  }, letter);
}

function cellOf(sweep: Sweep, row: number, slide: number, name: string, choice: Choice, events: HeatEvents): HTMLElement {
  const [kept, share] = [keptOf(sweep, row, slide), shareOf(sweep, row, slide)];
  const slideName = sweep.slides[slide]!.slide_id;
  if (kept === null) {
    const status = textOf(sweep, "status", row, slide);
    const why = textOf(sweep, "reason", row, slide) || sweep.jobs[row]!.error || "the job has no row for this slide";
    return element("td", { class: "heat-cell none", title: why }, status === "" ? "–" : status, element("span", { class: "unseen" }, `: ${why}`));
  }
  const shade = share === null ? 0 : shadeOf(share);
  const part = share === null ? "" : percent(share);
  const candidates = whole(countOf(sweep, "candidates", row, slide) ?? 0);
  return element(
    "td", { class: `heat-cell shade-${shade}` },
    element("button", {
      type: "button",
      tabindex: -1,
      "data-at": slide,
      "aria-pressed": String(choice.right === row && choice.slide === slide),
      "data-side": sidesOf(choice, row, slide),
      "aria-label": `${whole(kept)} ${part} of ${candidates} grid cells: ${name}, ${slideName}`,
      title: `${slideName}\n${name}\n${whole(kept)} tiles of ${candidates} grid cells`,
      onclick: () => { events.choose({ right: row, slide }); },
    }, `${whole(kept)} `, element("small", {}, part)),
  );
}

/** Return which sides of the comparison show a job on a slide: A, B, AB or null. */
function sidesOf(choice: Choice, row: number, slide: number): string | null {
  if (choice.slide !== slide) return null;
  return `${choice.left === row ? "A" : ""}${choice.right === row ? "B" : ""}` || null;
}

function pager(what: string, count: number, page: number, size: number, go: (page: number) => void): HTMLElement | null {
  const found = pageOf(count, size, page);
  if (found.pages === 1) return null;
  const at = found.first / size;
  const step = (text: string, to: number): HTMLElement =>
    element("button", { type: "button", disabled: to < 0 || to >= found.pages, "aria-label": `${text} ${what}`, onclick: () => { go(to); } }, text);
  return element(
    "div", { class: "pager" },
    step("Previous", at - 1),
    element("span", {}, `${what} ${whole(found.first + 1)}–${whole(found.last)} of ${whole(count)}`),
    step("Next", at + 1),
  );
}

/** Move the focus among the buttons of the table's rows by arrow keys, Home and End. */
function moveFocus(event: KeyboardEvent): void {
  const from = event.target as HTMLElement;
  const row = from.closest("tbody tr");
  if (row === null || from.dataset.at === undefined) return;
  const buttons = (of: Element | null): HTMLElement[] => [...(of?.querySelectorAll<HTMLElement>("[data-at]") ?? [])];
  const here = buttons(row);
  const at = here.indexOf(from);
  const same = (next: Element | null): HTMLElement | undefined => {
    const there = buttons(next); // a slide that failed has no button
    return there.find((one) => one.dataset.at === from.dataset.at) ?? there[Math.min(at, there.length - 1)];
  };
  const targets: Record<string, HTMLElement | undefined> = {
    ArrowLeft: here[at - 1],
    ArrowRight: here[at + 1],
    Home: here[0],
    End: here.at(-1),
    ArrowUp: same(row.previousElementSibling),
    ArrowDown: same(row.nextElementSibling),
  };
  const target = targets[event.key];
  if (target === undefined) return;
  event.preventDefault();
  from.setAttribute("tabindex", "-1");
  target.setAttribute("tabindex", "0");
  target.focus();
}
