import assert from "node:assert/strict";
import { test } from "node:test";
import { BOTH, compareAreas, compareTiles, ONLY } from "../src/sweep/compare_tiles.ts";
import type { Column } from "../src/common/data.ts";
import { compareValues, firstChoice, pageOf, shadeOf, sortedJobs, sortedSlides, spreadOf } from "../src/sweep/heat_order.ts";
import { commonSlides, linedKeys, linesOf, slidePoints, sumPoints } from "../src/sweep/series.ts";
import { sweepCsv } from "../src/sweep/csv.ts";
import { bitsOf, keptOf, settingText, totalOf } from "../src/sweep/data.ts";
import type { Job, Sweep, Tiles } from "../src/sweep/data.ts";
import { eachRun } from "../src/sweep/tile_marks.ts";

const SLIDES = ["b", "a2", "a10"];

function job(number: number, settings: Record<string, string>, changed: Partial<Job> = {}): Job {
  return {
    number, name: `job ${number}`, settings, status: "done", exit_code: 0, error: "", counts: {}, folder: `job ${number}`, ...changed,
  };
}

/** Return a sweep of thresholds and masks; null is a slide that failed, -1 one that is not there. */
function sweepOf(jobs: Job[], kept: (number | null)[][], candidates = 100): Sweep {
  const cells = kept.flat();
  const statuses = ["", "done", "failed"];
  const columns = new Map<string, Column>([
    ["status", { numbers: Int32Array.from(cells.map((n) => (n === null ? 2 : n < 0 ? 0 : 1))), values: statuses }],
    ["reason", { numbers: Int32Array.from(cells.map((n) => Number(n === null))), values: ["", 'E_OPEN: "x", y'] }],
    ["candidates", { numbers: Int32Array.from(cells.map(() => candidates)), values: null }],
    ["kept", { numbers: Int32Array.from(cells.map((n) => n ?? 0)), values: null }],
    ["coverage", { numbers: Float64Array.from(cells.map((n) => (n === null || n < 0 ? NaN : n / 100))), values: null }],
  ]);
  const slides = SLIDES.map((slide_id) => ({ slide_id, view: null }));
  return { name: "s", keys: ["threshold", "mask"], jobs, slides, counts: ["candidates", "kept"], columns };
}

const SWEEP = sweepOf(
  [
    job(0, { threshold: "0.5", mask: "otsu" }),
    job(1, { threshold: "0.1", mask: "otsu" }),
    job(2, { threshold: "0.5", mask: "hsv" }),
    job(3, { threshold: "0.1", mask: "hsv" }, { status: "lost", error: "left no record", folder: "" }),
  ],
  [[5, 50, 0], [9, 60, 1], [7, null, 2], [-1, -1, -1]],
);

test("bits of bytes are cells, the lowest first", () => {
  assert.deepEqual([...bitsOf([0b101, 0b1], 9)], [1, 0, 1, 0, 0, 0, 0, 0, 1]);
});

test("a slide that failed or is not there has no tiles, not zero tiles", () => {
  assert.equal(keptOf(SWEEP, 2, 1), null);
  assert.equal(keptOf(SWEEP, 3, 0), null);
  assert.equal(keptOf(SWEEP, 0, 2), 0);
  assert.deepEqual(totalOf(SWEEP, 2), { slides: 2, kept: 9, candidates: 200 });
  assert.deepEqual(totalOf(SWEEP, 3), { slides: 0, kept: 0, candidates: 0 });
});

test("settings are named by the swept keys in their order", () => {
  assert.equal(settingText(SWEEP, SWEEP.jobs[0]!), "threshold=0.5 mask=otsu");
  assert.equal(settingText(SWEEP, job(9, {})), "job 9");
});

test("values are ordered as numbers, texts after them", () => {
  assert.deepEqual(["10", "otsu", "9", "1e-3", "hsv"].sort(compareValues), ["1e-3", "9", "10", "hsv", "otsu"]);
});

test("jobs are sorted, those without a value last in both directions", () => {
  assert.deepEqual(sortedJobs(SWEEP, { by: "key", key: "threshold" }, false), [1, 3, 0, 2]);
  assert.deepEqual(sortedJobs(SWEEP, { by: "slide", slide: 1 }, false), [0, 1, 2, 3]);
  assert.deepEqual(sortedJobs(SWEEP, { by: "slide", slide: 0 }, true), [1, 2, 0, 3]);
  assert.deepEqual(sortedJobs(SWEEP, { by: "total" }, true), [1, 0, 2, 3]);
  assert.deepEqual(sortedJobs(SWEEP, { by: "number" }, true), [3, 2, 1, 0]);
});

test("slides are sorted and filtered", () => {
  assert.deepEqual(sortedSlides(SWEEP, "name", ""), [1, 2, 0]);
  assert.deepEqual(sortedSlides(SWEEP, "spread", ""), [1, 0, 2]);
  assert.deepEqual(sortedSlides(SWEEP, "kept", " A "), [1, 2]);
  assert.equal(spreadOf(SWEEP, 1), 60 / 100 - 50 / 100);
});

