/** The workbench of a slide's page: picture, legend, sliders and counts that follow each other. */

import { chartsFor } from "./charts.ts";
import { changesCsv, countChanges, forTable, keptCsv, overrides, sameRules } from "../common/changes.ts";
import type { Rules, SlideData } from "../common/data.ts";
import { type Cells, type Decision, decide, LEFT, UNKNOWN } from "../common/decide.ts";
import { byId, download, fill, whole } from "../common/dom.ts";
import { legendIn } from "./legend.ts";
import { overridesBox } from "../common/overrides_box.ts";
import { pictureOf } from "./picture.ts";
import { rangesOf } from "./ranges.ts";
import { looksOf } from "../common/reasons.ts";
import { slidersOf } from "../common/sliders.ts";

export interface Workbench {
  rules: () => Rules;
  /** Show a cell in the picture. */
  find: (row: number, column: number) => void;
}

/** Milliseconds without a change after which the address and a screen reader get the new state. */
const QUIET = 700;

/** Milliseconds by which charts follow the grid and the counts, which come at once. */
const LATER = 80;

/** Build the workbench of a slide; `changed` is called when the limits rest. */
export function workbench(slide: SlideData, cells: Cells, run: Decision, start: Rules, changed: (rules: Rules) => void): Workbench {
  byId("workbench").hidden = false;
  const same = (rules: Rules): boolean => sameRules(slide.rules, rules);
  const judge = (rules: Rules): Decision =>
    rules.sampler !== null && !rules.sampler.exact && same(rules) ? run : decide(cells, rules);
  let rules = start;
  let decision = judge(rules);
  let looks = looksOf(decision.reasons);
  let waiting = 0;
  let later = 0;
  let first = true;
  let quiet = 0;

  const box = overridesBox();
  byId("overrides").append(box.element);
  const saveChanges = byId("save-changes") as HTMLButtonElement;
  const repaint = (): void => {
    picture.show({ decision, rules, looks, shown: legend.shown });
  };
  const update = (): void => {
    waiting = 0;
    decision = judge(rules);
    looks = looksOf(decision.reasons);
    legend.show(decision, looks);
    repaint();
    showCounts(slide, run, decision, rules);
    box.set(overrides(slide.rules, rules), forTable(slide.rules, rules));
    saveChanges.disabled = same(rules);
    later ||= window.setTimeout(() => {
      later = 0;
      charts(decision, rules);
    }, first ? 0 : LATER);
    first = false;
    clearTimeout(quiet);
    quiet = window.setTimeout(() => {
      changed(rules);
      byId("kept-spoken").textContent = `${byId("kept-here").textContent} ${byId("kept-change").textContent}`;
    }, QUIET);
  };
  const legend = legendIn(byId("legend"), repaint);
  const picture = pictureOf(slide, cells, run, { decision, rules, looks, shown: legend.shown });
  const sliders = slidersOf(slide.rules, rangesOf(cells, slide.rules), (found) => {
    rules = found;
    if (!waiting) waiting = requestAnimationFrame(update);
  });
  sliders.set(rules);
  fill(byId("sliders"), sliders.element);
  const charts = chartsFor(sliders.element, cells, slide.rules);
  saveChanges.addEventListener("click", () => {
    download(`${slide.slide_id}_changes.csv`, changesCsv(slide, cells, run, decision));
  });
  byId("save-kept").addEventListener("click", () => {
    download(`${slide.slide_id}_kept.csv`, keptCsv(slide, cells, decision));
  });
  update();
  return { rules: () => rules, find: picture.find };
}

/** Show how many tiles there are. */
function showCounts(slide: SlideData, run: Decision, now: Decision, rules: Rules): void {
  const left = now.counts[now.reasons.indexOf(LEFT)] ?? 0;
  byId("kept-here").textContent =
    now.kept === null ? `${whole(left)} cells left to the sampler` : `${whole(now.kept)} ${now.kept === 1 ? "tile" : "tiles"}`;
  const difference = (now.kept ?? 0) - (run.kept ?? 0);
  const { gained, lost } = countChanges(run, now);
  const more = difference > 0 ? "more" : "fewer";
  const compared = difference === 0 ? "as many as in the run" : `${whole(Math.abs(difference))} ${more} than in the run`;
  const unknown = now.counts[now.reasons.indexOf(UNKNOWN)] ?? 0;
  const parts = sameRules(slide.rules, rules)
    ? ["on this slide, with the limits of the run"]
    : [`on this slide${now.kept === null ? "" : `, ${compared}`}`, `${whole(gained + lost)} cells change`];
  if (unknown) parts.push(`${whole(unknown)} cells whose scores are not known are not counted`);
  if (left) parts.push("tiler's sampler chooses which of them");
  byId("kept-change").textContent = parts.join("; ");
  (byId("save-kept") as HTMLButtonElement).disabled = left > 0;
}
