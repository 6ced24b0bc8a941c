/** Decides about slides that a test in Python sends, and prints what the page would show. */

import { readFileSync } from "node:fs";
import { changedCells, changesCsv, keptCsv } from "../src/common/changes.ts";
import type { Rules, SlideData } from "../src/common/data.ts";
import { cellsOf, decide, runDecision } from "../src/common/decide.ts";

const cases = JSON.parse(readFileSync(0, "utf8")) as { slide: SlideData; rules: Rules }[];
const found = [];
for (const { slide, rules } of cases) {
  const cells = await cellsOf(slide);
  const before = await runDecision(slide);
  const after = decide(cells, rules);
  found.push({
    reasons: after.reasons,
    codes: [...after.codes],
    counts: after.counts,
    kept: after.kept,
    changed: changedCells(before, after),
    kept_csv: keptCsv(slide, cells, after),
    changes_csv: changesCsv(slide, cells, before, after),
  });
}
console.log(JSON.stringify(found));
