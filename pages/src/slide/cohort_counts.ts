/** The count over all slides on the page of one slide. */

import type { Limits } from "../common/changes.ts";
import { cohortOf, type Count } from "../common/cohort.ts";
import type { RunData } from "../common/data.ts";
import { byId, whole } from "../common/dom.ts";

/**
 * Offer to count what the overrides of a slide's page keep on all slides.
 *
 * Returns the function to call when the limits change: it counts again, once the first count began.
 */
export function showCohort(run: RunData, limits: () => Limits): () => void {
  const nothing = (): void => undefined;
  const ids = run.slides.slide_id ?? [];
  const sources = ids.map((id, n) => ({ n, id: String(id), data: (run.slides.data?.[n] ?? null) as string | null }));
  if (sources.filter((source) => source.data !== null).length < 2) return nothing;
  const cohort = cohortOf(sources);
  const [part, start] = [byId("cohort-part"), byId("cohort-start")];
  let abort = new AbortController();
  const count = (): void => {
    abort.abort();
    abort = new AbortController();
    void cohort.count(limits(), abort.signal, (found) => {
      byId("cohort-count").textContent = words(found);
    });
  };
  part.hidden = false;
  start.addEventListener("click", () => {
    start.hidden = true;
    count();
  });
  return () => {
    if (start.hidden) count();
  };
}

function words(count: Count): string {
  const tiles = count.then === null ? "a number of tiles that the sampler decides" : `${whole(count.then)} tiles`;
  const progress = count.counted < count.total ? `${whole(count.counted)} of ${whole(count.total)} slides so far` : `all ${whole(count.total)} slides`;
  return `${progress}: ${tiles}, ${whole(count.now)} in the run.`;
}
