/** The page of a run. */

import type { RunData } from "./data.ts";
import { byId, element, fill } from "./dom.ts";
import { load } from "./load.ts";

/** Show a run. */
export async function runPage(): Promise<void> {
  const run = await load<RunData>("data/run.js", "run");
  fill(byId("main"), element("h1", {}, run.name), element("p", {}, run.words));
}
