import assert from "node:assert/strict";
import { test } from "node:test";
import { csvField, forTable, overrides, pythonFloat, readOverrides, sameRules } from "../src/common/changes.ts";
import type { Rules } from "../src/common/data.ts";

const RULES: Rules = {
  threshold: 0.5,
  filters: [{ name: "blur", min: 40, max: null, mpp: 1 }],
  keep: null,
  sampler: null,
  measured_from: 0,
  from_table: [],
};
const limits = (min: number | null, max: number | null) => [{ name: "blur", min, max, mpp: 1 }];

test("overrides name only what differs", () => {
  assert.equal(overrides(RULES, RULES), "");
  const chosen = { ...RULES, threshold: 0.35, filters: limits(null, 1e-7) };
  assert.equal(overrides(RULES, chosen), "threshold=0.35 filter.blur.min=null filter.blur.max=1e-7");
  assert.ok(sameRules(RULES, { ...RULES, keep: [] }));
  assert.ok(!sameRules(RULES, { ...RULES, filters: limits(41, null) }));
});

test("what a table sets is named apart: no override changes it", () => {
  const run = { ...RULES, from_table: ["threshold"] };
  const chosen = { ...run, threshold: 0.35, filters: limits(41, null) };
  assert.equal(overrides(run, chosen), "filter.blur.min=41");
  assert.equal(forTable(run, chosen), "threshold=0.35");
});

test("a limit that the configuration lacks is added", () => {
  const run = { ...RULES, absent: ["filter.blur.max"] };
  const chosen = { ...run, filters: limits(41, 60) };
  assert.equal(overrides(run, chosen), "filter.blur.min=41 ++filter.blur.max=60");
  assert.deepEqual(readOverrides(run, overrides(run, chosen)), chosen);
});

test("an unusual name is quoted for a shell", () => {
  const filters = [{ name: "it's $x", min: 1, max: null, mpp: null }];
  const before = [{ ...filters[0]!, min: null }];
  const words = overrides({ ...RULES, filters: before }, { ...RULES, filters });
  assert.equal(words, `'filter.it'\\''s $x.min=1'`);
});

test("no control character of a name is pasted into a shell", () => {
  const name = "a\x03b\nc\t\x1b[201~\u202e";
  const one = { name, min: 1, max: null, mpp: null };
  const words = overrides({ ...RULES, filters: [{ ...one, min: null }] }, { ...RULES, filters: [one] });
  assert.equal(words, String.raw`'filter.a\x03b\x0ac\x09\x1b[201~\u202e.min=1'`);
});

test("floats are written as by Python", () => {
  const cases: [number, string][] = [
    [1, "1.0"],
    [0.1, "0.1"],
    [1e-5, "1e-05"],
    [1.5e-7, "1.5e-07"],
    [0.0001, "0.0001"],
    [1e16, "1e+16"],
    [123456789012345680, "1.2345678901234568e+17"],
    [1e15, "1000000000000000.0"],
    [5e-324, "5e-324"],
    [-0, "-0.0"],
    [NaN, ""],
  ];
  for (const [value, text] of cases) assert.equal(pythonFloat(value), text);
});

test("fields are quoted, and control characters are visible", () => {
  assert.equal(csvField('a "b", c'), '"a ""b"", c"');
  assert.equal(csvField("a\u001bb\u202ec"), "a\\x1bb\\u202ec");
});
