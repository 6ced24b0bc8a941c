/** Rows for tests. */

import type { Row } from "../src/run/rows.ts";

/** Return a finished slide of ordinary values, with some of them changed. */
export function row(n: number, changes: Partial<Row> = {}): Row {
  return {
    n,
    id: `slide-${n}`,
    status: "done",
    reason: "",
    code: "",
    candidates: 100,
    kept: 40,
    below: 58,
    notSampled: 0,
    dropped: 2,
    droppedShare: 0.05,
    tissue: 100 + (n % 7),
    fraction: 0.4,
    effective: 0.5,
    mpp: 0.25 + (n % 3) / 1000,
    mppSource: "openslide.mpp-x",
    warnings: "",
    doubt: "",
    output: "current",
    picture: null,
    data: null,
    ...changes,
  };
}

/** Return ordinary slides, some of which are changed. */
export function rows(count: number, changed: Record<number, Partial<Row>> = {}): Row[] {
  return Array.from({ length: count }, (_, n) => row(n, changed[n]));
}