test("pages and shades stay in range", () => {
  assert.deepEqual(pageOf(45, 20, 9), { first: 40, last: 45, pages: 3 });
  assert.deepEqual(pageOf(0, 20, 0), { first: 0, last: 0, pages: 1 });
  assert.deepEqual([0, 1e-9, 0.125, 0.126, 1].map(shadeOf), [0, 1, 1, 2, 8]);
});

test("lines hold the other keys, and skip jobs that did not run", () => {
  assert.deepEqual(linedKeys(SWEEP), ["threshold", "mask"]);
  const lines = linesOf(SWEEP, "threshold");
  assert.deepEqual(lines.places, [0.1, 0.5]);
  assert.deepEqual(lines.lines, [{ held: "mask=otsu", jobs: [1, 0] }, { held: "mask=hsv", jobs: [3, 2] }]);
  assert.deepEqual(slidePoints(SWEEP, lines.lines[1]!, 0), [null, 7]);
  const masks = linesOf(SWEEP, "mask");
  assert.ok(!masks.numeric);
  assert.deepEqual([masks.values, masks.places], [["otsu", "hsv"], [0, 1]]);
});

test("sums are of the slides that every setting finished", () => {
  const lines = linesOf(SWEEP, "threshold").lines;
  const common = commonSlides(SWEEP, lines);
  assert.deepEqual(common, [0, 2]);
  assert.deepEqual(sumPoints(SWEEP, lines[0]!, common), [10, 5]);
  assert.deepEqual(sumPoints(SWEEP, lines[1]!, common), [null, 9]);
});

test("the CSV has the numbers, a row for a job without slides, and quotes", () => {
  const lines = sweepCsv(SWEEP).split("\n");
  assert.equal(lines[0], "job,threshold,mask,slide_id,status,reason,candidates,kept,coverage");
  assert.equal(lines[1], "job 0,0.5,otsu,b,done,,100,5,0.05");
  assert.equal(lines[8], 'job 2,0.5,hsv,a2,failed,"E_OPEN: ""x"", y",100,0,');
  assert.equal(lines[10], "job 3,0.1,hsv,,failed,left no record,,,");
  assert.equal(lines.length, 12);
});

/** Return tiles of a grid; `kept` has a digit for each cell, row by row. */
function tiles(across: number[], down: number[], size: number, kept: string): Tiles {
  const lengths = (starts: number[]): number[] => starts.map(() => size);
  return { x0: across, y0: down, width0: lengths(across), height0: lengths(down), kept: Uint8Array.from(kept, Number) };
}

test("tiles are equal by their box, whatever the grid", () => {
  const a = tiles([0, 10, 20], [0, 10], 10, "110010");
  const b = tiles([0, 10, 20], [0, 10], 10, "010001");
  const found = compareTiles(a, b);
  assert.deepEqual([...found.left], [ONLY, BOTH, 0, 0, ONLY, 0]);
  assert.deepEqual([...found.right], [0, BOTH, 0, 0, 0, ONLY]);
  assert.deepEqual([found.both, found.lost, found.gained, found.sameTiles], [1, 2, 1, true]);
  const finer = tiles([0, 5, 10], [0], 10, "111"); // another stride: the same tiles are there
  const strides = compareTiles(a, finer);
  assert.deepEqual([strides.both, strides.lost, strides.gained, strides.sameTiles], [2, 1, 1, true]);
  assert.ok(!compareTiles(a, tiles([0, 20], [0], 20, "11")).sameTiles);
});

test("areas are exact where grids differ and tiles overlap", () => {
  const a = tiles([0, 10], [0], 10, "11");
  const b = tiles([5], [3], 16, "1");
  const map = compareAreas(a, b);
  assert.equal(map.both, 15 * 7);
  assert.equal(map.lost, 200 - 15 * 7);
  assert.equal(map.gained, 256 - 15 * 7);
  let alone = 0;
  eachRun(map, 2, ([, , width, height]) => { alone += width * height; });
  assert.equal(alone, map.gained);
  const overlapping = compareAreas(tiles([0, 5], [0], 10, "11"), tiles([], [], 10, ""));
  assert.deepEqual([overlapping.lost, overlapping.both, overlapping.gained], [150, 0, 0]);
});

test("the first comparison shows where its two settings differ by most tiles", () => {
  const jobs = [job(0, { t: "1" }), job(1, { t: "2" }), job(2, { t: "3" })];
  const found = firstChoice(sweepOf(jobs, [[2, 50, null], [2, 40, 90], [0, 39, 10]]));
  assert.deepEqual(found, { left: 1, right: 2, slide: 2 });
  const alike = firstChoice(sweepOf(jobs, [[2, 50, null], [2, 50, null], [0, 50, null]]));
  assert.deepEqual(alike, { left: 0, right: 1, slide: 0 });
});
