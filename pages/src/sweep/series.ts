/** Lines of kept tiles against a swept key, with the other keys held: no elements here. */

import { compareValues, numberIn } from "./heat_order.ts";
import { keptOf } from "./data.ts";
import type { Sweep } from "./data.ts";

/** The jobs that differ in one key only. */
export interface Line {
  /** The values of the other keys, `mask=otsu resolution.value=0.5`; empty if there are none. */
  held: string;
  /** The row of the job at each value; null where there is none. */
  jobs: (number | null)[];
}

/** The lines against one key. */
export interface Lines {
  key: string;
  /** The values in order. */
  values: string[];
  /** Their places on the axis: the numbers themselves, or 0, 1, 2, … where one is no number. */
  places: number[];
  numeric: boolean;
  lines: Line[];
}

/** Return the keys that have at least two values, which a line can be drawn against. */
export function linedKeys(sweep: Sweep): string[] {
  return sweep.keys.filter((key) => valuesOf(sweep, key).length > 1);
}

function valuesOf(sweep: Sweep, key: string): string[] {
  const found = sweep.jobs.map((job) => job.settings[key]).filter((value) => value !== undefined);
  return [...new Set(found)];
}

/** Return the lines against a key: one for each combination of the other keys. */
export function linesOf(sweep: Sweep, key: string): Lines {
  let values = valuesOf(sweep, key);
  const numeric = values.every((value) => numberIn(value) !== null);
  if (numeric) values = values.sort(compareValues);
  const at = new Map(values.map((value, index) => [value, index]));
  const others = sweep.keys.filter((other) => other !== key);
  const lines = new Map<string, Line>();
  sweep.jobs.forEach((job, row) => {
    const index = at.get(job.settings[key] ?? "");
    if (index === undefined) return;
    const fixed = others.filter((other) => other in job.settings);
    const held = fixed.map((other) => `${other}=${job.settings[other]!}`).join(" ");
    const line = lines.get(held) ?? { held, jobs: values.map(() => null) };
    line.jobs[index] = row;
    lines.set(held, line);
  });
  const places = values.map((value, index) => (numeric ? numberIn(value)! : index));
  return { key, values, places, numeric, lines: [...lines.values()] };
}

/** Return the kept tiles of a slide along a line; null where they are unknown. */
export function slidePoints(sweep: Sweep, line: Line, slide: number): (number | null)[] {
  return line.jobs.map((row) => (row === null ? null : keptOf(sweep, row, slide)));
}

/**
 * Return the slides that every job of some lines finished.
 *
 * Only they are added up: else a failed slide would look like an effect of a setting. Jobs that
 * finished no slide at all do not count.
 */
export function commonSlides(sweep: Sweep, lines: Line[]): number[] {
  const slides = sweep.slides.map((_, slide) => slide);
  const rows = lines.flatMap((line) => line.jobs).filter((row) => row !== null);
  const able = rows.filter((row) => slides.some((slide) => keptOf(sweep, row, slide) !== null));
  return able.length === 0
    ? []
    : slides.filter((slide) => able.every((row) => keptOf(sweep, row, slide) !== null));
}

/** Return the sum of the kept tiles of some slides along a line; null where one is unknown. */
export function sumPoints(sweep: Sweep, line: Line, slides: number[]): (number | null)[] {
  return line.jobs.map((row) => {
    if (row === null || slides.length === 0) return null;
    let sum = 0;
    for (const slide of slides) {
      const kept = keptOf(sweep, row, slide);
      if (kept === null) return null;
      sum += kept;
    }
    return sum;
  });
}
