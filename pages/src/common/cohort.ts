/**
 * Counts what other rules would keep, over all slides of a run.
 *
 * Data files are loaded one after the other. Decoded slides stay in memory until a budget is full;
 * the others are loaded again for each count. A count is cancelled by its signal.
 */

import { countChanges, type Limits, sameRules, withOverrides } from "./changes.ts";
import { type Rules, type SlideData, unpack } from "./data.ts";
import { type Cells, cellsOf, decide, type Decision, UNKNOWN } from "./decide.ts";
import { load } from "./load.ts";

const MIB = 2 ** 20;
/** Bytes of decoded slides that stay in memory. */
const BUDGET = 384 * MIB;
/** Slides that are loaded ahead of the count. */
const AHEAD = 8;
/** Values of each score that a slide adds to the sample of all slides. */
const SAMPLED = 20;
/** Milliseconds of counting without a pause after which the page may draw and answer. */
const TURN = 12;
/** Milliseconds between two reports of a count. */
const REPORT = 30;

/** A slide of the run: its number, name and data file; null for a slide without data. */
export interface Source {
  n: number;
  id: string;
  data: string | null;
}

/** A slide's cells and rules, and the run's decision about them. */
export interface Opened {
  cells: Cells;
  rules: Rules;
  run: Pick<Decision, "codes" | "reasons">;
}

/** What other rules change on a slide. */
export interface Change {
  n: number;
  id: string;
  now: number;
  /** Tiles that would be kept; null where a sampler that the page cannot run decides. */
  then: number | null;
  /** Cells that would become or stop to be tiles; before the sampler where `then` is null. */
  gained: number;
  lost: number;
  /** Cells whose scores are not known. */
  unknown: number;
}

export interface Count {
  /** Slides with data, and those of them that are counted so far. */
  total: number;
  counted: number;
  /** Slides that have no data, or whose data cannot be loaded. */
  missing: number;
  now: number;
  then: number | null;
  gained: number;
  lost: number;
  unknown: number;
  changes: Change[];
  /** Some values of each score, by filter, of the slides opened so far. */
  scores: ReadonlyMap<string, number[]>;
}

export interface Cohort {
  /**
   * Count over all slides what overrides of limits keep; `report` gets the sums after every few
   * slides.
   *
   * The result is null if the signal cancels the count.
   */
  count: (limits: Limits, signal: AbortSignal, report: (count: Count) => void) => Promise<Count | null>;
}

/** Load and decode a slide. */
export async function openSlide(source: Source): Promise<Opened> {
  const slide = await load<SlideData>(source.data ?? "", `slide/${source.n}`);
  const decision = await unpack(slide.decision);
  const codes = Uint8Array.from(decision.numbers);
  return { cells: await cellsOf(slide), rules: slide.rules, run: { codes, reasons: slide.reasons } };
}

/** Return the counting of a run's slides. */
export function cohortOf(sources: readonly Source[], open = openSlide, budget = BUDGET): Cohort {
  const withData = sources.filter((source) => source.data !== null);
  const kept = new Map<number, Opened>();
  const pending = new Map<number, Promise<Opened | null>>(); // begun, and not yet counted
  const scores = new Map<string, number[]>();
  const sampled = new Set<number>();
  const broken = new Set<number>(); // their data cannot be loaded
  let used = 0;

  const begin = (source: Source | undefined): void => {
    if (source === undefined) return;
    if ([kept, pending, broken].some((known) => known.has(source.n))) return;
    pending.set(source.n, open(source).catch(() => null));
  };
  const take = async (source: Source): Promise<Opened | null> => {
    const known = kept.get(source.n);
    if (known !== undefined) return known;
    begin(source);
    const opened = (await pending.get(source.n)) ?? null;
    pending.delete(source.n);
    if (opened === null) {
      broken.add(source.n);
      return null;
    }
    const size = sizeOf(opened);
    if (!kept.has(source.n) && used + size <= budget) {
      kept.set(source.n, opened);
      used += size;
    }
    if (!sampled.has(source.n)) sample(scores, opened.cells);
    sampled.add(source.n);
    return opened;
  };

  const count: Cohort["count"] = async (limits, signal, report) => {
    const sums = start(sources.length, withData.length, scores);
    let [turn, reported] = [performance.now(), performance.now()];
    for (const [place, source] of withData.entries()) {
      for (let next = place; next < place + AHEAD; next++) begin(withData[next]);
      // A slide in memory is counted at once: to wait for it would cost more than to count it.
      let opened = kept.get(source.n) ?? null;
      if (opened === null) {
        opened = await take(source);
        turn = performance.now(); // the page could answer while the slide was loaded
        if (cancelled(signal)) return null;
      }
      if (opened === null) sums.missing++;
      else add(sums, compare(source, opened, limits));
      sums.counted++;
      const now = performance.now();
      if (now - reported >= REPORT) {
        report(sums);
        reported = now;
      }
      if (now - turn < TURN) continue;
      await new Promise((resolve) => setTimeout(resolve));
      if (cancelled(signal)) return null;
      turn = performance.now();
    }
    report(sums);
    return sums;
  };
  return { count };
}

/** Ask each time: the signal changes while the count waits. */
function cancelled(signal: AbortSignal): boolean {
  return signal.aborted;
}

function start(all: number, total: number, scores: Count["scores"]): Count {
  const sums = { now: 0, then: 0, gained: 0, lost: 0, unknown: 0 };
  return { total, counted: 0, missing: all - total, ...sums, changes: [], scores };
}

function add(sums: Count, change: Change): void {
  sums.now += change.now;
  sums.then = sums.then === null || change.then === null ? null : sums.then + change.then;
  sums.gained += change.gained;
  sums.lost += change.lost;
  sums.unknown += change.unknown;
  sums.changes.push(change);
}

/** Return what overrides of limits change on a slide. */
export function compare(source: Source, opened: Opened, limits: Limits): Change {
  const now = opened.run.codes.reduce((sum, code) => sum + Number(code === 0), 0);
  const rules = withOverrides(opened.rules, limits);
  if (sameRules(opened.rules, rules)) {
    return { n: source.n, id: source.id, now, then: now, gained: 0, lost: 0, unknown: 0 };
  }
  const then = decide(opened.cells, rules);
  const { gained, lost } = countChanges(opened.run, then);
  const unknown = then.counts[then.reasons.indexOf(UNKNOWN)] ?? 0;
  return { n: source.n, id: source.id, now, then: then.kept, gained, lost, unknown };
}

function sizeOf(opened: Opened): number {
  let bytes = opened.run.codes.byteLength;
  for (const column of opened.cells.columns.values()) bytes += column.numbers.byteLength;
  return bytes;
}

/** Add some values of each score to the sample, evenly from all cells that have one. */
function sample(scores: Map<string, number[]>, cells: Cells): void {
  for (const [name, column] of cells.columns) {
    if (!name.startsWith("score_")) continue;
    const known = [...column.numbers].filter((value) => Number.isFinite(value));
    const every = Math.max(1, Math.floor(known.length / SAMPLED));
    const filter = name.slice("score_".length);
    const some = scores.get(filter) ?? [];
    scores.set(filter, some);
    for (let at = 0; at < known.length; at += every) some.push(known[at]!);
  }
}
