/** The page of a slide: slide.html?n=12. */

import { workbench } from "./workbench.ts";
import { addressOf, type Limits, overridden, overrides, readOverrides } from "../common/changes.ts";
import type { RunData, SlideData } from "../common/data.ts";
import { cellsOf, decide, runDecision } from "../common/decide.ts";
import { byId, element } from "../common/dom.ts";
import { load } from "../common/load.ts";
import { samplesIn } from "./samples.ts";
import { addNote, linkNeighbours, rowOf, showRow } from "./facts.ts";
import { showCohort } from "./cohort_counts.ts";

/** Show the slide that the address names. */
export async function slidePage(): Promise<void> {
  const n = Number(new URLSearchParams(location.search).get("n") ?? "0");
  const run = await load<RunData>("data/run.js", "run").catch(() => null);
  const known = run?.slides.data?.[n];
  if (run !== null && !known) {
    showWithoutData(run, n);
    return;
  }
  const slide = await load<SlideData>(`data/slides/${String(n).padStart(6, "0")}.js`, `slide/${n}`);
  const shown = await showSlide(slide);
  if (run === null) return;
  showWords(run.words, slide.set_by_table);
  linkNeighbours(run, n, shown.hash);
  shown.follow(showCohort(run, shown.limits));
}

function showTitle(title: string): void {
  byId("title").textContent = title;
  document.title = `${title} · tiler`;
}

/** Show the settings of the run in words, and what a table sets for the slide. */
function showWords(words: string, own = ""): void {
  byId("words").textContent = own ? `${words}; for this one: ${own}` : words;
}

/** Show a slide that has no data: it failed, or it was not reached. */
function showWithoutData(run: RunData, n: number): void {
  const row = rowOf(run, n);
  showTitle(row === null ? "No such slide" : String(row.slide_id));
  showWords(run.words);
  if (row === null) {
    addNote("The run has no slide of this number. Go back to all slides.", "problem");
    return;
  }
  showRow(row);
  byId("row-part").hidden = false;
  if (row.picture) byId("notes").append(element("img", { src: String(row.picture), alt: `Picture of ${String(row.slide_id)}` }));
  if (!row.reason) addNote("The report has no data of this slide: run tiler-report again.");
  linkNeighbours(run, n, () => location.hash);
}

/** Return the text behind the # of the address; empty if it is not valid. */
function hashText(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

interface Shown {
  /** The limits that the page's overrides set. */
  limits: () => Limits;
  /** The chosen limits for the address of another slide. */
  hash: () => string;
  /** Call a function when the limits rest. */
  follow: (changed: () => void) => void;
}

async function showSlide(slide: SlideData): Promise<Shown> {
  showTitle(slide.slide_id);
  showRow(slide.row);
  byId("row-part").hidden = false;
  if (slide.stale) addNote(slide.stale);
  const [cells, run] = await Promise.all([cellsOf(slide), runDecision(slide)]);
  const hash = (words: string): string => (words ? `#${encodeURIComponent(words)}` : "");
  let follower = (): void => undefined;
  const start = readOverrides(slide.rules, hashText());
  const found = workbench(slide, cells, run, start, (rules) => {
    follower();
    history.replaceState(null, "", hash(addressOf(slide.rules, rules)) || location.pathname + location.search);
  });
  if (slide.samples.length) {
    byId("samples-part").hidden = false;
    samplesIn(byId("samples"), slide, found.find);
  }
  if (slide.rules.sampler?.exact !== false && run.kept !== decide(cells, slide.rules).kept) {
    addNote("This page counts other tiles than the run for the same limits: its data are out of date. Run tiler-report again.");
  }
  const follow = (next: () => void): void => {
    follower = next;
  };
  const limits = (): Limits => overridden(slide.rules, found.rules());
  return { limits, hash: () => hash(overrides(slide.rules, found.rules())), follow };
}
