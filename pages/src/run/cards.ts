/** The card of a slide. */

import { element, fact, percent, short, whole } from "../common/dom.ts";
import type { Outlier } from "./outliers.ts";
import type { Row } from "./rows.ts";

const BADGES: Record<string, [kind: string, text: string]> = {
  done: ["done", "Done"],
  done_empty: ["empty", "Empty"],
  failed: ["failed", "Failed"],
  interrupted: ["interrupted", "Not reached"],
};

/** Return the card of a slide: a list item with one link, to the slide's page. */
export function card(row: Row, outlier: Outlier | undefined): HTMLLIElement {
  const title = element("span", { class: "card-name", title: row.id }, row.id);
  const link = row.data === null ? title : element("a", { href: `slide.html?n=${row.n}`, class: "card-link" }, title);
  const [kind, status] = BADGES[row.status] ?? ["interrupted", row.status];
  return element(
    "li",
    { class: `card card-${kind}`, "data-n": row.n },
    picture(row),
    element("h3", { class: "card-title" }, link),
    element("p", { class: "card-state" }, element("span", { class: `badge badge-${kind}` }, status), earlier(row)),
    facts(row),
    ...notes(row, outlier),
  );
}

function picture(row: Row): HTMLElement {
  if (row.picture === null) {
    return element("div", { class: "card-picture card-none" }, element("span", {}, "no picture"));
  }
  const alt = row.data === null ? row.id : `${row.id}: tissue outline and tiles`;
  const image = element("img", { src: row.picture, alt, loading: "lazy", decoding: "async" });
  return element("div", { class: "card-picture" }, image);
}

function earlier(row: Row): string | null {
  return row.output === "earlier" ? " output of an earlier run" : null;
}

function facts(row: Row): HTMLElement | null {
  if (!row.status.startsWith("done")) return null;
  const share = row.droppedShare === null ? "" : ` (${percent(row.droppedShare)} of ${whole(row.candidates - row.below)})`;
  const pairs: [string, string][] = [
    ["Tiles", `${whole(row.kept)} of ${whole(row.candidates)} cells`],
    ["Below threshold", whole(row.below)],
    ...(row.dropped ? [["Dropped otherwise", `${whole(row.dropped)}${share}`] satisfies [string, string]] : []),
    ...(row.notSampled ? [["Not sampled", whole(row.notSampled)] satisfies [string, string]] : []),
    ["Tissue", tissue(row)],
    ["Tile µm/px", row.effective === null ? "unknown" : short(row.effective)],
    ["Scan µm/px", row.mpp === null ? "unknown" : short(row.mpp)],
  ];
  const list = element("dl", { class: "card-facts" }, ...pairs.map((pair) => fact(...pair)));
  if (row.mppSource) {
    list.append(
      element("div", { class: "card-source" }, element("dt", {}, "Source"), element("dd", {}, row.mppSource)),
    );
  }
  return list;
}

function notes(row: Row, outlier: Outlier | undefined): HTMLElement[] {
  const marked: [string, string][] = (outlier?.reasons ?? []).map((text) => ["outlier", text]);
  if (row.reason) marked.unshift([row.status === "failed" ? "failed" : "note", reason(row)]);
  if (row.warnings) marked.push(["note", row.warnings]); // with the notes of slides.csv
  return marked.map(([kind, text]) => element("p", { class: `remark remark-${kind}`, title: text }, text));
}

/** Return the reason without the slide's id, which the card has as its title. */
function reason(row: Row): string {
  const begin = `${row.code} slide=${row.id}: `;
  return row.code && row.reason.startsWith(begin)
    ? `${row.code}: ${row.reason.slice(begin.length)}`
    : row.reason;
}

function tissue(row: Row): string {
  if (row.tissue !== null) return `${short(row.tissue)} mm²`;
  return row.fraction === null ? "unknown" : `${percent(row.fraction)} of the slide`;
}
