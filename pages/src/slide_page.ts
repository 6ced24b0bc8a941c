/** The page of a slide: slide.html?n=12. */

import type { SlideData } from "./data.ts";
import { byId, element, fill } from "./dom.ts";
import { load } from "./load.ts";
import { openViewer } from "./viewer.ts";

/** Show the slide that the address names. */
export async function slidePage(): Promise<void> {
  const n = Number(new URLSearchParams(location.search).get("n") ?? "0");
  const slide = await load<SlideData>(`data/slides/${String(n).padStart(6, "0")}.js`, `slide/${n}`);
  document.title = `${slide.slide_id} · tiler`;
  const view = element("div", { class: "view" });
  fill(byId("main"), element("h1", {}, slide.slide_id), element("p", {}, slide.resolution), view);
  if (slide.view !== null) openViewer(view, slide.view.src);
}
