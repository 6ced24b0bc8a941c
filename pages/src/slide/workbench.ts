/** The workbench of a slide's page: picture, legend, sliders and counts that follow each other. */

import { chartsFor } from "./charts.ts";
import { showCell, spokenCell } from "./cell_card.ts";
import { changesCsv, countChanges, forTable, keptCsv, overrides, sameRules } from "../common/changes.ts";
import type { Rules, SlideData } from "../common/data.ts";
import { type Cells, type Decision, decide, LEFT, UNKNOWN } from "../common/decide.ts";
import { byId, download, element, fill, whole } from "../common/dom.ts";
import { gridOn } from "../common/grid.ts";
import { legendIn } from "./legend.ts";
import { overridesBox } from "../common/overrides_box.ts";
import { rangesOf } from "./ranges.ts";
import { looksOf } from "../common/reasons.ts";
import { slidersOf } from "../common/sliders.ts";
import { openView } from "../common/viewer.ts";

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
  let cursor: number | null = null;
  let waiting = 0;
  let later = 0;
  let first = true;
  let quiet = 0;

  const box = overridesBox();
  byId("overrides").append(box.element);
  const saveChanges = byId("save-changes") as HTMLButtonElement;
  const outline = byId("outline") as HTMLInputElement;
  const draw = (): void => {
    grid.draw(view.frame(), cursor, outline.checked);
  };
  const repaint = (): void => {
    grid.paint(decision, looks, legend.shown);
    draw();
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
    if (cursor !== null) tell(cursor);
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
  const view = openView(byId("view"), slide, {
    moved: () => {
      draw();
    },
    pointed: (place) => {
      if (place !== null) choose(grid.cellAt(...place));
      else tip.textContent = "";
    },
    chosen: (place) => {
      choose(grid.cellAt(...place));
    },
  });
  const tip = element("p", { class: "view-cell", "aria-hidden": "true" }); // the list below says the same
  byId("view").append(tip);
  const grid = gridOn(view.canvas, slide);
  const tell = (cell: number): void => {
    showCell(byId("cell"), slide, cells, cell, run, decision, rules);
    tip.textContent = spokenCell(cells, cell, decision, rules);
  };
  const choose = (cell: number | null): void => {
    if (cell === null) return;
    if (cell === cursor && tip.textContent !== "") return;
    cursor = cell;
    byId("cell-hint").hidden = true;
    tell(cell);
    draw();
  };
  const sliders = slidersOf(slide.rules, rangesOf(cells, slide.rules), (found) => {
    rules = found;
    if (!waiting) waiting = requestAnimationFrame(update);
  });
  sliders.set(rules);
  fill(byId("sliders"), sliders.element);
  const charts = chartsFor(sliders.element, cells, slide.rules);

  const find = (row: number, column: number): void => {
    choose(row * cells.nx + column);
    view.show(slide.x0[column]!, slide.y0[row]!, slide.width0[column]!, slide.height0[row]!);
    byId("view").scrollIntoView({ block: "center" });
  };
  const middle = (cell: number): [number, number] => {
    const [row, column] = [Math.floor(cell / cells.nx), cell % cells.nx];
    return [slide.x0[column]! + slide.width0[column]! / 2, slide.y0[row]! + slide.height0[row]! / 2];
  };
  const zoom = (factor: number) => (): void => {
    const { x, y, scale, width, height } = view.frame();
    const [x0, y0] = cursor === null ? [NaN, NaN] : middle(cursor);
    const seen = x + x0 * scale > 0 && x + x0 * scale < width && y + y0 * scale > 0 && y + y0 * scale < height;
    view.zoom(factor, seen ? [x0, y0] : null);
  };
  const step = (across: number, down: number): void => {
    const at = cursor ?? firstKept(decision);
    const column = Math.min(Math.max((at % cells.nx) + across, 0), cells.nx - 1);
    const row = Math.min(Math.max(Math.floor(at / cells.nx) + down, 0), slide.y.length - 1);
    choose(row * cells.nx + column);
    byId("spoken").textContent = spokenCell(cells, row * cells.nx + column, decision, rules);
    const { x, y, scale, width, height } = view.frame();
    const [left, top] = [x + slide.x0[column]! * scale, y + slide.y0[row]! * scale];
    const inside = left >= 0 && top >= 0 && left + slide.width0[column]! * scale <= width && top + slide.height0[row]! * scale <= height;
    if (!inside) view.pan(...middle(row * cells.nx + column));
  };
  const keys: Record<string, () => void> = {
    ArrowLeft: () => { step(-1, 0); },
    ArrowRight: () => { step(1, 0); },
    ArrowUp: () => { step(0, -1); },
    ArrowDown: () => { step(0, 1); },
    "+": zoom(1.5),
    "=": zoom(1.5),
    "-": zoom(1 / 1.5),
    "0": view.home,
  };
  byId("view").addEventListener(
    "keydown",
    (event) => {
      const key = keys[event.key];
      if (key === undefined || event.ctrlKey || event.metaKey || event.altKey || !cells.count) return;
      event.preventDefault();
      event.stopPropagation();
      key();
    },
    true, // before OpenSeadragon, which has keys of its own
  );
  for (const [id, act] of Object.entries({
    "zoom-in": zoom(1.5),
    "zoom-out": zoom(1 / 1.5),
    "zoom-home": view.home,
    "save-changes": () => { download(`${slide.slide_id}_changes.csv`, changesCsv(slide, cells, run, decision)); },
    "save-kept": () => { download(`${slide.slide_id}_kept.csv`, keptCsv(slide, cells, decision)); },
  })) {
    byId(id).addEventListener("click", act);
  }
  outline.addEventListener("change", draw);
  update();
  return { rules: () => rules, find };
}

function firstKept(decision: Decision): number {
  return Math.max(decision.codes.indexOf(0), 0);
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
