import assert from "node:assert/strict";
import { test } from "node:test";
import { overridden } from "../src/common/changes.ts";
import { cohortOf, compare, type Count, type Opened, type Source } from "../src/common/cohort.ts";
import type { Rules } from "../src/common/data.ts";
import { decide } from "../src/common/decide.ts";

const RULES: Rules = {
  threshold: 0.5,
  filters: [{ name: "blur", min: 40, max: null, mpp: null }],
  keep: null,
  sampler: null,
  measured_from: 0,
  from_table: [],
};
const limits = (chosen: Rules, run = RULES) => overridden(run, chosen);
const at = (threshold: number, min: number | null): Rules => ({
  ...RULES,
  threshold,
  filters: [{ name: "blur", min, max: null, mpp: null }],
});

/** Return a slide of 60 cells; numbers differ from slide to slide. */
function slide(n: number, rules: Rules = RULES): Opened {
  const ratio = Float64Array.from({ length: 60 }, (_, cell) => ((cell * 7 + n * 3) % 21) / 20);
  const blur = Float64Array.from({ length: 60 }, (_, cell) => (cell * 13 + n * 5) % 101);
  const columns = new Map([
    ["ratio", { numbers: ratio, values: null }],
    ["score_blur", { numbers: blur, values: null }],
  ]);
  const cells = { count: 60, nx: 10, ratio, columns };
  return { cells, rules, run: decide(cells, rules) };
}

/** Return a cohort's sources, and an `open` that counts how often each slide is opened. */
function sources(count: number): [Source[], number[], (source: Source) => Promise<Opened>] {
  const opened = new Array<number>(count).fill(0);
  const all = Array.from({ length: count }, (_, n) => ({ n, id: `s${n}`, data: n % 7 === 6 ? null : `${n}.js` }));
  const open = (source: Source): Promise<Opened> => {
    opened[source.n]!++;
    return source.n % 11 === 10 ? Promise.reject(new Error("missing")) : Promise.resolve(slide(source.n));
  };
  return [all, opened, open];
}

const never = new AbortController().signal;
const ignore = (): void => undefined;
const budgets = { none: 0, some: 2000, all: 1e9 };

for (const [name, budget] of Object.entries(budgets)) {
  test(`sums are exact, with room for ${name} of the slides`, async () => {
    const [all, , open] = sources(50);
    const cohort = cohortOf(all, open, budget);
    for (const rules of [RULES, at(0.3, 40), at(0.9, null), at(0, 80), RULES]) {
      const count = (await cohort.count(limits(rules), never, ignore))!;
      const there = all.filter(({ n, data }) => data !== null && n % 11 !== 10);
      const kept = (chosen: Rules): number =>
        there.reduce((sum, { n }) => sum + decide(slide(n).cells, chosen).counts[0]!, 0);
      assert.equal(count.now, kept(RULES));
      assert.equal(count.then, kept(rules));
      assert.equal(count.gained - count.lost, count.then - count.now);
      assert.equal(count.counted, count.total);
      assert.equal(count.changes.length, there.length);
      assert.equal(count.missing, all.length - there.length);
      assert.deepEqual(count.changes.map(({ n }) => n), there.map(({ n }) => n));
    }
  });
}

test("slides within the budget are opened once, the others for each count", async () => {
  const [all, opened, open] = sources(6);
  const size = 60 * (8 + 8 + 1);
  const cohort = cohortOf(all, open, 3 * size);
  for (let turn = 0; turn < 4; turn++) await cohort.count(limits(RULES), never, ignore);
  assert.deepEqual(opened, [1, 1, 1, 4, 4, 4]);
});

test("a cancelled count returns nothing, and the next one is exact", async () => {
  const [all, opened, open] = sources(30);
  const slow = async (source: Source): Promise<Opened> => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return open(source);
  };
  const cohort = cohortOf(all, slow, 1e9);
  const first = new AbortController();
  const cancelled = cohort.count(limits(at(0.1, null)), first.signal, ignore);
  await new Promise((resolve) => setTimeout(resolve, 30));
  first.abort();
  const exact = await cohort.count(limits(at(0.3, 40)), never, ignore);
  assert.equal(await cancelled, null);
  const [others, , direct] = sources(30);
  const expected = await cohortOf(others, direct).count(limits(at(0.3, 40)), never, ignore);
  assert.deepEqual(exact!.changes, expected!.changes);
  assert.ok(opened.every((times) => times <= 1), "a slide that was being loaded is not loaded twice");
});

test("progress grows to the total, and the last report is the result", async () => {
  const [all, , open] = sources(40);
  const slow = async (source: Source): Promise<Opened> => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return open(source);
  };
  const seen: number[] = [];
  let last: Count | null = null;
  const count = await cohortOf(all, slow, 0).count(limits(RULES), never, (sums) => {
    seen.push(sums.counted);
    last = sums;
  });
  assert.ok(seen.length > 2);
  assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
  assert.equal(seen.at(-1), count!.total);
  assert.equal(last, count);
});

test("cells without scores are unknown, not guessed", () => {
  const opened = slide(1, { ...RULES, measured_from: 0.2 }); // the run's own rules do not say so
  const change = compare({ n: 1, id: "s1", data: null }, opened, limits(at(0, 40)));
  const low = [...opened.cells.ratio].filter((ratio) => ratio < 0.2).length;
  assert.equal(change.unknown, low);
});

test("a sampler that the page cannot run leaves the sum open, but not with the limits of the run", async () => {
  const [all] = sources(5);
  const sampler = { name: "own", n: 5, fraction: null, by: null, exact: false };
  const open = ({ n }: Source): Promise<Opened> => Promise.resolve({ ...slide(n), rules: { ...RULES, sampler } });
  const cohort = cohortOf(all, open);
  const count = (await cohort.count(limits(at(0.3, 40)), never, ignore))!;
  assert.equal(count.then, null);
  assert.ok(count.gained > 0);
  const same = (await cohort.count(limits(RULES), never, ignore))!;
  assert.deepEqual([same.then, same.gained, same.lost], [same.now, 0, 0]);
});

test("overrides do not change what a table sets for a slide", async () => {
  const [all] = sources(3);
  const own = [
    { ...at(0.2, 40), from_table: ["threshold"] },
    { ...at(0.5, 10), from_table: ["filter.blur.min"] },
    RULES,
  ];
  const open = ({ n }: Source): Promise<Opened> => Promise.resolve(slide(n, own[n]));
  const count = (await cohortOf(all, open).count(limits(at(0.7, 60)), never, ignore))!;
  const kept = [at(0.2, 60), at(0.7, 10), at(0.7, 60)].map((rules, n) => decide(slide(n).cells, rules).kept);
  assert.deepEqual(count.changes.map(({ then }) => then), kept);
});

test("no slides are a count of zero", async () => {
  const count = (await cohortOf([]).count(limits(RULES), never, ignore))!;
  assert.deepEqual([count.total, count.now, count.then, count.missing], [0, 0, 0, 0]);
});
