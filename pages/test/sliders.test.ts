import assert from "node:assert/strict";
import { test } from "node:test";
import { changesCsv, mostChanged, progressText } from "../src/run/cohort_panel.ts";
import type { Change } from "../src/common/cohort.ts";
import { rounded, stepOf } from "../src/common/sliders.ts";

test("steps are 1, 2 or 5 times a power of ten, and 100 to 200 of them make a range", () => {
  for (const [low, high] of [[0, 1], [0, 0.9], [-3, 5], [10, 1200], [0, 3e-5], [0, 7e6]] as const) {
    const step = stepOf({ low, high });
    const digit = Number(step.toExponential().split("e")[0]);
    assert.ok([1, 2, 5].includes(digit), `${step}`);
    const steps = (high - low) / step;
    assert.ok(steps <= 200 && steps >= 79, `${low} to ${high}: ${steps}`);
  }
  assert.equal(stepOf({ low: 2, high: 2 }), 0.01);
});

test("multiples of a step are the decimal numbers that people read", () => {
  assert.equal(rounded(3 * 0.1, 0.1), 0.3);
  assert.equal(rounded(0.07 * 100, 0.01), 7);
  assert.equal(rounded(1230.0000001, 10), 1230);
});

const change = (n: number, gained: number, lost: number): Change => ({
  n, id: n === 1 ? 'a,"b"' : `s${n}`, now: 10, then: n === 2 ? null : 10 + gained - lost, gained, lost, unknown: 0,
});

test("slides that change most come first, and others are not listed", () => {
  const all = [change(0, 1, 1), change(1, 0, 0), change(2, 9, 0), change(3, 0, 2)];
  assert.deepEqual(mostChanged(all, 10).map(({ n }) => n), [2, 0, 3]);
  assert.deepEqual(mostChanged(all, 1).map(({ n }) => n), [2]);
});

test("the table has a row for each slide, and names are quoted", () => {
  assert.equal(
    changesCsv([change(0, 1, 2), change(1, 0, 0), change(2, 3, 0)]),
    'slide_id,kept_now,kept_then,gained,lost,unknown\ns0,10,9,1,2,0\n"a,""b""",10,10,0,0,0\ns2,10,,3,0,0\n',
  );
});

test("progress states the slides that are left out", () => {
  const count = { counted: 312, total: 1000, missing: 0, now: 0, then: 0, gained: 0, lost: 0, unknown: 0, changes: [], scores: new Map() };
  assert.equal(progressText(count), "312 of 1,000 slides counted");
  assert.equal(progressText({ ...count, missing: 5 }), "312 of 1,000 slides counted; 5 without data are left out");
  assert.match(progressText({ ...count, unknown: 3 }), /scores of unknown cells were not measured/);
});
