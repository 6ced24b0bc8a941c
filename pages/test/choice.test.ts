import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, PAGE, readChoice, SORTS, START, STATUSES, writeChoice } from "../src/run/choice.ts";
import type { Choice, Sort, Status } from "../src/run/choice.ts";
import { outliers } from "../src/run/outliers.ts";
import { rowsOf } from "../src/run/rows.ts";
import { target } from "../src/run/grid_keys.ts";
import { row, rows } from "./rows_for_tests.ts";

const NONE = new Map();
const numbers = (choice: Partial<Choice>, some = SOME, found = NONE): number[] =>
  choose(some, { ...START, ...choice }, found).map((one) => one.n);
const SOME = [
  row(0, { id: "b10", kept: 5, tissue: 3, droppedShare: null, effective: null }),
  row(1, { id: "B9", kept: 50, tissue: null, fraction: null, droppedShare: 0.2 }),
  row(2, { id: "a", kept: 0, tissue: 1, status: "done_empty", droppedShare: 1, effective: 2 }),
  row(3, { id: "x", kept: 0, tissue: null, fraction: null, status: "failed", droppedShare: null, effective: null }),
];

test("a choice is the same after its address is read", () => {
  for (const sort of Object.keys(SORTS) as Sort[]) {
    for (const status of Object.keys(STATUSES) as Status[]) {
      for (const text of ["", "a b&c=d#e%", "<script>", "ü"]) {
        for (const [shown, at] of [[PAGE, -1], [PAGE * 7, 0], [PAGE, 999]] as const) {
          const choice = { sort, status, text, shown, at, limits: text && "threshold=0.3 filter.blur.min=null" };
          assert.deepEqual(readChoice(`#${writeChoice(choice)}`), choice);
        }
      }
    }
  }
  assert.equal(writeChoice(START), "");
});

test("an address that states nonsense is the start", () => {
  for (const hash of ["", "#main", "#sort=constructor&status=toString&shown=-1&at=x", "#shown=1e999"]) {
    assert.deepEqual(readChoice(hash), START, hash);
  }
});

test("sorts put slides without a value last", () => {
  assert.deepEqual(numbers({ sort: "name" }), [2, 1, 0, 3]);
  assert.deepEqual(numbers({ sort: "kept" }), [1, 0, 2, 3]);
  assert.deepEqual(numbers({ sort: "fewest" }), [2, 0, 1, 3]);
  assert.deepEqual(numbers({ sort: "tissue" }), [2, 0, 1, 3]);
  assert.deepEqual(numbers({ sort: "dropped" }), [2, 1, 0, 3]);
  assert.deepEqual(numbers({ sort: "mpp" }), [2, 1, 0, 3]);
});

test("filters by status and name work together", () => {
  assert.deepEqual(numbers({ status: "failed" }), [3]);
  assert.deepEqual(numbers({ text: " B" }), [0, 1]);
  assert.deepEqual(numbers({ text: "b", status: "done_empty" }), []);
});

test("outliers come first, those with more reasons before others", () => {
  const some = rows(40, { 9: { tissue: 1 }, 20: { mpp: 0.6, tissue: 2 }, 30: { doubt: "d" } });
  const found = outliers(some);
  assert.deepEqual(numbers({ sort: "outliers" }, some, found).slice(0, 4), [20, 9, 30, 0]);
  assert.deepEqual(numbers({ status: "outlier" }, some, found), [9, 20, 30]);
});

test("10,000 slides are sorted and filtered within 200 ms", () => {
  const some = rows(10_000);
  const start = performance.now();
  choose(some, { ...START, sort: "name", text: "1" }, NONE);
  assert.ok(performance.now() - start < 200);
});

test("rows read columns, with empty cells as unknown", () => {
  const run = {
    slides: {
      slide_id: ["a", "b"],
      status: ["done", "failed"],
      candidates: [10, 0],
      kept: ["3", null],
      below_threshold: [4, ""],
      not_sampled: [5, ""],
      dropped_blur: [2, null],
      dropped: [1, 0],
      mpp: [null, ""],
      picture: [null, "pictures/000001.jpg"],
    },
  } as unknown as Parameters<typeof rowsOf>[0];
  const [first, second] = rowsOf(run);
  assert.deepEqual([first!.dropped, first!.droppedShare, first!.kept], [3, 0.5, 3]);
  assert.deepEqual([first!.below, first!.notSampled], [4, 5]);
  assert.deepEqual([second!.droppedShare, second!.mpp, second!.kept], [null, null, 0]);
  assert.equal(second!.picture, "pictures/000001.jpg");
});

test("arrow keys pass over cards without a link, and stay at the ends", () => {
  const focusable = [true, false, true, true, false];
  assert.equal(target("ArrowRight", 0, 3, focusable), 2);
  assert.equal(target("ArrowLeft", 0, 3, focusable), 0);
  assert.equal(target("ArrowDown", 0, 3, focusable), 3);
  assert.equal(target("ArrowUp", 3, 3, focusable), 0);
  assert.equal(target("ArrowDown", 2, 3, focusable), 2);
  assert.equal(target("End", 0, 3, focusable), 3);
  assert.equal(target("Home", 3, 3, [false, ...focusable.slice(1)]), 2);
  assert.equal(target("a", 2, 3, focusable), 2);
});
