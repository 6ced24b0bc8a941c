/** The order of a heat map's settings and slides, and its shades: no elements here. */

import { isDone, keptOf, shareOf, totalOf } from "./data.ts";
import type { Sweep } from "./data.ts";

export const SHADES = 8;

/** How jobs are sorted: by number, by a swept key, by all slides, or by one slide. */
export type JobOrder =
  | { by: "number" }
  | { by: "key"; key: string }
  | { by: "total" }
  | { by: "slide"; slide: number };

export type SlideOrder = "table" | "name" | "spread" | "kept";

const collator = new Intl.Collator("en", { numeric: true });

/** Return the number in a value of Hydra's grammar; null if it is not a plain number. */
export function numberIn(value: string): number | null {
  return /^[+-]?(\d[\d_]*\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value) ? Number(value.replaceAll("_", "")) : null;
}

/** Compare two values of a key: numbers by size, texts after them. */
export function compareValues(a: string, b: string): number {
  const [left, right] = [numberIn(a), numberIn(b)];
  if (left !== null && right !== null) return left - right;
  if (left !== null || right !== null) return left !== null ? -1 : 1;
  return collator.compare(a, b);
}

/** Return the rows of the jobs in an order; jobs without a value come last either way. */
export function sortedJobs(sweep: Sweep, order: JobOrder, descending: boolean): number[] {
  const rows = sweep.jobs.map((_, row) => row);
  if (order.by === "number") return descending ? rows.reverse() : rows;
  if (order.by === "key") {
    const of = (row: number): string => sweep.jobs[row]!.settings[order.key] ?? "";
    return stable(rows, (a, b) => compareValues(of(a), of(b)), descending);
  }
  const kept = rows.map((row) => {
    if (order.by === "slide") return keptOf(sweep, row, order.slide);
    const total = totalOf(sweep, row);
    return total.slides > 0 ? total.kept : null;
  });
  const known = rows.filter((row) => kept[row] !== null);
  const unknown = rows.filter((row) => kept[row] === null);
  return [...stable(known, (a, b) => kept[a]! - kept[b]!, descending), ...unknown];
}

/** Return the slides whose name contains a text, in an order. */
export function sortedSlides(sweep: Sweep, order: SlideOrder, filter: string): number[] {
  const wanted = filter.trim().toLowerCase();
  const slides = sweep.slides
    .map((_, slide) => slide)
    .filter((slide) => sweep.slides[slide]!.slide_id.toLowerCase().includes(wanted));
  if (order === "table") return slides;
  const name = (slide: number): string => sweep.slides[slide]!.slide_id;
  if (order === "name") return stable(slides, (a, b) => collator.compare(name(a), name(b)), false);
  const of = order === "spread" ? spreadOf : mostKept;
  const values = new Map(slides.map((slide) => [slide, of(sweep, slide)]));
  return stable(slides, (a, b) => values.get(a)! - values.get(b)!, true);
}

/** Return how far apart the shares of a slide's kept tiles are, 0 to 1. */
export function spreadOf(sweep: Sweep, slide: number): number {
  let [lowest, highest] = [1, 0];
  for (let job = 0; job < sweep.jobs.length; job++) {
    const share = shareOf(sweep, job, slide);
    if (share === null) continue;
    lowest = Math.min(lowest, share);
    highest = Math.max(highest, share);
  }
  return Math.max(0, highest - lowest);
}

function mostKept(sweep: Sweep, slide: number): number {
  return Math.max(0, ...sweep.jobs.map((_, job) => keptOf(sweep, job, slide) ?? 0));
}

function stable(rows: number[], compare: (a: number, b: number) => number, descending: boolean): number[] {
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => sign * compare(a, b) || a - b);
}

/** Return the shade of a share: 0 for nothing kept, else 1 to the highest. */
export function shadeOf(share: number): number {
  return share <= 0 ? 0 : Math.max(1, Math.min(SHADES, Math.ceil(share * SHADES)));
}

/** A page of a list. */
export interface Page {
  first: number;
  last: number;
  pages: number;
}

/** Return which items are on a page; `last` is exclusive. */
export function pageOf(count: number, size: number, page: number): Page {
  const pages = Math.max(1, Math.ceil(count / size));
  const at = Math.max(0, Math.min(page, pages - 1));
  return { first: at * size, last: Math.min(count, (at + 1) * size), pages };
}

/** Return the first two settings that finished a slide, on the slide where they differ by most tiles. */
export function firstChoice(sweep: Sweep): { left: number; right: number; slide: number } {
  const jobs = sweep.jobs.map((_, row) => row);
  const choices = sweep.slides.map((_, slide) => {
    const done = jobs.filter((row) => isDone(sweep, row, slide));
    const left = done[0] ?? 0;
    const right = done[1] ?? left;
    const kept = (row: number): number => keptOf(sweep, row, slide) ?? 0;
    return { choice: { left, right, slide }, tiles: Math.abs(kept(left) - kept(right)), spread: spreadOf(sweep, slide) };
  });
  choices.sort((a, b) => b.tiles - a.tiles || b.spread - a.spread || a.choice.slide - b.choice.slide);
  return choices[0]!.choice;
}
