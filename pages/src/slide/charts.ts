/** The histograms below the sliders of a slide. */

import type { Rules } from "../common/data.ts";
import { BELOW, type Cells, type Decision, scoreOf, UNKNOWN } from "../common/decide.ts";
import { element } from "../common/dom.ts";
import { type Histogram, histogramIn } from "./histogram.ts";
import { BINS, binned, binsOf, COVERAGE, rangeOf } from "./ranges.ts";

interface Chart {
  histogram: Histogram;
  bins: Uint8Array;
  /** The filter; null for coverage. */
  filter: string | null;
}

const NOTES = {
  coverage: "Blue: kept. Grey: all cells with tissue. The line is the threshold. Counts are on a logarithmic axis.",
  score: "Blue: kept. Grey: cells that reach the threshold. Lines are limits.",
};

/** Build a histogram in each group of sliders, and return how to update them. */
export function chartsFor(sliders: HTMLElement, cells: Cells, run: Rules): (decision: Decision, rules: Rules) => void {
  const groups = [...sliders.querySelectorAll("fieldset")];
  const place = (index: number): HTMLElement => {
    const made = element("div", { class: "histogram" });
    groups[index]?.append(made);
    return made;
  };
  const coverage = binsOf(cells.ratio, COVERAGE);
  for (let cell = 0; cell < cells.count; cell++) if (cells.ratio[cell] === 0) coverage[cell] = BINS; // not shown
  const charts: Chart[] = [
    { histogram: histogramIn(place(0), "coverage", COVERAGE, NOTES.coverage, true), bins: coverage, filter: null },
    ...run.filters.map(({ name, min, max }, index) => {
      const scores = scoreOf(cells, name);
      const range = rangeOf(scores, [min, max]);
      const histogram = histogramIn(place(index + 1), name, range, NOTES.score);
      return { histogram, bins: binsOf(scores, range), filter: name };
    }),
  ];
  return (decision, rules) => {
    const every = Uint8Array.from(decision.reasons, () => 1);
    const reach = Uint8Array.from(decision.reasons, (reason) => (reason === BELOW || reason === UNKNOWN ? 0 : 1));
    for (const { histogram, bins, filter } of charts) {
      const limits = rules.filters.find((found) => found.name === filter);
      const marks = limits === undefined ? [rules.threshold] : [limits.min, limits.max];
      const counts = binned(bins, decision.codes, filter === null ? every : reach);
      histogram.show(counts.all, counts.kept, marks);
    }
  };
}
