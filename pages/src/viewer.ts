/** The zoomable picture of a slide: OpenSeadragon with its canvas drawer. */

import OpenSeadragon from "openseadragon";

/** Show a picture in an element. */
export function openViewer(parent: HTMLElement, src: string): OpenSeadragon.Viewer {
  return OpenSeadragon({
    element: parent,
    tileSources: { type: "image", url: src },
    drawer: "canvas",
    showNavigationControl: false,
  });
}
