/** Ranges of scores, and counts of values for histograms: pure. */

import type { Numbers, Rules } from "../common/data.ts";
import { type Cells, scoreOf } from "../common/decide.ts";
import type { Range } from "../common/sliders.ts";

export const COVERAGE: Range = { low: 0, high: 1 };

/** At most so many values are sorted to find a range. */
const SORTED = 20_000;

/** Return a range that shows most values, and contains the limits. */
export function rangeOf(values: ArrayLike<number>, limits: (number | null)[]): Range {
  const every = Math.max(1, Math.floor(values.length / SORTED));
  const some: number[] = [];
  for (let at = 0; at < values.length; at += every) if (Number.isFinite(values[at]!)) some.push(values[at]!);
  some.sort((one, other) => one - other);
  const at = (share: number): number => some[Math.round(share * (some.length - 1))] ?? 0;
  const inside = limits.filter((limit) => limit !== null);
  const low = Math.min(at(0), ...inside);
  const high = Math.max(at(0.98), ...inside.map((limit) => limit + (limit - low) / 4));
  return { low, high: high > low ? high : low + 1 };
}

/** Return the range of each score, by filter. */
export function rangesOf(cells: Cells, rules: Rules): Map<string, Range> {
  return new Map(
    rules.filters.map(({ name, min, max }) => [name, rangeOf(scoreOf(cells, name), [min, max])]),
  );
}

export const BINS = 50;

/** Return the bin of each value, BINS of them; values outside are in the first or last, NaN in none (255). */
export function binsOf(values: Numbers, range: Range): Uint8Array {
  const width = (range.high - range.low) / BINS;
  const bins = new Uint8Array(values.length);
  for (let cell = 0; cell < values.length; cell++) {
    const bin = Math.floor((values[cell]! - range.low) / width);
    bins[cell] = Number.isNaN(bin) ? 255 : Math.min(Math.max(bin, 0), BINS - 1);
  }
  return bins;
}

/** Return how many cells are in each bin: of those whose code is counted (1 in `counted`), and of kept ones. */
export function binned(bins: Uint8Array, codes: Uint8Array, counted: Uint8Array): { all: number[]; kept: number[] } {
  const all = new Int32Array(256);
  const kept = new Int32Array(256);
  for (let cell = 0; cell < bins.length; cell++) {
    const code = codes[cell]!;
    if (counted[code] === 0) continue;
    all[bins[cell]!]!++;
    if (code === 0) kept[bins[cell]!]!++;
  }
  return { all: [...all.subarray(0, BINS)], kept: [...kept.subarray(0, BINS)] };
}
