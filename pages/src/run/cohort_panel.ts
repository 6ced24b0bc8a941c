/** Sliders on the run page: what other limits would keep, counted over all slides. */

import { csvField, overridden, overrides, readOverrides } from "../common/changes.ts";
import { type Change, cohortOf, type Count } from "../common/cohort.ts";
import type { Rules, RunData } from "../common/data.ts";
import { download, element, fact, fill, whole } from "../common/dom.ts";
import { overridesBox } from "../common/overrides_box.ts";
import { rangeOf } from "../slide/ranges.ts";
import type { Row } from "./rows.ts";
import { slidersOf } from "../common/sliders.ts";

/** Slides that the panel lists as those that change most. */
const LISTED = 10;
/** Milliseconds without a change after which the address gets the limits: browsers allow few changes. */
const REST = 300;

/**
 * Show the panel in its place, if there is a slide with candidates.
 *
 * `limits` are overrides to begin with; `keep` gets the overrides whenever they change.
 */
export function showCohort(
  place: HTMLElement,
  run: RunData,
  rows: readonly Row[],
  limits: string,
  keep: (limits: string) => void,
): void {
  const slides = rows.filter((row) => row.data !== null && row.candidates > 0).length;
  if (!slides) return;
  place.hidden = false;
  if (run.base === null) {
    const why = "The rules of the slides are not known. Open a slide to try other limits on it.";
    place.append(element("p", {}, why));
    return;
  }
  const rules = run.base;
  const begin = element(
    "button",
    { type: "button", class: "main" },
    slides === 1 ? "Count on the slide" : `Count on ${whole(slides)} slides`,
  );
  const intro = element(
    "p",
    {},
    "Move a limit to see what tiler would keep on all slides. Nothing is written, and no slide is read again.",
  );
  const open = (): HTMLElement => {
    begin.remove();
    const panel = panelOf(rules, readOverrides(rules, limits), rows, tableNote(run), keep);
    place.append(panel);
    return panel;
  };
  begin.addEventListener("click", () => {
    open().focus();
  });
  place.append(intro, begin);
  if (limits) open();
}

/** Return which slides keep the limits of the table of slides; null if there are none. */
function tableNote(run: RunData): HTMLElement | null {
  const keys = Object.entries(run.set_by_table).map(
    ([key, slides]) => `${key} of ${whole(slides)} ${slides === 1 ? "slide" : "slides"}`,
  );
  if (!keys.length) return null;
  return element("p", { class: "hint" }, `The table of slides sets ${keys.join(", ")}. Overrides do not change these.`);
}

function panelOf(
  run: Rules,
  start: Rules,
  rows: readonly Row[],
  tables: HTMLElement | null,
  keep: (limits: string) => void,
): HTMLElement {
  const cohort = cohortOf(rows);
  let running = new AbortController();
  const bar = element("progress", { "aria-label": "Slides counted" });
  const progress = element("p", { class: "result" });
  const said = element("p", { class: "unseen", role: "status", "aria-live": "polite" });
  const facts = element("dl", { class: "facts" });
  const most = element("div", { class: "most" });
  const box = overridesBox();
  let done: Count | null = null;
  const save = element("button", { type: "button", disabled: true }, "Save what changes per slide (CSV)");
  save.addEventListener("click", () => {
    if (done !== null) download("changes_per_slide.csv", changesCsv(done.changes));
  });

  let timer: ReturnType<typeof setTimeout> | undefined;
  let widened = 0; // slides whose values the sliders have the ends of
  const draw = (count: Count): void => {
    bar.max = count.total;
    bar.value = count.counted;
    fill(progress, progressText(count));
    fillFacts(facts, count);
    if (widened === 0 || (count.counted === count.total && widened < count.total)) {
      const scores = [...count.scores].filter(([, values]) => values.length);
      sliders.widen(new Map(scores.map(([name, values]) => [name, rangeOf(values, [])])));
      widened = count.counted;
    }
  };
  const recount = async (rules: Rules): Promise<void> => {
    running.abort();
    const own = (running = new AbortController());
    done = null;
    save.disabled = true;
    const words = overrides(run, rules);
    box.set(words);
    clearTimeout(timer);
    timer = setTimeout(keep, REST, words);
    const count = await cohort.count(overridden(run, rules), own.signal, draw);
    if (count === null) return;
    done = count;
    save.disabled = false;
    fill(said, resultText(count));
    fillMost(most, count.changes, words);
  };
  const sliders = slidersOf(run, new Map(), (rules) => void recount(rules), run.from_table);
  sliders.set(start);
  void recount(start);
  return element(
    "div",
    { class: "panel cohort", tabindex: -1 },
    sliders.element,
    element(
      "div",
      { class: "cohort-result" },
      element("div", { class: "cohort-count" }, bar, progress, said, facts),
      ...[tables, note(run), box.element, save, most],
    ),
  );
}

