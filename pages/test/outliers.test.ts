import assert from "node:assert/strict";
import { test } from "node:test";
import { centre, FEWEST, median, outliers } from "../src/run/outliers.ts";
import { row, rows } from "./rows_for_tests.ts";

test("the median of an even number of values lies between the middle ones", () => {
  assert.equal(median([9, 1, 4, 2]), 3);
  assert.equal(median([10, 9, 1]), 9);
  assert.ok(Number.isNaN(median([])));
});

test("the spread of a normal sample is about its standard deviation", () => {
  const quantiles = [-1.28, -0.84, -0.52, -0.25, 0, 0.25, 0.52, 0.84, 1.28]; // of the normal distribution
  const found = centre(quantiles.map((value) => 20 + 3 * value))!;
  assert.equal(found.median, 20);
  assert.ok(Math.abs(found.spread - 3) < 0.8);
});

test("ordinary slides have no outliers", () => {
  assert.equal(outliers(rows(50)).size, 0);
});

test("each measure marks the slides that it is about, with the values", () => {
  const found = outliers(
    rows(50, {
      3: { tissue: 2 },
      5: { droppedShare: 0.9 },
      7: { mpp: 0.5 },
      9: { doubt: "the mask found no tissue" },
      11: { mpp: null },
      13: { tissue: 0 },
    }),
  );
  assert.deepEqual([...found.keys()].sort((a, b) => a - b), [3, 5, 7, 9, 11, 13]);
  assert.match(found.get(3)!.reasons[0]!, /little tissue: 2 mm², median 10\d mm²/);
  assert.match(found.get(5)!.reasons[0]!, /many dropped: 90 %, median 5 %/);
  assert.match(found.get(7)!.reasons[0]!, /odd scan: 0.5 µm\/px, median 0.251 µm\/px/);
  assert.match(found.get(13)!.reasons[0]!, /little tissue: 0 mm²/);
});

test("much tissue, few dropped and a small difference are no outliers", () => {
  const found = outliers(rows(50, { 3: { tissue: 9000 }, 4: { tissue: 60 }, 5: { droppedShare: 0 }, 6: { droppedShare: 0.1 } }));
  assert.equal(found.size, 0);
});

test("a resolution that many slides share is not odd", () => {
  const some = rows(50).map((one) => (one.n % 4 === 0 ? { ...one, mpp: 0.5 } : one));
  assert.equal(outliers(some).size, 0);
  const two = outliers(some.map((one) => (one.n === 1 ? { ...one, mpp: 0.1 } : one)));
  assert.deepEqual([...two.keys()], [1]);
});

test("failed slides and short runs have no outliers", () => {
  assert.equal(outliers(rows(50, { 3: { status: "failed", tissue: 0, mpp: null } })).size, 0);
  assert.equal(outliers([...rows(FEWEST - 2), row(FEWEST, { tissue: 0.01 })]).size, 0);
});

test("a slide without mpp is measured by its share of tissue, against all others alike", () => {
  const without = Array.from({ length: 20 }, (_, n) => row(n, { tissue: null, mpp: null, fraction: n === 4 ? 0.01 : 0.4 }));
  const found = outliers(without);
  assert.deepEqual([...found.keys()], [4]);
  assert.match(found.get(4)!.reasons[0]!, /1 % of the slide, median 40 %/);
});

test("10,000 slides of two scanners take less than a second", () => {
  const start = performance.now();
  outliers(rows(10_000).map((one) => (one.n % 3 ? one : { ...one, mpp: 0.5 + one.n / 1e6 })));
  assert.ok(performance.now() - start < 1000);
});

test("a doubtful mask is not explained twice on a card", () => {
  const found = outliers(rows(6, {
    1: { doubt: "it found no tissue", status: "done_empty", reason: "mask: no tissue on the slide: set mask.remove_pen=false" },
    2: { doubt: "it is almost all tissue" },
  }));
  assert.deepEqual(found.get(1)!.reasons, ["doubtful mask"]);
  assert.deepEqual(found.get(2)!.reasons, ["doubtful mask: it is almost all tissue"]);
});
