/** Starts the page that the body names: run, slide or sweep. */

import { byId, element } from "./dom.ts";
import { acceptData } from "./load.ts";
import { runPage } from "./run_page.ts";
import { slidePage } from "./slide_page.ts";
import { sweepPage } from "./sweep_page.ts";

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
