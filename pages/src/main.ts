/** Starts the page that the body names: run, slide or sweep. */

import { byId, element } from "./common/dom.ts";
import { acceptData } from "./common/load.ts";
import { runPage } from "./run/page.ts";
import { slidePage } from "./slide/page.ts";
import { sweepPage } from "./sweep/page.ts";

const PAGES: Record<string, () => Promise<void>> = {
  run: runPage,
  slide: slidePage,
  sweep: sweepPage,
};

async function start(): Promise<void> {
  try {
    await PAGES[document.body.dataset.page ?? ""]?.();
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    byId("main").prepend(element("p", { class: "problem", role: "alert" }, problem));
  }
}

acceptData();
void start();
