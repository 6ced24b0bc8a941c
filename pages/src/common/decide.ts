/**
 * The decision about every cell: the same rules in the same order as tiler/selection.py.
 *
 * A test in Python runs both on the same cells.
 */

import { type Column, type Numbers, type Rules, type Sampler, type SlideData, unpack, unpackAll } from "./data.ts";

export const KEPT = "kept";
export const BELOW = "below_threshold";
export const UNREADABLE = "unreadable";
export const LABEL = "label";
export const NOT_SAMPLED = "not_sampled";
export const FILTER = "filter:";
/** Cells whose scores are not known, so that limits cannot decide about them. */
export const UNKNOWN = "unknown";
/** Cells left to a sampler that the page cannot run. */
export const LEFT = "left_to_sampler";

/** A slide's cells, row by row. */
export interface Cells {
  count: number;
  /** The number of columns of the grid. */
  nx: number;
  ratio: Numbers;
  columns: Map<string, Column>;
  /** Which cells the run could not read, if there are any: they are never kept. */
  lost?: Uint8Array;
}

export interface Decision {
  reasons: string[];
  /** The index of each cell's reason. */
  codes: Uint8Array;
  /** The number of cells of each reason. */
  counts: number[];
  /** The number of kept cells; null where a sampler of another kind decides. */
  kept: number | null;
}

/** The order in which a sampler chooses cells, and the group of each cell. */
interface Order {
  cells: Uint32Array;
  group: Int32Array | null;
  groups: number;
}

/** 1 for cells that lack a score of a run's filters: the same for all limits. */
const missing = new WeakMap<Cells, Uint8Array>();
const orders = new WeakMap<Cells, Map<string, Order>>();

/** Decode the cells of a slide. */
export async function cellsOf(slide: SlideData): Promise<Cells> {
  const columns = await unpackAll(slide.columns);
  const ratio = columns.get("ratio");
  if (ratio === undefined) throw new Error(`${slide.slide_id}: the data have no column ratio`);
  const cells: Cells = { count: ratio.numbers.length, nx: slide.x.length, ratio: ratio.numbers, columns };
  const unreadable = slide.reasons.indexOf(UNREADABLE);
  if (unreadable < 0) return cells;
  const run = await unpack(slide.decision);
  return { ...cells, lost: Uint8Array.from(run.numbers, (code) => Number(code === unreadable)) };
}

/** Return how many of `count` tiles a sampler keeps, as Amount.of in tiler/samplers/base.py. */
export function amount(sampler: Sampler, count: number): number {
  const most = Math.floor((sampler.fraction ?? 1) * count + 0.5);
  return sampler.n === null ? most : Math.min(sampler.n, most);
}

/** Decide about all cells of a slide. */
export function decide(cells: Cells, rules: Rules): Decision {
  const { count, ratio } = cells;
  const codes = new Uint8Array(count);
  const reasons = [KEPT, BELOW];
  for (let cell = 0; cell < count; cell++) codes[cell] = ratio[cell]! >= rules.threshold ? 0 : 1;
  if (rules.filters.length) dropByScores(cells, rules, codes, reasons);
  if (rules.keep !== null) dropByLabel(cells, rules.keep, codes, reasons);
  if (rules.sampler !== null) dropBySampler(cells, rules.sampler, codes, reasons);
  if (cells.lost !== undefined) dropLost(cells.lost, codes, reasons);
  const counts = tally(codes, reasons.length);
  return { reasons, codes, counts, kept: keptOf(rules.sampler, reasons, counts) };
}

/** Return the run's own decision about the cells of a slide. */
export async function runDecision(slide: SlideData): Promise<Decision> {
  const codes = Uint8Array.from((await unpack(slide.decision)).numbers);
  const counts = tally(codes, slide.reasons.length);
  return { reasons: slide.reasons, codes, counts, kept: counts[slide.reasons.indexOf(KEPT)] ?? 0 };
}

function dropByScores(cells: Cells, rules: Rules, codes: Uint8Array, reasons: string[]): void {
  const { count, ratio } = cells;
  const scores = rules.filters.map((filter) => scoreOf(cells, filter.name));
  const unreadable = reasons.push(UNREADABLE) - 1;
  const unknown = UNKNOWN_CODE;
  for (let cell = 0; cell < count; cell++) {
    if (codes[cell] === 0 && ratio[cell]! < rules.measured_from) codes[cell] = unknown;
  }
  const unscored = withoutScore(cells, scores);
  for (let cell = 0; cell < count; cell++) {
    if (codes[cell] === 0 && unscored[cell] === 1) codes[cell] = unreadable;
  }
  rules.filters.forEach((filter, index) => {
    const score = scores[index]!;
    const code = reasons.push(FILTER + filter.name) - 1;
    const low = filter.min ?? -Infinity;
    const high = filter.max ?? Infinity;
    for (let cell = 0; cell < count; cell++) {
      if (codes[cell] === 0 && !(score[cell]! >= low && score[cell]! <= high)) codes[cell] = code;
    }
  });
  const last = reasons.push(UNKNOWN) - 1;
  for (let cell = 0; cell < count; cell++) if (codes[cell] === unknown) codes[cell] = last;
}

