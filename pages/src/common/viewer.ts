/** The zoomable picture of a slide: OpenSeadragon with its canvas drawer, the grid over it. */

import OpenSeadragon from "openseadragon";
import type { SlideData } from "./data.ts";
import { element } from "./dom.ts";
import type { Frame } from "./grid.ts";
import { keepStyleOut } from "./no_style.ts";

export interface View {
  canvas: HTMLCanvasElement;
  frame: () => Frame;
  /** Show a box of level-0 pixels, with some of its surroundings. */
  show: (x0: number, y0: number, width0: number, height0: number) => void;
  pan: (x0: number, y0: number) => void;
  /** Zoom around a place in level-0 pixels; around the centre without one. */
  zoom: (factor: number, around: [number, number] | null) => void;
  home: () => void;
}

interface Handlers {
  /** The picture was moved, resized or loaded. */
  moved: () => void;
  /** The pointer is at a place in level-0 pixels; null where it left the picture. */
  pointed: (place: [number, number] | null) => void;
  chosen: (place: [number, number]) => void;
}

const LABEL =
  "Picture of the slide with its grid. Arrow keys move from cell to cell, plus and minus zoom, 0 shows the whole slide.";

/** Build the picture of a slide in an element. */
export function openView(parent: HTMLElement, slide: SlideData, handlers: Handlers): View {
  const picture = element("div", { class: "view-picture" });
  const canvas = element("canvas", { class: "view-grid", "aria-hidden": "true" });
  parent.append(picture, canvas);
  for (const [name, value] of Object.entries({ tabindex: "0", role: "application", "aria-label": LABEL })) {
    parent.setAttribute(name, value);
  }
  keepStyleOut();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const viewer = OpenSeadragon({
    element: picture,
    tileSources: { type: "image", url: slide.view?.src ?? blank(slide.bounds) },
    drawer: "canvas",
    showNavigationControl: false,
    animationTime: still ? 0 : 0.4,
    maxZoomPixelRatio: 32,
    minZoomImageRatio: 0.7,
    visibilityRatio: 0.5,
    gestureSettingsMouse: { clickToZoom: false },
    gestureSettingsTouch: { clickToZoom: false },
  });
  viewer.canvas.tabIndex = -1; // the element around it has the keys
  const scale = (): number => (slide.view?.width ?? BLANK) / slide.bounds[2]; // of the picture
  const { viewport } = viewer;

  const frame = (): Frame => {
    const { clientWidth: width, clientHeight: height } = picture;
    const item = viewer.world.getItemAt(0) as OpenSeadragon.TiledImage | undefined;
    if (item === undefined) return { x: 0, y: 0, scale: 1, width, height };
    const start = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
    const end = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(1000, 0));
    const found = ((end.x - start.x) / 1000) * scale();
    return {
      x: start.x - slide.bounds[0] * found,
      y: start.y - slide.bounds[1] * found,
      scale: found,
      width,
      height,
    };
  };
  const place = (x: number, y: number): [number, number] => {
    const { x: left, y: top, scale: factor } = frame();
    return [(x - left) / factor, (y - top) / factor];
  };

  for (const event of ["open", "update-viewport", "resize"] as const) {
    viewer.addHandler(event, handlers.moved);
  }
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    if (event.buttons === 0) handlers.pointed(place(event.clientX - box.left, event.clientY - box.top));
  });
  picture.addEventListener("pointerleave", () => {
    handlers.pointed(null);
  });
  viewer.addHandler("canvas-click", (event) => {
    if (event.quick) handlers.chosen(place(event.position.x, event.position.y));
    parent.focus({ preventScroll: true });
  });
  const point = (x0: number, y0: number): OpenSeadragon.Point =>
    viewport.imageToViewportCoordinates((x0 - slide.bounds[0]) * scale(), (y0 - slide.bounds[1]) * scale());
  return {
    canvas,
    frame,
    show: (x0, y0, width0, height0) => {
      const around = 2 * Math.max(width0, height0);
      const [from, to] = [point(x0 - around, y0 - around), point(x0 + width0 + around, y0 + height0 + around)];
      viewport.fitBoundsWithConstraints(new OpenSeadragon.Rect(from.x, from.y, to.x - from.x, to.y - from.y));
    },
    pan: (x0, y0) => {
      viewport.panTo(point(x0, y0));
    },
    zoom: (factor, around) => {
      if (around === null) viewport.zoomBy(factor);
      else viewport.zoomBy(factor, point(...around));
      viewport.applyConstraints();
    },
    home: () => {
      viewport.goHome();
    },
  };
}

const BLANK = 400;

/** Return an empty picture in the shape of a slide that has none. */
export function blank(bounds: SlideData["bounds"]): string {
  const canvas = element("canvas", {
    width: BLANK,
    height: Math.max(1, Math.round((BLANK * bounds[3]) / bounds[2])),
  });
  const pen = canvas.getContext("2d")!;
  pen.fillStyle = "#d3dae2";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  return canvas.toDataURL();
}