function note(run: Rules): HTMLElement | null {
  if (run.sampler === null || run.sampler.exact) return null;
  const text = `The page cannot repeat the sampler ${run.sampler.name}: gained and lost count cells before sampling.`;
  return element("p", { class: "hint" }, text);
}

/** Return how far a count is: "312 of 1,000 slides counted". */
export function progressText({ counted, total, missing, unknown }: Count): string {
  const without = missing ? `; ${whole(missing)} without data are left out` : "";
  const open = unknown ? ". The scores of unknown cells were not measured: they are not counted as tiles" : "";
  return `${whole(counted)} of ${whole(total)} slides counted${without}${open}`;
}

function resultText(count: Count): string {
  const then = count.then === null ? "" : `${whole(count.then)} tiles, `;
  return `${then}${whole(count.gained)} gained, ${whole(count.lost)} lost`;
}

function signed(sign: string, value: number): string {
  return value ? sign + whole(value) : "0";
}

function fillFacts(facts: HTMLElement, count: Count): void {
  const pairs: [string, string][] = [
    ["Tiles in the run", whole(count.now)],
    ["Tiles with these limits", count.then === null ? "not known" : whole(count.then)],
    ["Gained", signed("+", count.gained)],
    ["Lost", signed("−", count.lost)],
  ];
  if (count.unknown) pairs.push(["Unknown", whole(count.unknown)]);
  fill(facts, ...pairs.map((pair) => fact(...pair)));
}

/** Return the slides that change most, those with the most gained and lost cells first. */
export function mostChanged(changes: readonly Change[], count: number): Change[] {
  return changes
    .filter((change) => change.gained + change.lost > 0)
    .sort((a, b) => b.gained + b.lost - (a.gained + a.lost) || a.n - b.n)
    .slice(0, count);
}

/** List the slides that change most; their links carry the limits along. */
function fillMost(place: HTMLElement, changes: readonly Change[], limits: string): void {
  const found = mostChanged(changes, LISTED);
  if (!found.length) {
    fill(place);
    return;
  }
  const head = ["Slide", "In the run", "With these limits", "Gained", "Lost"].map((name, index) =>
    element("th", { scope: "col", class: index ? "num" : null }, name),
  );
  const lines = found.map(({ n, id, now, then, gained, lost }) => {
    const numbers = [whole(now), then === null ? "–" : whole(then), signed("+", gained), signed("−", lost)];
    const link = element("a", { href: `slide.html?n=${n}#${encodeURIComponent(limits)}` }, id);
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, link),
      ...numbers.map((text) => element("td", { class: "num" }, text)),
    );
  });
  const table = element(
    "table",
    {},
    element("caption", {}, "Slides that change most"),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...lines),
  );
  fill(place, element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Slides that change most" }, table));
}

/** Return the table of what changes on each slide; `kept_then` is empty where it is not known. */
export function changesCsv(changes: readonly Change[]): string {
  const lines = ["slide_id,kept_now,kept_then,gained,lost,unknown"];
  for (const { id, now, then, gained, lost, unknown } of changes) {
    lines.push([csvField(id), now, then ?? "", gained, lost, unknown].join(","));
  }
  return `${lines.join("\n")}\n`;
}
