/** Sliders for the threshold and the limits of filters: a range and a number field each. */

import type { Filter, Rules } from "./data.ts";
import { element, fill, short } from "./dom.ts";

/** The values that a score takes. */
export interface Range {
  low: number;
  high: number;
}

export interface Sliders {
  element: HTMLElement;
  /** The rules that the sliders state now. */
  rules: () => Rules;
  /** Set all sliders, without a call of `changed`. */
  set: (rules: Rules) => void;
  /** Widen the ends of the sliders to the values of scores. */
  widen: (ranges: ReadonlyMap<string, Range>) => void;
}

/** A slider: its two fields, and the value that they state. */
interface Slider {
  element: HTMLElement;
  value: () => number | null;
  set: (value: number | null) => void;
  widen: (range: Range) => void;
}

let ids = 0;

/**
 * Build the sliders of rules.
 *
 * Parameters: the run's rules, the values of each score as far as they are known, a function
 * that gets the rules whenever somebody moves a slider or types a number, and the keys of sliders
 * that do not move.
 */
export function slidersOf(
  run: Rules,
  ranges: ReadonlyMap<string, Range>,
  changed: (rules: Rules) => void,
  locked: readonly string[] = [],
): Sliders {
  const problem = element("p", { class: "problem", role: "alert", hidden: true });
  const tell = (): void => {
    const chosen = rules();
    const wrong = chosen.filters.filter((filter) => isEmpty(filter)).map((filter) => filter.name);
    problem.hidden = !wrong.length;
    fill(problem, `${wrong.join(", ")}: the lowest value is above the highest. No tile passes, and tiler refuses these limits.`);
    changed(chosen);
  };
  const fixed = (key: string): boolean => locked.includes(key);
  const threshold = slider("Coverage at least", run.threshold, { low: 0, high: 1 }, null, fixed("threshold"), tell);
  const filters = run.filters.map((filter) => {
    const range = around(filter, ranges.get(filter.name));
    const min = slider("at least", filter.min, range, "low", fixed(`filter.${filter.name}.min`), tell);
    const max = slider("at most", filter.max, range, "high", fixed(`filter.${filter.name}.max`), tell);
    return { filter, min, max };
  });
  const rules = (): Rules => ({
    ...run,
    threshold: threshold.value() ?? run.threshold,
    filters: filters.map(({ filter, min, max }) => ({ ...filter, min: min.value(), max: max.value() })),
  });
  const set = (chosen: Rules): void => {
    threshold.set(chosen.threshold);
    chosen.filters.forEach((filter, index) => {
      filters[index]?.min.set(filter.min);
      filters[index]?.max.set(filter.max);
    });
  };
  const reset = (): void => {
    set(run);
    tell();
  };
  const groups = filters.map(({ filter, min, max }) =>
    element("fieldset", { class: "limits" }, legend(filter), min.element, max.element),
  );
  return {
    element: element(
      "div",
      { class: "sliders" },
      element("fieldset", { class: "limits" }, element("legend", {}, "Threshold"), threshold.element),
      ...groups,
      problem,
      element("button", { type: "button", class: "reset", onclick: reset }, "Reset to the run's values"),
    ),
    rules,
    set,
    widen: (found) => {
      for (const { filter, min, max } of filters) {
        const range = around(filter, found.get(filter.name));
        min.widen(range);
        max.widen(range);
      }
    },
  };
}

/** Return whether limits let no value pass. */
function isEmpty({ min, max }: Filter): boolean {
  return min !== null && max !== null && min > max;
}

function legend(filter: Filter): HTMLElement {
  const scale = filter.mpp === null ? "" : ` at ${short(filter.mpp)} µm/px`;
  return element("legend", {}, `${filter.name}${scale}`);
}

/**
 * Build a slider. `open` is the end of the range that means "no limit", which the number field
 * shows as empty; null for a value that is always there.
 */
function slider(
  label: string,
  value: number | null,
  range: Range,
  open: "low" | "high" | null,
  locked: boolean,
  changed: () => void,
): Slider {
  const id = `slider-${++ids}`;
  const name = element("label", { for: id }, label);
  const move = element("input", { type: "range", id, disabled: locked });
  const type = element("input", {
    type: "number",
    disabled: locked,
    step: "any",
    "aria-labelledby": `${id}-name`,
    placeholder: open === null ? null : "no limit",
    min: open === null ? range.low : null,
    max: open === null ? range.high : null,
  });
  name.id = `${id}-name`;
  const ends = { low: 0, high: 1 };
  let held = value;

  const show = (): void => {
    const at = held ?? (open === "high" ? ends.high : ends.low);
    move.value = String(at);
    move.setAttribute("aria-valuetext", held === null ? "no limit" : String(held));
    if (document.activeElement !== type) type.value = held === null ? "" : String(held);
  };
  const widen = (found: Range): void => {
    const step = stepOf(found);
    ends.low = Math.floor(found.low / step) * step;
    ends.high = Math.ceil(found.high / step) * step;
    for (const [key, end] of [["min", ends.low], ["max", ends.high], ["step", step]] as const) {
      move.setAttribute(key, String(rounded(end, step)));
    }
    show();
  };
  move.addEventListener("input", () => {
    const at = Number(move.value);
    const step = Number(move.step);
    const none = open !== null && Math.abs(at - ends[open]) < step / 2;
    held = none ? null : at;
    type.value = held === null ? "" : String(held);
    move.setAttribute("aria-valuetext", held === null ? "no limit" : String(held));
    changed();
  });
  type.addEventListener("input", () => {
    const text = type.value.trim();
    if (!type.validity.valid || (text === "" && open === null)) return; // not a number yet
    held = text === "" ? null : Number(text);
    show();
    changed();
  });
  type.addEventListener("change", show);
  widen(range);
  const box = element("div", { class: "slider" });
  fill(box, name, move, type);
  return {
    element: box,
    value: () => held,
    set: (found) => {
      held = found;
      show();
    },
    widen,
  };
}

/** Return a step of 1, 2 or 5 times a power of ten, about 200 of which make a range. */
export function stepOf(range: Range): number {
  const least = (range.high - range.low) / 200;
  if (!(least > 0)) return 0.01;
  const power = Math.floor(Math.log10(least));
  const factor = [1, 2, 5].find((one) => rounded(one * 10 ** power, 10 ** power) >= least) ?? 10;
  return Number(`${factor}e${power}`);
}

/** Return a multiple of a step without the error of its arithmetic: 0.3, not 0.30000000000000004. */
export function rounded(value: number, step: number): number {
  return Number(value.toFixed(Math.max(0, Math.min(20, -Math.floor(Math.log10(step))))));
}

/** Return the values of a score together with its limits; twice the limits where none is known. */
function around(filter: Filter, known: Range | undefined): Range {
  const limits = [filter.min, filter.max].filter((limit) => limit !== null);
  const found = known ?? { low: 0, high: 2 * Math.max(0.5, ...limits) };
  const low = Math.min(found.low, ...limits);
  // A limit at the end of its slider would look like no limit.
  return { low, high: Math.max(found.high, ...limits.map((limit) => limit + (limit - low) / 4)) };
}
