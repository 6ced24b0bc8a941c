/** The data of a sweep: its jobs and slides, and what each job kept of each slide. */

import { unpack, unpackAll } from "../common/data.ts";
import type { Column, Packed } from "../common/data.ts";

export interface Job {
  /** The number in the sweep; it names the folder of the job's data. */
  number: number;
  name: string;
  /** The value of each swept key as the override has it. */
  settings: Record<string, string>;
  /** done, failed, interrupted, died, refused or lost. */
  status: string;
  exit_code: number;
  error: string;
  counts: Record<string, number>;
  /** The job's folder, relative to the sweep's; empty if it has none. */
  folder: string;
}

export interface SweepSlide {
  slide_id: string;
  /** The picture of its bounded area; null if there is none. */
  view: string | null;
}

/** A sweep: `tiler.data("sweep", …)`. */
export interface SweepData {
  version: 1;
  name: string;
  tiler: string;
  made: string;
  keys: string[];
  jobs: Job[];
  slides: SweepSlide[];
  /** The columns that are counts, in the order of sweep.csv; -1 where it has none. */
  counts: string[];
  /** Columns by name: jobs × slides, the slides of one job after the other. */
  columns: Record<string, Packed>;
}

/** Kept tiles of a slide in a job: `tiler.data("jobs/<job>/<slide>", …)`. */
export interface TilesData {
  version: 1;
  /** The bounded area: x, y, width and height in level-0 pixels. */
  bounds: [number, number, number, number];
  /** Microns per level-0 pixel. */
  mpp: number | null;
  /** The reason why the tiles may differ from those of the sweep; empty if they do not. */
  stale: string;
  /** Level-0 boxes of the grid's columns and rows. */
  x0: Packed;
  width0: Packed;
  y0: Packed;
  height0: Packed;
  /** A bit for each cell, row by row, the lowest bit of a byte first. */
  kept: Packed;
  count: number;
}

/** A sweep with its columns decoded. */
export interface Sweep {
  name: string;
  keys: string[];
  jobs: Job[];
  slides: SweepSlide[];
  counts: string[];
  columns: Map<string, Column>;
}

/** Decoded tiles: boxes of columns and rows, and 1 for each kept cell, row by row. */
export interface Tiles {
  x0: ArrayLike<number>;
  width0: ArrayLike<number>;
  y0: ArrayLike<number>;
  height0: ArrayLike<number>;
  kept: Uint8Array;
}

/** Decode the columns of a sweep. */
export async function decodeSweep(data: SweepData): Promise<Sweep> {
  const { name, keys, jobs, slides, counts } = data;
  return { name, keys, jobs, slides, counts, columns: await unpackAll(data.columns) };
}

/** Decode the kept tiles of a slide. */
export async function decodeTiles(data: TilesData): Promise<Tiles> {
  const packed = [data.x0, data.width0, data.y0, data.height0, data.kept];
  const [x0, width0, y0, height0, bits] = await Promise.all(packed.map(numbers));
  const kept = bitsOf(bits!, x0!.length * y0!.length);
  return { x0: x0!, width0: width0!, y0: y0!, height0: height0!, kept };
}

async function numbers(packed: Packed): Promise<ArrayLike<number>> {
  return (await unpack(packed)).numbers;
}

/** Return 0 or 1 for each of the first bits of some bytes, the lowest bit of a byte first. */
export function bitsOf(bytes: ArrayLike<number>, count: number): Uint8Array {
  const found = new Uint8Array(count);
  for (let index = 0; index < count; index++) found[index] = (bytes[index >> 3]! >> (index & 7)) & 1;
  return found;
}

/** Return a count of a job and a slide; null where sweep.csv has none. */
export function countOf(sweep: Sweep, column: string, job: number, slide: number): number | null {
  const value = sweep.columns.get(column)?.numbers[job * sweep.slides.length + slide];
  return value === undefined || value < 0 || Number.isNaN(value) ? null : value;
}

/** Return a text of a job and a slide; empty where sweep.csv has none. */
export function textOf(sweep: Sweep, column: string, job: number, slide: number): string {
  const found = sweep.columns.get(column);
  return found?.values?.[found.numbers[job * sweep.slides.length + slide]!] ?? "";
}

/** Return whether a job finished a slide, so that its counts are results. */
export function isDone(sweep: Sweep, job: number, slide: number): boolean {
  return textOf(sweep, "status", job, slide).startsWith("done");
}

/** Return the kept tiles of a job on a slide; null unless it finished the slide. */
export function keptOf(sweep: Sweep, job: number, slide: number): number | null {
  return isDone(sweep, job, slide) ? countOf(sweep, "kept", job, slide) : null;
}

/** Return the share of candidates that a job kept of a slide; null if unknown. */
export function shareOf(sweep: Sweep, job: number, slide: number): number | null {
  const kept = keptOf(sweep, job, slide);
  const candidates = countOf(sweep, "candidates", job, slide);
  return kept === null || candidates === null || candidates === 0 ? null : kept / candidates;
}

/** Return candidates and kept tiles of the slides that a job finished, and their number. */
export function totalOf(sweep: Sweep, job: number): { slides: number; kept: number; candidates: number } {
  const total = { slides: 0, kept: 0, candidates: 0 };
  for (let slide = 0; slide < sweep.slides.length; slide++) {
    if (!isDone(sweep, job, slide)) continue;
    total.slides += 1;
    total.kept += countOf(sweep, "kept", job, slide) ?? 0;
    total.candidates += countOf(sweep, "candidates", job, slide) ?? 0;
  }
  return total;
}

/** Return the name of a setting: its values of the swept keys, `threshold=0.1 tile.size=256`. */
export function settingText(sweep: { keys: string[] }, job: Job): string {
  const chosen = sweep.keys.filter((key) => key in job.settings);
  return chosen.map((key) => `${key}=${job.settings[key]!}`).join(" ") || job.name;
}

/** Return the file of the kept tiles of a job on a slide, and the key of its data. */
export function tilesFile(job: Job, slide: number): { src: string; key: string } {
  const name = String(slide).padStart(6, "0");
  return { src: `data/jobs/${job.number}/${name}.js`, key: `jobs/${job.number}/${slide}` };
}
