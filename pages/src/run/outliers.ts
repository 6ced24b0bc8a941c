/**
 * Slides that differ from the others of their run.
 *
 * A value is an outlier if it lies more than 3.5 times the typical spread from the median. The
 * typical spread is 1.4826 times the median absolute deviation (MAD), which equals the standard
 * deviation of a normal distribution. Each measure also has a least distance, so that slides which
 * are almost equal have no outliers. Areas and resolutions are compared as ratios (logarithms).
 */

import { percent, short } from "../common/dom.ts";
import type { Row } from "./rows.ts";

/** How many times the typical spread a value may lie from the median. */
const SPREADS = 3.5;
const NORMAL = 1.4826;
/** Fewer values have no outliers. */
export const FEWEST = 5;
/** A resolution that more slides share than this is not odd. */
const COMMON = 0.1;

export const RULE =
  "A slide is an outlier if a value lies more than 3.5 × 1.4826 × the median absolute deviation" +
  " from the median of the run, or if its mask is doubtful. Measured are tissue (at most half of" +
  " the median), the share that filters and labels drop (at least 10 percentage points more), and" +
  " µm per pixel of the scan (at least 5 % different, and shared by at most a tenth of the slides;" +
  " or unknown where nine tenths of the slides have it).";

/** The median and typical spread of values. */
export interface Centre {
  median: number;
  spread: number;
}

export interface Outlier {
  /** A sentence for each measure that is odd. */
  reasons: string[];
  /** The greatest distance from a median, in units of what is allowed. */
  distance: number;
}

/** Return the median of values, which need no order; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  if (!sorted.length) return NaN;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Return the median and spread of values; null for fewer than `FEWEST`. */
export function centre(values: readonly number[]): Centre | null {
  if (values.length < FEWEST) return null;
  const middle = median(values);
  return { median: middle, spread: NORMAL * median(values.map((value) => Math.abs(value - middle))) };
}

interface Measure {
  value: (row: Row) => number | null;
  /** -1: only low values are odd; 1: only high values; 0: both. */
  side: -1 | 0 | 1;
  /** The distance within which nothing is odd. */
  least: number;
  log: boolean;
  /** Odd values are those that few slides share. */
  rare: boolean;
  says: (value: number, median: number) => string;
}

const MEASURES: Measure[] = [
  {
    value: (row) => row.tissue,
    side: -1,
    least: Math.log(2),
    log: true,
    rare: false,
    says: (value, middle) => `little tissue: ${short(value)} mm², median ${short(middle)} mm²`,
  },
  {
    value: (row) => (row.tissue === null ? row.fraction : null),
    side: -1,
    least: Math.log(2),
    log: true,
    rare: false,
    says: (value, middle) => `little tissue: ${percent(value)} of the slide, median ${percent(middle)}`,
  },
  {
    value: (row) => row.droppedShare,
    side: 1,
    least: 0.1,
    log: false,
    rare: false,
    says: (value, middle) => `many dropped: ${percent(value)}, median ${percent(middle)}`,
  },
  {
    value: (row) => row.mpp,
    side: 0,
    least: Math.log(1.05),
    log: true,
    rare: true,
    says: (value, middle) => `odd scan: ${short(value)} µm/px, median ${short(middle)} µm/px`,
  },
];

/** Return the outliers among finished slides, by number. */
export function outliers(rows: readonly Row[]): Map<number, Outlier> {
  const found = new Map<number, Outlier>();
  const mark = (row: Row, reason: string, distance: number): void => {
    const old = found.get(row.n) ?? { reasons: [], distance: 0 };
    found.set(row.n, {
      reasons: [...old.reasons, reason],
      distance: Math.max(old.distance, distance),
    });
  };
  const finished = rows.filter((row) => row.status === "done" || row.status === "done_empty");
  for (const row of finished) {
    // The reason of a slide without tiles says the same.
    if (row.doubt) mark(row, row.reason.startsWith("mask: ") ? "doubtful mask" : `doubtful mask: ${row.doubt}`, 1);
  }
  for (const measure of MEASURES) {
    for (const [row, value, middle, distance] of odd(finished, measure)) {
      mark(row, measure.says(value, middle), distance);
    }
  }
  const known = finished.filter((row) => row.mpp !== null).length;
  if (known >= FEWEST && known >= (1 - COMMON) * finished.length) {
    for (const row of finished) if (row.mpp === null) mark(row, "µm/px of the scan is unknown", 1);
  }
  return found;
}

function odd(rows: readonly Row[], measure: Measure): [Row, number, number, number][] {
  const scale = (value: number): number => (measure.log ? Math.log(value) : value);
  const valued = rows.flatMap((row): [Row, number][] => {
    const value = measure.value(row);
    return value === null ? [] : [[row, value]];
  });
  // A value of 0 has no logarithm: it takes no part in the median, and is below any other value.
  const measured = valued.map(([, value]) => value).filter((value) => !measure.log || value > 0);
  const middle = centre(measured.map(scale));
  if (middle === null) return [];
  const allowed = Math.max(SPREADS * middle.spread, measure.least);
  const sorted = Float64Array.from(measured, scale).sort();
  const shared = (value: number): number =>
    rank(sorted, scale(value) + measure.least) - rank(sorted, scale(value) - measure.least);
  const said = median(measured);
  const distances = valued.map(([row, value]): [Row, number, number, number] => {
    const off = scale(value) - middle.median;
    return [row, value, said, (measure.side ? measure.side * off : Math.abs(off)) / allowed];
  });
  const far = distances.filter(([, , , distance]) => distance > 1);
  return measure.rare ? far.filter(([, value]) => shared(value) <= COMMON * measured.length) : far;
}

/** Return how many of sorted values are below a limit. */
function rank(sorted: Float64Array, limit: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
