/** The legend of a grid: a check box, a sign and a count for each reason. */

import type { Decision } from "../common/decide.ts";
import { element, fill, whole } from "../common/dom.ts";
import { type Look, patternTile } from "../common/reasons.ts";

export interface Legend {
  /** Reasons that are shown. */
  shown: Set<string>;
  show: (decision: Decision, looks: Look[]) => void;
}

/** Build a legend in an element; `changed` is called when a box is ticked. */
export function legendIn(parent: HTMLElement, changed: () => void): Legend {
  const shown = new Set<string>();
  let known = "";
  let counts: HTMLElement[] = [];
  const hidden = new Set<string>();

  const build = (looks: Look[]): void => {
    counts = looks.map(() => element("span", { class: "legend-count" }));
    const items = looks.map((look, index) => {
      if (!hidden.has(look.reason)) shown.add(look.reason);
      const box = element("input", { type: "checkbox" });
      box.checked = shown.has(look.reason);
      box.addEventListener("change", () => {
        (box.checked ? shown : hidden).add(look.reason);
        (box.checked ? hidden : shown).delete(look.reason);
        changed();
      });
      const sign = element("span", { class: "legend-sign" }, signOf(look), element("b", { "aria-hidden": "true" }, look.letter));
      return element("li", {}, element("label", {}, box, sign, element("span", { class: "legend-title" }, look.title), counts[index]!));
    });
    fill(parent, ...items);
  };
  return {
    shown,
    show: (decision, looks) => {
      const names = looks.map((look) => look.reason).join("\n");
      if (names !== known) build(looks);
      known = names;
      counts.forEach((count, index) => {
        count.textContent = whole(decision.counts[index] ?? 0);
        count.closest("li")?.classList.toggle("legend-none", !decision.counts[index]);
      });
    },
  };
}

function signOf(look: Look): HTMLElement {
  const tile = patternTile(look);
  const canvas = element("canvas", { width: 24, height: 24, "aria-hidden": "true" });
  const pen = canvas.getContext("2d")!;
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, 24, 24);
  pen.fillStyle = pen.createPattern(tile, "repeat")!;
  pen.fillRect(0, 0, 24, 24);
  return canvas;
}
