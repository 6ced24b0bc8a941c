/** Which slides are shown, in which order: pure, and kept in the address so that Back works. */

import type { Outlier } from "./outliers.ts";
import type { Row } from "./rows.ts";

export const PAGE = 60;

export const SORTS = {
  table: "order of slides.csv",
  outliers: "outliers first",
  name: "name",
  kept: "most tiles",
  fewest: "fewest tiles",
  tissue: "least tissue",
  dropped: "most dropped",
  mpp: "coarsest tiles (µm/px)",
} as const;

export const STATUSES = {
  all: "all",
  done: "done",
  done_empty: "empty",
  failed: "failed",
  interrupted: "not reached",
  warned: "with notes or warnings",
  outlier: "outliers",
} as const;

export type Sort = keyof typeof SORTS;
export type Status = keyof typeof STATUSES;

export interface Choice {
  sort: Sort;
  status: Status;
  text: string;
  /** Cards that are shown. */
  shown: number;
  /** The slide that was opened last, to which Back returns; -1 for none. */
  at: number;
  /** The overrides that the panel of limits states; empty for the run's limits. */
  limits: string;
}

export const START: Choice = { sort: "table", status: "all", text: "", shown: PAGE, at: -1, limits: "" };

/** Return the choice that the hash of an address states; what it lacks is as at the start. */
export function readChoice(hash: string): Choice {
  const found = new URLSearchParams(hash.replace(/^#/, ""));
  const [sort, status] = [found.get("sort") ?? "", found.get("status") ?? ""];
  const number = (name: string, least: number): number => {
    const value = Number(found.get(name) ?? NaN);
    return Number.isInteger(value) && value >= least ? value : least;
  };
  return {
    sort: Object.hasOwn(SORTS, sort) ? (sort as Sort) : START.sort,
    status: Object.hasOwn(STATUSES, status) ? (status as Status) : START.status,
    text: found.get("name") ?? "",
    shown: number("shown", PAGE),
    at: number("at", -1),
    limits: found.get("limits") ?? "",
  };
}

/** Return the hash that states a choice; empty for the choice at the start. */
export function writeChoice(choice: Choice): string {
  const found = new URLSearchParams();
  if (choice.sort !== START.sort) found.set("sort", choice.sort);
  if (choice.status !== START.status) found.set("status", choice.status);
  if (choice.text) found.set("name", choice.text);
  if (choice.shown !== START.shown) found.set("shown", String(choice.shown));
  if (choice.at !== START.at) found.set("at", String(choice.at));
  if (choice.limits) found.set("limits", choice.limits);
  return found.toString();
}

/** Return whether a row has a status, or belongs to a group that the filter names. */
export function hasStatus(row: Row, status: Status, found: ReadonlyMap<number, Outlier>): boolean {
  if (status === "all") return true;
  if (status === "warned") return row.warnings !== "" || row.doubt !== "";
  return status === "outlier" ? found.has(row.n) : row.status === status;
}

/** Return the chosen rows in the chosen order. Equal rows stay in the order of slides.csv. */
export function choose(
  rows: readonly Row[],
  choice: Choice,
  found: ReadonlyMap<number, Outlier>,
): Row[] {
  const text = choice.text.trim().toLocaleLowerCase();
  const left = rows.filter(
    (row) =>
      hasStatus(row, choice.status, found) &&
      (text === "" || row.id.toLocaleLowerCase().includes(text)),
  );
  if (choice.sort === "table") return left;
  if (choice.sort === "name") return left.sort((a, b) => NAMES.compare(a.id, b.id) || a.n - b.n);
  const key = KEYS[choice.sort];
  return left
    .map((row) => ({ row, key: key(row, found) }))
    .sort((a, b) => compare(a.key, b.key) || a.row.n - b.row.n)
    .map(({ row }) => row);
}

const NAMES = new Intl.Collator("en", { numeric: true });

type Key = (row: Row, found: ReadonlyMap<number, Outlier>) => number | null;

/** The lowest comes first; slides without a value come last. */
const KEYS: Record<Exclude<Sort, "table" | "name">, Key> = {
  kept: (row) => -row.kept,
  fewest: (row) => (row.status.startsWith("done") ? row.kept : null),
  tissue: (row) => row.tissue ?? row.fraction,
  dropped: (row) => (row.droppedShare === null ? null : -row.droppedShare),
  mpp: (row) => (row.effective === null ? null : -row.effective),
  outliers: (row, found) => {
    const outlier = found.get(row.n);
    return outlier ? -outlier.reasons.length - Math.min(outlier.distance, 1e6) / 1e7 : null;
  },
};

function compare(a: number | null, b: number | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a - b;
}
