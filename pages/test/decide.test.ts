import assert from "node:assert/strict";
import { test } from "node:test";
import type { Column, Rules, Sampler } from "../src/common/data.ts";
import { amount, type Cells, decide } from "../src/common/decide.ts";

const numbers = (...values: number[]): Column => ({ numbers: Float64Array.from(values), values: null });

function cells(columns: Record<string, Column>): Cells {
  const ratio = columns.ratio!.numbers;
  return { count: ratio.length, nx: ratio.length, ratio, columns: new Map(Object.entries(columns)) };
}

const RULES: Rules = { threshold: 0.5, filters: [], keep: null, sampler: null, measured_from: 0, from_table: [] };
const RANDOM: Sampler = { name: "random", n: null, fraction: null, by: null, exact: true };
const blur = (min: number | null, max: number | null = null) => ({ name: "blur", min, max, mpp: null });

function reasonsOf(found: Cells, rules: Partial<Rules>): string[] {
  const { codes, reasons, counts } = decide(found, { ...RULES, ...rules });
  assert.equal(counts.reduce((sum, count) => sum + count, 0), found.count);
  return [...codes].map((code) => reasons[code]!);
}

test("a cell on the threshold is kept", () => {
  const found = cells({ ratio: numbers(0.5, 0.5 - 2 ** -53, 1) });
  assert.deepEqual(reasonsOf(found, {}), ["kept", "below_threshold", "kept"]);
});

test("limits include their ends, and a score of NaN is unreadable before any filter", () => {
  const found = cells({ ratio: numbers(1, 1, 1, 1), score_blur: numbers(40, 39, 60.5, NaN) });
  const expected = ["kept", "filter:blur", "filter:blur", "unreadable"];
  assert.deepEqual(reasonsOf(found, { filters: [blur(40, 60)] }), expected);
  assert.equal(reasonsOf(found, { filters: [blur(null)] })[3], "unreadable");
});

test("cells without a score are unknown, but only where there are filters", () => {
  const found = cells({ ratio: numbers(0, 0.2, 1), score_blur: numbers(NaN, 50, 50) });
  const rules = { threshold: 0, measured_from: Number.MIN_VALUE };
  assert.deepEqual(reasonsOf(found, { ...rules, filters: [blur(40)] }), ["unknown", "kept", "kept"]);
  assert.deepEqual(reasonsOf(found, rules), ["kept", "kept", "kept"]);
});

test("a tile that the run could not read is never kept, and counts in the sample", () => {
  const found = {
    ...cells({ ratio: numbers(1, 1, 0.2, 1), sampler_rank: numbers(0, 1, 2, 3) }),
    lost: Uint8Array.of(0, 1, 1, 0),
  };
  assert.deepEqual(reasonsOf(found, {}), ["kept", "unreadable", "below_threshold", "kept"]);
  const expected = ["kept", "unreadable", "below_threshold", "not_sampled"];
  assert.deepEqual(reasonsOf(found, { sampler: { ...RANDOM, n: 2 } }), expected);
});

test("a slide without labels keeps a cell only where no label is kept", () => {
  const found = cells({ ratio: numbers(1) });
  assert.deepEqual(reasonsOf(found, { keep: ["tumour"] }), ["label"]);
  assert.deepEqual(reasonsOf(found, { keep: [""] }), ["kept"]);
});

test("a sample takes the lowest ranks of each group", () => {
  const found = cells({
    ratio: numbers(1, 1, 1, 1, 0),
    sampler_rank: numbers(4, 1, 2, 0, 3),
    tissue_id: numbers(1, 1, 2, 1, 2),
  });
  const sampler = { ...RANDOM, n: 1, by: "tissue_id" };
  const expected = ["not_sampled", "not_sampled", "kept", "kept", "below_threshold"];
  assert.deepEqual(reasonsOf(found, { sampler }), expected);
});

test("another sampler leaves its cells open, and spread tells their number", () => {
  const found = cells({ ratio: numbers(1, 1, 1, 0) });
  const spread = { ...RANDOM, name: "spread", n: 2, exact: false };
  const left = ["left_to_sampler", "left_to_sampler", "left_to_sampler", "below_threshold"];
  assert.deepEqual(reasonsOf(found, { sampler: spread }), left);
  assert.equal(decide(found, { ...RULES, sampler: spread }).kept, 2);
  assert.equal(decide(found, { ...RULES, sampler: { ...spread, name: "mine.Own" } }).kept, null);
});

test("half a tile is rounded up", () => {
  assert.equal(amount({ ...RANDOM, fraction: 0.5 }, 3), 2);
  assert.equal(amount({ ...RANDOM, fraction: 0.5, n: 1 }, 3), 1);
  assert.equal(amount(RANDOM, 3), 3);
});

test("300,000 cells with five filters and a sampler take less than 100 ms of the processor", () => {
  const count = 300_000;
  const random = (): Column => ({ numbers: Float64Array.from({ length: count }, Math.random), values: null });
  const names = ["a", "b", "c", "d", "e"];
  const found = cells({
    ratio: random(),
    sampler_rank: { numbers: Int32Array.from({ length: count }, (_, cell) => count - 1 - cell), values: null },
    ...Object.fromEntries(names.map((name) => [`score_${name}`, random()])),
  });
  const filters = names.map((name) => ({ name, min: 0.1, max: null, mpp: null }));
  const rules = { ...RULES, filters, sampler: { ...RANDOM, n: 1000 } };
  decide(found, rules);
  const times = [0.4, 0.45, 0.5].map((threshold) => {
    const start = process.cpuUsage();
    decide(found, { ...rules, threshold });
    return process.cpuUsage(start).user / 1000;
  });
  assert.ok(Math.min(...times) < 100, String(times));
});
