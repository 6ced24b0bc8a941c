/** The head of a slide's page: its facts, its row of slides.csv, and links to its neighbours. */

import { shownValue } from "./cell_card.ts";
import { amount, type Cell, type RunData } from "../common/data.ts";
import { byId, element, fact, fill, short, whole } from "../common/dom.ts";

type Row = Record<string, Cell>;

/** Return a slide's row of a run's table; null if the run has no such slide. */
export function rowOf(run: RunData, n: number): Row | null {
  const names = Object.keys(run.slides);
  if (!(n in (run.slides.slide_id ?? []))) return null;
  return Object.fromEntries(names.map((name) => [name, run.slides[name]![n] ?? null]));
}

/** Show what a slide's row says: the main facts, and all of it folded. */
export function showRow(row: Row): void {
  const count = (name: string): string | null => format(amount(row[name]), whole, "");
  const facts: [string, string | null, string?][] = [
    ["Status", row.status === null || row.status === undefined ? null : String(row.status)],
    ["Grid cells", count("candidates")],
    ["Tiles", count("kept")],
    ["Tissue", format(amount(row.tissue_mm2), short, " mm²")],
    ["Tiles at", format(amount(row.effective_mpp), short, " µm/px"), row.mpp_source ? `slide: ${String(row.mpp_source)}` : ""],
  ];
  fill(
    byId("facts"),
    ...facts.map(([name, value, more]) =>
      value === null
        ? null
        : fact(name, value, more ? element("span", { class: "hint" }, more) : null),
    ),
  );
  const values = Object.entries(row).filter(([, value]) => value !== null && value !== "");
  fill(
    byId("row"),
    ...values.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, shownValue(value)))),
  );
  for (const name of ["reason", "notes"]) {
    if (row[name]) addNote(String(row[name]), name === "reason" ? "problem" : "note");
  }
}

function format(value: number | null, text: (value: number) => string, unit: string): string | null {
  return value === null ? null : text(value) + unit;
}

/** Add a remark below the heading. */
export function addNote(text: string, kind: "note" | "problem" = "note"): void {
  byId("notes").append(element("p", { class: kind }, text));
}

/** Link to the slides before and after; `hash` carries the chosen limits along. */
export function linkNeighbours(run: RunData, n: number, hash: () => string): void {
  const ids = run.slides.slide_id ?? [];
  for (const [name, other] of [["previous", n - 1], ["next", n + 1]] as const) {
    const link = byId(name) as HTMLAnchorElement;
    link.hidden = !(other in ids);
    link.title = String(ids[other] ?? "");
    const update = (): void => {
      link.href = `slide.html?n=${other}${hash()}`;
    };
    update();
    for (const event of ["focus", "pointerenter", "pointerdown"]) link.addEventListener(event, update);
  }
}
