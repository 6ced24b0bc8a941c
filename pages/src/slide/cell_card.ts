/** A cell's place, columns and decision, for the pointer and for the keyboard. */

import { columnsOf } from "../common/changes.ts";
import type { Cell, Rules, SlideData } from "../common/data.ts";
import type { Cells, Decision } from "../common/decide.ts";
import { fact, fill, short } from "../common/dom.ts";
import { looksOf } from "../common/reasons.ts";

/** Return a reason in words: "filter blur". */
export function reasonText(reason: string): string {
  return looksOf([reason])[0]?.title ?? reason;
}

/** Return a value for reading, apart from limits; text stays as it is. */
export function shownValue(value: Cell, limits: readonly number[] = []): string {
  if (value === null || value === "") return "none";
  return typeof value === "number" ? short(value, limits) : value;
}

/** Return the limits that rules have for a column. */
export function limitsOn(column: string, ...all: Rules[]): number[] {
  return all
    .flatMap((rules) => [
      column === "ratio" ? rules.threshold : null,
      ...rules.filters.flatMap(({ name, min, max }) => (column === `score_${name}` ? [min, max] : [])),
    ])
    .filter((limit) => limit !== null);
}

/** Return a column's name for reading: "coverage", "share of tumour". */
export function columnTitle(name: string): string {
  if (name === "ratio") return "coverage";
  if (name === "tissue_id") return "piece of tissue";
  if (name.startsWith("label_")) return `share of ${name.slice("label_".length)}`;
  return name.startsWith("score_") ? name.slice("score_".length) : name;
}

/** Show a cell in an element. */
export function showCell(
  parent: HTMLElement,
  slide: SlideData,
  cells: Cells,
  cell: number,
  run: Decision,
  now: Decision,
  rules: Rules,
): void {
  const [row, column] = [Math.floor(cell / cells.nx), cell % cells.nx];
  const facts: [string, string][] = [
    ["row, column", `${row}, ${column}`],
    ["x, y", `${slide.x[column]!}, ${slide.y[row]!} px`],
    ...columnsOf(cells, cell).map(([name, value]): [string, string] => [
      columnTitle(name),
      shownValue(value, limitsOn(name, slide.rules, rules)),
    ]),
    ["in the run", reasonText(run.reasons[run.codes[cell]!]!)],
    ["with these limits", reasonText(now.reasons[now.codes[cell]!]!)],
  ];
  fill(parent, ...facts.map((pair) => fact(...pair)));
}

/** Return a cell in one sentence, for a screen reader. */
export function spokenCell(cells: Cells, cell: number, now: Decision, rules: Rules): string {
  return sentence(cells, cell, now, rules, (text) => text);
}

/** Return a cell in one short sentence, for a line over the picture: long names lose their middle. */
export function tipOf(cells: Cells, cell: number, now: Decision, rules: Rules): string {
  return sentence(cells, cell, now, rules, shortened);
}

function sentence(cells: Cells, cell: number, now: Decision, rules: Rules, named: (text: string) => string): string {
  const [row, column] = [Math.floor(cell / cells.nx), cell % cells.nx];
  const columns = columnsOf(cells, cell).map(
    ([name, value]) => `${named(columnTitle(name))} ${named(shownValue(value, limitsOn(name, rules)))}`,
  );
  return [`Row ${row}, column ${column}: ${named(reasonText(now.reasons[now.codes[cell]!]!))}`, ...columns].join(", ");
}

const LONGEST = 28;

/** Return a text without its middle if it is long. */
export function shortened(text: string): string {
  const letters = Array.from(text); // no half of a pair of surrogates
  const half = LONGEST / 2;
  return letters.length <= LONGEST ? text : `${letters.slice(0, half).join("")}…${letters.slice(1 - half).join("")}`;
}
