/** The picture of a slide's page: its grid, the cell under the pointer or the keyboard, the keys. */

import { showCell, spokenCell, tipOf } from "./cell_card.ts";
import type { Rules, SlideData } from "../common/data.ts";
import type { Cells, Decision } from "../common/decide.ts";
import { byId, element } from "../common/dom.ts";
import { type Box, type Frame, framed } from "../common/frame.ts";
import { gridOn } from "../common/grid.ts";
import type { Look } from "../common/reasons.ts";
import { openView } from "../common/viewer.ts";

/** Everything that decides how cells look. */
export interface Scene {
  decision: Decision;
  rules: Rules;
  looks: Look[];
  /** Reasons whose cells are drawn. */
  shown: Set<string>;
}

export interface Picture {
  /** Show other limits. */
  show: (scene: Scene) => void;
  /** Move to a cell. */
  find: (row: number, column: number) => void;
}

const LABEL =
  "Picture of the slide with its grid. Arrow keys move from cell to cell, plus and minus zoom, 0 shows the whole slide.";

/** Build the picture of a slide; `run` is the run's own decision, `scene` the first one to show. */
export function pictureOf(slide: SlideData, cells: Cells, run: Decision, scene: Scene): Picture {
  const parent = byId("view");
  const outline = byId("outline") as HTMLInputElement;
  const tip = element("p", { class: "view-cell", "aria-hidden": "true" }); // the list below says the same
  let cursor: number | null = null;
  let { decision, rules } = scene;

  const draw = (): void => {
    grid.draw(view.frame(), cursor, outline.checked);
  };
  const boxOf = (cell: number): Box => {
    const [row, column] = [Math.floor(cell / cells.nx), cell % cells.nx];
    return [slide.x0[column]!, slide.y0[row]!, slide.width0[column]!, slide.height0[row]!];
  };
  const tell = (cell: number): void => {
    showCell(byId("cell"), slide, cells, cell, run, decision, rules);
    tip.textContent = tipOf(cells, cell, decision, rules);
  };
  const choose = (cell: number | null): void => {
    if (cell === null || (cell === cursor && tip.textContent !== "")) return;
    cursor = cell;
    byId("cell-hint").hidden = true;
    tell(cell);
    draw();
  };
  const step = (across: number, down: number): void => {
    if (!cells.count) return;
    const at = cursor ?? Math.max(decision.codes.indexOf(0), 0); // the first kept cell
    const column = Math.min(Math.max((at % cells.nx) + across, 0), cells.nx - 1);
    const row = Math.min(Math.max(Math.floor(at / cells.nx) + down, 0), slide.y.length - 1);
    const cell = row * cells.nx + column;
    choose(cell);
    byId("spoken").textContent = spokenCell(cells, cell, decision, rules);
    if (!isInside(view.frame(), boxOf(cell))) view.pan(middle(boxOf(cell)));
  };
  const view = openView(parent, LABEL, {
    moved: draw,
    stepped: step,
    pointed: (place) => {
      if (place !== null) choose(grid.cellAt(...place));
      else tip.textContent = "";
    },
    chosen: (place) => {
      choose(grid.cellAt(...place));
    },
    around: () => (cursor !== null && isInside(view.frame(), boxOf(cursor)) ? middle(boxOf(cursor)) : null),
  });
  const grid = gridOn(view.canvas, slide);
  parent.append(tip);
  view.open(slide.view?.src ?? null, slide.bounds);
  for (const [id, act] of [["zoom-in", view.zoomIn], ["zoom-out", view.zoomOut], ["zoom-home", view.home]] as const) {
    byId(id).addEventListener("click", act);
  }
  outline.addEventListener("change", draw);
  return {
    show: (next) => {
      ({ decision, rules } = next);
      grid.paint(decision, next.looks, next.shown);
      if (cursor !== null) tell(cursor);
      draw();
    },
    find: (row, column) => {
      const cell = row * cells.nx + column;
      choose(cell);
      view.show(boxOf(cell));
      parent.scrollIntoView({ block: "center" });
    },
  };
}

function middle([x, y, width, height]: Box): [number, number] {
  return [x + width / 2, y + height / 2];
}

/** Return whether a box of level-0 pixels is in sight, whole. */
function isInside(frame: Frame, box: Box): boolean {
  const [x, y, width, height] = framed(frame, box);
  return x >= 0 && y >= 0 && x + width <= frame.width && y + height <= frame.height;
}
