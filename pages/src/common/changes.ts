/** What other rules change: the overrides to give to tiler, and tables as tiler writes them. */

import type { Cell, Column, Filter, Rules, SlideData } from "./data.ts";
import { type Cells, type Decision, KEPT, LEFT, NOT_SAMPLED } from "./decide.ts";

const BOX = ["slide", "x", "y", "width", "height", "resolution", "ratio", "x0", "y0", "width0", "height0"];
const CONTROL =
  /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|\r(?!\n)/g;

/** Values of limits by their keys in a configuration; null for no limit. */
export type Limits = ReadonlyMap<string, number | null>;

const BOUNDS = ["min", "max"] as const;
const keyOf = (filter: Filter, bound: "min" | "max"): string => `filter.${filter.name}.${bound}`;

/** Return all limits of rules. */
function limitsOf(rules: Rules): Limits {
  const filters = rules.filters.flatMap((filter) =>
    BOUNDS.map((bound) => [keyOf(filter, bound), filter[bound]] as const),
  );
  return new Map<string, number | null>([["threshold", rules.threshold], ...filters]);
}

/** Return the limits that differ from a run's. */
function changedLimits(run: Rules, chosen: Rules): [string, number | null][] {
  const before = limitsOf(run);
  return [...limitsOf(chosen)].filter(([key, value]) => before.get(key) !== value);
}

/** Return the limits that differ from a run's, and that overrides can set. */
export function overridden(run: Rules, chosen: Rules): Limits {
  return new Map(changedLimits(run, chosen).filter(([key]) => !run.from_table.includes(key)));
}

/** Return a slide's rules with overrides, which do not change what a table sets for it. */
export function withOverrides(own: Rules, limits: Limits): Rules {
  const value = <T>(key: string, now: T): T | number | null =>
    own.from_table.includes(key) || !limits.has(key) ? now : limits.get(key)!;
  const filters = own.filters.map((filter) => ({
    ...filter,
    min: value(keyOf(filter, "min"), filter.min),
    max: value(keyOf(filter, "max"), filter.max),
  }));
  return { ...own, threshold: value("threshold", own.threshold) ?? own.threshold, filters };
}

/** Return the overrides that turn a run's rules into others: `threshold=0.35 filter.blur.min=40`. */
export function overrides(run: Rules, chosen: Rules): string {
  return words(overridden(run, chosen), run.absent);
}

/** Return the limits that differ from a run's, and that only the table of slides can set. */
export function forTable(run: Rules, chosen: Rules): string {
  return words(changedLimits(run, chosen).filter(([key]) => run.from_table.includes(key)));
}

function words(limits: Iterable<[string, number | null]>, absent: string[] = []): string {
  const named = (key: string): string => (absent.includes(key) ? `++${key}` : key);
  return [...limits].map(([key, value]) => quoted(`${named(key)}=${value ?? "null"}`)).join(" ");
}

/** Return whether rules decide alike: their threshold and limits are the same. */
export function sameRules(one: Rules, other: Rules): boolean {
  const limits = (filter: Filter): string => JSON.stringify([filter.name, filter.min, filter.max]);
  return (
    one.threshold === other.threshold &&
    one.filters.map(limits).join() === other.filters.map(limits).join()
  );
}

/**
 * Quote a word for a shell where it has other characters than names and numbers have.
 *
 * A terminal acts on control characters that are pasted, quoted or not: they are written out.
 */
