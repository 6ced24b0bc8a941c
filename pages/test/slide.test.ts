import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, readOverrides, overrides } from "../src/common/changes.ts";
import type { Rules } from "../src/common/data.ts";
import { limitsOn, shortened } from "../src/slide/cell_card.ts";
import { short } from "../src/common/dom.ts";
import { binned, binsOf, BINS, rangeOf } from "../src/slide/ranges.ts";
import { looksOf } from "../src/common/reasons.ts";

test("every reason has a letter of its own, whatever the names of filters", () => {
  const filters = ["blur", "black", "b", "kept", "тест", "", "lust", "stain"].map((name) => `filter:${name}`);
  const reasons = ["kept", "below_threshold", "unreadable", ...filters, "label", "not_sampled", "unknown", "left_to_sampler"];
  const letters = looksOf(reasons).map((look) => look.letter);
  assert.equal(new Set(letters).size, reasons.length);
});

test("every reason differs from the others in colour and pattern together", () => {
  const filters = ["a", "b", "c", "d", "e"].map((name) => `filter:${name}`);
  const looks = looksOf(["kept", "below_threshold", "unreadable", ...filters, "label", "not_sampled", "unknown"]);
  assert.equal(new Set(looks.map((look) => `${look.colour.join()} ${look.pattern}`)).size, looks.length);
});

test("a range has most values and all limits, and is never empty", () => {
  const values = Float64Array.from({ length: 1000 }, (_, at) => at);
  values[7] = 1e9; // far away
  values[8] = NaN;
  const found = rangeOf(values, [-5, null]);
  assert.ok(found.low <= -5 && found.high > 900 && found.high < 2000);
  assert.ok(rangeOf(values, [1e6]).high > 1e6);
  assert.deepEqual(rangeOf(Array.from({ length: 101 }, (_, at) => 100 - at), []), { low: 0, high: 98 });
  for (const same of [rangeOf(Float64Array.of(3, 3), [3]), rangeOf(Float64Array.of(NaN), [])]) {
    assert.ok(same.high > same.low);
  }
});

test("each value is in one bin, those outside in the first or last, NaN in none", () => {
  const bins = binsOf(Float64Array.of(-9, 0, 0.5, 1, 99, NaN), { low: 0, high: 1 });
  assert.deepEqual([...bins], [0, 0, BINS / 2, BINS - 1, BINS - 1, 255]);
  const { all, kept } = binned(bins, Uint8Array.of(0, 1, 0, 2, 0, 0), Uint8Array.of(1, 1, 0));
  assert.deepEqual([all[0], all[BINS / 2], all[BINS - 1]], [2, 1, 1]);
  assert.deepEqual([kept[0], kept[BINS / 2], kept[BINS - 1]], [1, 1, 1]);
});

test("a number for reading is on the same side of a limit, and whole numbers are exact", () => {
  assert.equal(short(0.4999812, [0.5]), "0.49998");
  assert.equal(short(0.4999812, [0.6]), "0.5");
  assert.equal(short(0.5, [0.5]), "0.5");
  assert.equal(short(123456), "123456");
  for (let turn = 0; turn < 200; turn++) {
    const value = 1000 * Math.random();
    const limit = turn % 2 ? Number(value.toPrecision(2 + (turn % 16))) : value;
    assert.equal(Math.sign(Number(short(value, [limit])) - limit), Math.sign(value - limit));
  }
});

test("the limits on a column are those of its rules", () => {
  const filters = [{ name: "blur", min: 40, max: null, mpp: null }];
  const run: Rules = { threshold: 0.5, filters, keep: null, sampler: null, measured_from: 0, from_table: [] };
  assert.deepEqual(limitsOn("ratio", run, { ...run, threshold: 0.2 }), [0.5, 0.2]);
  assert.deepEqual(limitsOn("score_blur", run), [40]);
  assert.deepEqual(limitsOn("label_blur", run), []);
});

test("an address moves a limit of the table of slides only where it says so", () => {
  const limits = { name: "blur", min: 40, max: 60, mpp: null };
  const from_table = ["threshold", "filter.blur.min"];
  const run: Rules = { threshold: 0.5, filters: [limits], keep: null, sampler: null, measured_from: 0, from_table };
  const chosen = { ...run, threshold: 0.35, filters: [{ ...limits, min: null, max: 50 }] };
  assert.equal(addressOf(run, chosen), "filter.blur.max=50 table:threshold=0.35 table:filter.blur.min=null");
  assert.deepEqual(readOverrides(run, addressOf(run, chosen)), chosen);
  assert.deepEqual(readOverrides(run, "threshold=0.1 filter.blur.min=1 table:filter.blur.max=1"), run);
});

test("overrides in an address give the rules back, and nonsense is left out", () => {
  const limits = { name: "blur", min: 40, max: 60, mpp: null };
  const run: Rules = { threshold: 0.5, filters: [limits], keep: null, sampler: null, measured_from: 0, from_table: [] };
  const chosen = { ...run, threshold: 0.35, filters: [{ ...limits, min: null, max: 1e-7 }] };
  assert.deepEqual(readOverrides(run, overrides(run, chosen)), chosen);
  assert.deepEqual(readOverrides(run, "threshold=2 threshold= filter.blur.min=x filter.pen.min=1 <b>"), run);
});

test("kept tissue is seen through more than what a filter drops", () => {
  const [kept, below, filter] = looksOf(["kept", "below_threshold", "filter.blur"]);
  assert.ok(kept!.fill < 0.1 && kept!.ink === 0 && kept!.frame === 1);
  assert.ok(below!.ink < filter!.ink && below!.frame < filter!.frame);
});

test("a long name loses its middle, and no half of a letter stays", () => {
  assert.equal(shortened("tumour"), "tumour");
  const short = shortened(`${"a".repeat(99)}${"𝒶".repeat(101)}`);
  assert.equal(short, `${"a".repeat(14)}…${"𝒶".repeat(13)}`);
});
