/** The page of a run: the template has the summary; here are the cards of the slides. */

import { card } from "./cards.ts";
import { choose, hasStatus, PAGE, readChoice, SORTS, START, STATUSES, writeChoice } from "./choice.ts";
import type { Choice, Sort, Status } from "./choice.ts";
import { showCohort } from "./cohort_panel.ts";
import type { RunData } from "../common/data.ts";
import { element, field, fill, select, whole } from "../common/dom.ts";
import { moveFocus } from "./grid_keys.ts";
import { load } from "../common/load.ts";
import { outliers, RULE } from "./outliers.ts";
import type { Outlier } from "./outliers.ts";
import { type Row, rowsOf } from "./rows.ts";

/** Show the slides of a run. */
export async function runPage(): Promise<void> {
  const place = document.getElementById("slides");
  if (place === null) return; // a run without slides
  const run = await load<RunData>("data/run.js", "run");
  const rows = rowsOf(run);
  const keepLimits = showCards(place, rows, outliers(rows));
  const cohort = document.getElementById("cohort");
  if (cohort !== null) showCohort(cohort, run, rows, readChoice(location.hash).limits, keepLimits);
}

/** Show the cards; return the function that keeps the limits of the panel in the address. */
function showCards(
  place: HTMLElement,
  rows: Row[],
  found: Map<number, Outlier>,
): (limits: string) => void {
  let choice = readChoice(location.hash);
  const name = element("input", { type: "search", id: "name", autocomplete: "off", spellcheck: "false" });
  const status = select("status", statuses(rows, found));
  const sort = select("sort", Object.entries(SORTS));
  const result = element("p", { class: "result", role: "status", "aria-live": "polite" });
  const grid = element("ul", { class: "cards" });
  const more = element("button", { type: "button", class: "more" });
  const rule = element("p", { class: "hint" });

  /** Let the links of cards carry the limits of the panel along. */
  const carry = (): void => {
    const limits = choice.limits ? `#${encodeURIComponent(choice.limits)}` : "";
    for (const link of grid.querySelectorAll<HTMLAnchorElement>(".card-link")) link.hash = limits;
  };
  const draw = (): void => {
    const chosen = choose(rows, choice, found);
    const shown = chosen.slice(0, choice.shown);
    fill(grid, ...shown.map((row) => card(row, found.get(row.n))));
    carry();
    const all = chosen.length === rows.length ? "" : ` of ${whole(rows.length)}`;
    const slides = rows.length === 1 ? "slide" : "slides";
    fill(result, `${whole(chosen.length)}${all} ${slides}, ${whole(shown.length)} shown`);
    const left = chosen.length - shown.length;
    more.hidden = left === 0;
    fill(more, `Show ${whole(Math.min(PAGE, left))} more`);
    rule.hidden = choice.sort !== "outliers" && choice.status !== "outlier";
    fill(rule, found.size ? RULE : `This run has no outliers. ${RULE}`);
  };
  const show = (): void => {
    name.value = choice.text;
    status.value = choice.status;
    sort.value = choice.sort;
    draw();
  };
  /** Change the choice: a new entry of the history, so that Back undoes it, or the same one. */
  const change = (changes: Partial<Choice>, remember: boolean): void => {
    choice = { ...choice, ...changes };
    const address = `${location.pathname}${location.search}#${writeChoice(choice)}`;
    if (remember) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  };
  const fresh = { shown: START.shown, at: START.at };

  name.addEventListener("input", () => {
    change({ text: name.value, ...fresh }, false);
    draw();
  });
  status.addEventListener("change", () => {
    change({ status: status.value as Status, ...fresh }, true);
    draw();
  });
  sort.addEventListener("change", () => {
    change({ sort: sort.value as Sort, ...fresh }, true);
    draw();
  });
  more.addEventListener("click", () => {
    const first = grid.children.length;
    change({ shown: choice.shown + PAGE }, false);
    draw();
    focusOn(grid.children[first]);
  });
  grid.addEventListener("click", (event) => {
    const opened = (event.target as Element).closest("a")?.closest<HTMLElement>("[data-n]");
    if (opened) change({ at: Number(opened.dataset.n) }, false);
  });
  grid.addEventListener("keydown", moveFocus);
  // The numbers of the summary lead to the cards: the address changes, and "popstate" follows.
  for (const link of document.querySelectorAll('a[href^="#status="]')) {
    link.addEventListener("click", () => {
      place.scrollIntoView();
    });
  }
  addEventListener("popstate", () => {
    if (location.hash && !location.hash.includes("=")) return; // a link within the page
    choice = { ...readChoice(location.hash), limits: choice.limits }; // the panel stays as it is
    show();
  });

  place.append(
    element(
      "div",
      { class: "controls", role: "search", "aria-label": "Slides", hidden: rows.length < 2 },
      field("Name contains", name),
      field("Status", status),
      field("Sort by", sort),
    ),
    rule,
    result,
    grid,
    more,
  );
  show();
  if (choice.at >= 0) focusOn(grid.querySelector(`[data-n="${choice.at}"]`));
  return (limits) => {
    change({ limits }, false);
    carry();
  };
}

function focusOn(found: Element | null | undefined): void {
  if (!found) return;
  found.scrollIntoView({ block: "center" });
  const target = found.querySelector<HTMLElement>("a") ?? (found as HTMLElement);
  if (target === found) target.tabIndex = -1; // a card without a page of its own
  target.focus({ preventScroll: true });
}

/** Return the statuses that occur, each with its number of slides. */
function statuses(rows: Row[], found: Map<number, Outlier>): [string, string][] {
  return (Object.entries(STATUSES) as [Status, string][]).flatMap(([status, text]) => {
    const count = rows.filter((row) => hasStatus(row, status, found)).length;
    return count || status === "all" ? [[status, `${text} (${whole(count)})`]] : [];
  });
}
