/** The table of a sweep as CSV, made of the numbers on the page. */

import { csvField, pythonFloat } from "../common/changes.ts";
import type { Sweep } from "./data.ts";

const NUMBERS = ["coverage", "mask_fraction", "tissue_mm2", "effective_mpp"];

/** Return the table: a row for each job and slide, and for a job without slides one row. */
export function sweepCsv(sweep: Sweep): string {
  const numbers = NUMBERS.filter((name) => sweep.columns.has(name));
  const columns = ["status", "reason", ...sweep.counts, ...numbers];
  const rows = [["job", ...sweep.keys, "slide_id", ...columns]];
  sweep.jobs.forEach((job, number) => {
    const head = [job.name, ...sweep.keys.map((key) => job.settings[key] ?? "")];
    const before = rows.length;
    sweep.slides.forEach((slide, at) => {
      const cells = columns.map((name) => cellOf(sweep, name, number * sweep.slides.length + at));
      if (cells[0] !== "") rows.push([...head, slide.slide_id, ...cells]);
    });
    if (rows.length === before) {
      rows.push([...head, "", "failed", job.error || "no slide", ...columns.slice(2).map(() => "")]);
    }
  });
  return rows.map((row) => `${row.map(csvField).join(",")}\n`).join("");
}

function cellOf(sweep: Sweep, name: string, cell: number): string {
  const column = sweep.columns.get(name);
  if (column === undefined) return "";
  const value = column.numbers[cell]!;
  if (column.values !== null) return column.values[value] ?? "";
  if (NUMBERS.includes(name)) return pythonFloat(value);
  return value < 0 ? "" : String(value);
}