function withoutScore(cells: Cells, scores: Numbers[]): Uint8Array {
  let found = missing.get(cells);
  if (found === undefined) {
    found = new Uint8Array(cells.count);
    for (const score of scores) {
      for (let cell = 0; cell < cells.count; cell++) if (Number.isNaN(score[cell]!)) found[cell] = 1;
    }
    missing.set(cells, found);
  }
  return found;
}

/** A code for unknown cells until all reasons before them are listed. */
const UNKNOWN_CODE = 255;

/** Return the scores of a filter. */
export function scoreOf(cells: Cells, name: string): Numbers {
  const column = cells.columns.get(`score_${name}`);
  if (column === undefined) throw new Error(`the data have no column score_${name}`);
  return column.numbers;
}

function dropByLabel(cells: Cells, keep: string[], codes: Uint8Array, reasons: string[]): void {
  const code = reasons.push(LABEL) - 1;
  const labels = cells.columns.get("label");
  const kept = new Set(keep);
  // Without the column, no cell has a label.
  const passes = (labels?.values ?? [""]).map((value) => kept.has(value));
  for (let cell = 0; cell < cells.count; cell++) {
    if (codes[cell] === 0 && passes[labels?.numbers[cell] ?? 0] !== true) codes[cell] = code;
  }
}

function dropBySampler(cells: Cells, sampler: Sampler, codes: Uint8Array, reasons: string[]): void {
  if (!sampler.exact) {
    const code = reasons.push(LEFT) - 1;
    for (let cell = 0; cell < cells.count; cell++) if (codes[cell] === 0) codes[cell] = code;
    return;
  }
  const code = reasons.push(NOT_SAMPLED) - 1;
  const order = orderOf(cells, sampler);
  const left = new Int32Array(order.groups);
  for (let cell = 0; cell < cells.count; cell++) {
    if (codes[cell] === 0) left[order.group === null ? 0 : order.group[cell]!]!++;
  }
  left.forEach((found, group) => (left[group] = amount(sampler, found)));
  for (let place = 0; place < cells.count; place++) {
    const cell = order.cells[place]!;
    if (codes[cell] !== 0) continue;
    const group = order.group === null ? 0 : order.group[cell]!;
    if (left[group]! > 0) left[group]!--;
    else codes[cell] = code;
  }
}

/** Drop the tiles that passed all rules and that the run could not read. */
function dropLost(lost: Uint8Array, codes: Uint8Array, reasons: string[]): void {
  if (!reasons.includes(UNREADABLE)) reasons.push(UNREADABLE);
  const code = reasons.indexOf(UNREADABLE);
  for (let cell = 0; cell < codes.length; cell++) if (codes[cell] === 0 && lost[cell]) codes[cell] = code;
}

function orderOf(cells: Cells, sampler: Sampler): Order {
  const by = sampler.name === "top" ? null : sampler.by; // the rank already has the column of top
  const known = orders.get(cells) ?? new Map<string, Order>();
  orders.set(cells, known);
  let order = known.get(by ?? "");
  if (order === undefined) {
    const rank = cells.columns.get("sampler_rank")?.numbers;
    if (rank === undefined) throw new Error("the data have no column sampler_rank");
    const sorted = new Uint32Array(cells.count);
    rank.forEach((place, cell) => (sorted[place] = cell));
    order = { cells: sorted, ...grouped(cells, by) };
    known.set(by ?? "", order);
  }
  return order;
}

/** Return the group of each cell: cells with the same value of a column. */
function grouped(cells: Cells, by: string | null): Pick<Order, "group" | "groups"> {
  if (by === null) return { group: null, groups: 1 };
  const value = valueOf(cells, by);
  const codes = new Map<number, number>(); // all NaN are one value, as for numpy.unique
  const group = new Int32Array(cells.count);
  for (let cell = 0; cell < cells.count; cell++) {
    const found = value(cell);
    let code = codes.get(found);
    if (code === undefined) codes.set(found, (code = codes.size));
    group[cell] = code;
  }
  return { group, groups: codes.size };
}

function valueOf(cells: Cells, name: string): (cell: number) => number {
  if (name === "row") return (cell) => Math.floor(cell / cells.nx);
  if (name === "column") return (cell) => cell % cells.nx;
  const column = cells.columns.get(name);
  if (column === undefined) throw new Error(`the data have no column ${name}`);
  return (cell) => column.numbers[cell]!;
}

function tally(codes: Uint8Array, reasons: number): number[] {
  const counts = new Int32Array(reasons);
  for (const code of codes) counts[code]!++;
  return [...counts];
}

function keptOf(sampler: Sampler | null, reasons: string[], counts: number[]): number | null {
  if (sampler === null || sampler.exact) return counts[0]!;
  const left = counts[reasons.indexOf(LEFT)]!;
  return sampler.name === "spread" ? amount(sampler, left) : null;
}
