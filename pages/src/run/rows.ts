/** The slides of a run as rows, from the columns of the data file. */

import { amount, type Cell, type RunData } from "../common/data.ts";

/** A slide of the run: what its card shows, and what the cards are sorted by. */
export interface Row {
  n: number;
  id: string;
  status: string;
  reason: string;
  code: string;
  candidates: number;
  kept: number;
  /** Cells below the threshold. */
  below: number;
  /** Cells that the sampler leaves out. */
  notSampled: number;
  /** Cells that reach the threshold, but that a filter or a label drops or that are unreadable. */
  dropped: number;
  /** Their share of the cells that reach the threshold; null where none does. */
  droppedShare: number | null;
  tissue: number | null;
  fraction: number | null;
  effective: number | null;
  mpp: number | null;
  mppSource: string;
  warnings: string;
  doubt: string;
  output: string;
  picture: string | null;
  data: string | null;
}

/** Return the rows of a run, in the order of slides.csv. */
export function rowsOf(run: RunData): Row[] {
  const { slides } = run;
  const drops = Object.keys(slides).filter((name) => name.startsWith("dropped"));
  return (slides.slide_id ?? []).map((id, n) => {
    const dropped = drops.reduce((sum, name) => sum + (amount(slides[name]?.[n]) ?? 0), 0);
    const candidates = amount(slides.candidates?.[n]) ?? 0;
    const below = amount(slides.below_threshold?.[n]) ?? 0;
    const reached = candidates - below;
    const text = (name: string): string => words(slides[name]?.[n]);
    const value = (name: string): number | null => amount(slides[name]?.[n]);
    return {
      n,
      id: words(id),
      status: text("status"),
      reason: text("reason"),
      code: text("code"),
      candidates,
      kept: value("kept") ?? 0,
      below,
      notSampled: value("not_sampled") ?? 0,
      dropped,
      droppedShare: reached > 0 ? dropped / reached : null,
      tissue: value("tissue_mm2"),
      fraction: value("mask_fraction"),
      effective: value("effective_mpp"),
      mpp: value("mpp"),
      mppSource: text("mpp_source"),
      warnings: text("warnings"),
      doubt: text("doubt"),
      output: text("output"),
      picture: text("picture") || null,
      data: text("data") || null,
    };
  });
}

function words(cell: Cell | undefined): string {
  return cell === null || cell === undefined ? "" : String(cell);
}