function quoted(word: string): string {
  const safe = word.replace(/[\t\r\n]/g, escaped).replace(CONTROL, escaped);
  return /^[\w.=+-]+$/.test(safe) ? safe : `'${safe.replaceAll("'", `'\\''`)}'`;
}

/** Return a float as Python writes it: 1.0, 1e-05, nan is empty. */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return "";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  const [digits = "", power = "0"] = value.toExponential().split("e");
  const exponent = Number(power);
  if (value !== 0 && (exponent < -4 || exponent >= 16)) {
    return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const text = String(value).includes("e") ? value.toFixed(20).replace(/0+$/, "") : String(value);
  return text.includes(".") ? text : `${text}.0`;
}

/** Return a text as a field of a CSV table, as tiler/storage/csv_text.py does. */
export function csvField(text: string): string {
  const safe = text.replace(CONTROL, escaped);
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  const hex = code.toString(16);
  return code < 256 ? `\\x${hex.padStart(2, "0")}` : `\\u${hex.padStart(4, "0")}`;
}

/** Return a cell's value of a column as text; empty where there is none. */
export function fieldOf(column: Column, cell: number): string {
  const value = column.numbers[cell]!;
  if (column.values !== null) return column.values[value] ?? "";
  return column.numbers instanceof Float64Array ? pythonFloat(value) : String(value);
}

/** Return the columns of a slide's tables beside those of `BOX`, in their order. */
function furtherColumns(cells: Cells): [string, Column][] {
  return [...cells.columns].filter(([name]) => name !== "ratio" && name !== "sampler_rank");
}

function boxOf(slide: SlideData, cells: Cells, cell: number): (string | number)[] {
  const row = Math.floor(cell / cells.nx);
  const column = cell % cells.nx;
  return [
    csvField(slide.slide_id),
    slide.x[column]!,
    slide.y[row]!,
    slide.size[0],
    slide.size[1],
    slide.resolution,
    pythonFloat(cells.ratio[cell]!),
    slide.x0[column]!,
    slide.y0[row]!,
    slide.width0[column]!,
    slide.height0[row]!,
    row,
    column,
  ];
}

/** Return the table of the tiles that are kept, with the columns and rows of tiler's CSV. */
export function keptCsv(slide: SlideData, cells: Cells, decision: Decision): string {
  const further = furtherColumns(cells);
  const names = [...BOX, "row", "column", ...further.map(([name]) => csvField(name))];
  const lines = [names.join(",")];
  decision.codes.forEach((code, cell) => {
    if (decision.reasons[code] !== KEPT) return;
    const more = further.map(([, column]) => csvField(fieldOf(column, cell)));
    lines.push([...boxOf(slide, cells, cell), ...more].join(","));
  });
  return `${lines.join("\n")}\n`;
}

type Decided = Pick<Decision, "codes" | "reasons">;

const [GAINED, LOST] = [1, 2];

/** Return a table of 0, `GAINED` or `LOST` for a cell's codes, at `before * width + after`. */
function differences(before: Decided, after: Decided): { table: Uint8Array; width: number } {
  const open = after.reasons.includes(LEFT); // then compare what is left to the sampler
  const passes = (reason: string): boolean =>
    reason === KEPT || (open && (reason === NOT_SAMPLED || reason === LEFT));
  const is = after.reasons.map(passes);
  const rows = before.reasons.map(passes).map((was) => is.map((now) => (was === now ? 0 : now ? GAINED : LOST)));
  return { table: Uint8Array.from(rows.flat()), width: is.length };
}

/** Return the cells that become tiles or stop to be tiles. */
export function changedCells(before: Decision, after: Decision): number[] {
  const { table, width } = differences(before, after);
  const changed: number[] = [];
  for (let cell = 0; cell < after.codes.length; cell++) {
    if (table[before.codes[cell]! * width + after.codes[cell]!] !== 0) changed.push(cell);
  }
  return changed;
}

/** Return how many cells become tiles, and how many stop to be tiles. */
export function countChanges(before: Decided, after: Decided): { gained: number; lost: number } {
  const { table, width } = differences(before, after);
  const [old, now] = [before.codes, after.codes];
  const counts = new Uint32Array(3);
  for (let cell = 0; cell < now.length; cell++) counts[table[old[cell]! * width + now[cell]!]!]!++;
  return { gained: counts[GAINED]!, lost: counts[LOST]! };
}

/** Return the table of the cells that become tiles or stop to be tiles. */
export function changesCsv(slide: SlideData, cells: Cells, before: Decision, after: Decision): string {
  const lines = [[...BOX, "row", "column", "before", "after"].join(",")];
  for (const cell of changedCells(before, after)) {
    const reasons = [before.reasons[before.codes[cell]!]!, after.reasons[after.codes[cell]!]!];
    lines.push([...boxOf(slide, cells, cell), ...reasons.map(csvField)].join(","));
  }
  return `${lines.join("\n")}\n`;
}

/** Return a cell's columns by name, for reading. */
export function columnsOf(cells: Cells, cell: number): [string, Cell][] {
  return [...cells.columns]
    .filter(([name]) => name !== "sampler_rank")
    .map(([name, column]) => [name, column.values === null ? column.numbers[cell]! : fieldOf(column, cell)]);
}

const TABLE = "table:";

/** Return the text that states chosen rules in an address: `readOverrides` reads it. */
export function addressOf(run: Rules, chosen: Rules): string {
  const own = forTable(run, chosen).replace(/^(?=.)| /g, (gap) => `${gap}${TABLE}`);
  return [overrides(run, chosen), own].filter(Boolean).join(" ");
}

/**
 * Return a run's rules with the overrides of a text that name its threshold and filters.
 *
 * A limit that the table of slides sets moves only where the text says so: `table:threshold=0.3`.
 */
export function readOverrides(run: Rules, text: string): Rules {
  const rules = { ...run, filters: run.filters.map((filter) => ({ ...filter })) };
  for (const word of text.split(" ")) {
    const [name = "", value = ""] = word.split("=");
    const key = name.replace(TABLE, "").replace(/^\+\+/, "");
    if (name.startsWith(TABLE) !== run.from_table.includes(key)) continue;
    const number = value === "null" ? null : Number(value || NaN);
    if (number !== null && !Number.isFinite(number)) continue;
    if (key === "threshold" && number !== null && number >= 0 && number <= 1) rules.threshold = number;
    for (const filter of rules.filters) {
      for (const bound of ["min", "max"] as const) {
        if (key === `filter.${filter.name}.${bound}`) filter[bound] = number;
      }
    }
  }
  return rules;
}
