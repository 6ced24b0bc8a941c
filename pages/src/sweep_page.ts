/** The page of a sweep. */

import { byId, element, fill } from "./dom.ts";
import { load } from "./load.ts";

interface SweepData {
  version: 1;
  name: string;
}

/** Show a sweep. */
export async function sweepPage(): Promise<void> {
  const sweep = await load<SweepData>("data/sweep.js", "sweep");
  fill(byId("main"), element("h1", {}, sweep.name));
}
