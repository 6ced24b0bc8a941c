/** A zoomable picture of a slide: OpenSeadragon with its canvas drawer, and a canvas over it. */

import OpenSeadragon from "openseadragon";
import { element } from "./dom.ts";
import type { Box, Frame } from "./frame.ts";
import { keepStyleOut } from "./no_style.ts";

type Place = [x0: number, y0: number];

export interface View {
  /** The canvas over the picture. */
  canvas: HTMLCanvasElement;
  frame: () => Frame;
  /** Show a slide, whole: its picture, if it has one, and its bounds in level-0 pixels. */
  open: (src: string | null, bounds: Box) => void;
  /** Show a box of level-0 pixels, with some of its surroundings. */
  show: (box: Box) => void;
  /** Move a place in level-0 pixels to the centre. */
  pan: (place: Place) => void;
  zoomIn: () => void;
  zoomOut: () => void;
  home: () => void;
  /** For `link` alone. */
  viewer: OpenSeadragon.Viewer;
}

interface Handlers {
  /** The picture was moved, resized or loaded. */
  moved: () => void;
  /** An arrow key was pressed; without a function the picture moves. */
  stepped?: (across: number, down: number) => void;
  /** The pointer is at a place in level-0 pixels; null where it left the picture. */
  pointed?: (place: Place | null) => void;
  chosen?: (place: Place) => void;
  /** Return the place around which keys and buttons zoom; null for the centre. */
  around?: () => Place | null;
}

const ZOOM = 1.5;
const STEP = 0.125; // of the picture that is in sight

/** Build a view in an element, which gets the keys; its label is read by screen readers. */
export function openView(parent: HTMLElement, label: string, handlers: Handlers): View {
  const picture = element("div", { class: "view-picture" });
  const canvas = element("canvas", { class: "view-grid", "aria-hidden": "true" });
  parent.append(picture, canvas);
  for (const [name, value] of Object.entries({ tabindex: "0", role: "application", "aria-label": label })) {
    parent.setAttribute(name, value);
  }
  const viewer = viewerIn(picture);
  const { viewport } = viewer;
  let bounds: Box = [0, 0, 1, 1];

  const item = (): OpenSeadragon.TiledImage | undefined => viewer.world.getItemAt(0);
  const point = (x0: number, y0: number): OpenSeadragon.Point => {
    const scale = (item()?.getContentSize().x ?? 1) / bounds[2]; // of the picture
    return viewport.imageToViewportCoordinates((x0 - bounds[0]) * scale, (y0 - bounds[1]) * scale);
  };
  const frame = (): Frame => {
    const { clientWidth: width, clientHeight: height } = picture;
    const found = item();
    if (found === undefined) return { x: 0, y: 0, scale: 1, width, height };
    const start = found.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
    const end = found.imageToViewerElementCoordinates(new OpenSeadragon.Point(found.getContentSize().x, 0));
    const scale = (end.x - start.x) / bounds[2];
    return { x: start.x - bounds[0] * scale, y: start.y - bounds[1] * scale, scale, width, height };
  };
  const placeAt = (x: number, y: number): Place => {
    const { x: left, y: top, scale } = frame();
    return [(x - left) / scale, (y - top) / scale];
  };
  const zoom = (factor: number) => (): void => {
    const around = handlers.around?.() ?? null;
    if (around === null) viewport.zoomBy(factor);
    else viewport.zoomBy(factor, point(...around));
    viewport.applyConstraints();
  };
  const step = (across: number, down: number): void => {
    const { width, height } = viewport.getBounds();
    viewport.panBy(new OpenSeadragon.Point(across * STEP * width, down * STEP * height)).applyConstraints();
  };
  const view: View = {
    canvas,
    frame,
    viewer,
    open: (src, found) => {
      bounds = found;
      viewer.open({ tileSource: { type: "image", url: src ?? blank(bounds) } });
    },
    show: ([x0, y0, width0, height0]) => {
      const around = 2 * Math.max(width0, height0);
      const [from, to] = [point(x0 - around, y0 - around), point(x0 + width0 + around, y0 + height0 + around)];
      viewport.fitBoundsWithConstraints(new OpenSeadragon.Rect(from.x, from.y, to.x - from.x, to.y - from.y));
    },
    pan: (place) => {
      viewport.panTo(point(...place));
    },
    zoomIn: zoom(ZOOM),
    zoomOut: zoom(1 / ZOOM),
    home: () => {
      viewport.goHome();
    },
  };
  for (const event of ["open", "update-viewport"] as const) viewer.addHandler(event, handlers.moved);
  followSize(picture, viewer, handlers.moved);
  viewer.addHandler("canvas-click", (event) => {
    if (event.quick) handlers.chosen?.(placeAt(event.position.x, event.position.y));
    parent.focus({ preventScroll: true });
  });
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    if (event.buttons === 0) handlers.pointed?.(placeAt(event.clientX - box.left, event.clientY - box.top));
  });
  picture.addEventListener("pointerleave", () => {
    handlers.pointed?.(null);
  });
  takeKeys(parent, view, handlers.stepped ?? step);
  return view;
}

function viewerIn(picture: HTMLElement): OpenSeadragon.Viewer {
  keepStyleOut();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const viewer = OpenSeadragon({
    element: picture,
    drawer: "canvas",
    showNavigationControl: false,
    autoResize: false, // see followSize
    animationTime: still ? 0 : 0.4,
    maxZoomPixelRatio: 32,
    minZoomImageRatio: 0.7,
    visibilityRatio: 0.5,
    gestureSettingsMouse: { clickToZoom: false },
    gestureSettingsTouch: { clickToZoom: false },
  });
  viewer.canvas.tabIndex = -1; // the element around it has the keys
  return viewer;
}

/**
 * Let a viewer follow the size of its element.
 *
 * OpenSeadragon's own way keeps the zoom: a slide that was in sight whole would be cut.
 */
function followSize(picture: HTMLElement, viewer: OpenSeadragon.Viewer, moved: () => void): void {
  new ResizeObserver(() => {
    const { viewport } = viewer;
    const { clientWidth: width, clientHeight: height } = picture;
    if (width === 0 || height === 0) return; // hidden
    const whole = nearly(viewport.getBounds(), viewport.getHomeBounds());
    viewport.resize(new OpenSeadragon.Point(width, height));
    if (whole) viewport.goHome(true);
    else viewport.applyConstraints(true);
    viewer.forceRedraw();
    moved();
  }).observe(picture);
}

/** Let two views move together. */
export function link(first: View, second: View): void {
  let busy = false; // moving a view calls the handlers of its own
  for (const [{ viewer: from }, { viewer: to }] of [[first, second], [second, first]] as const) {
    for (const event of ["viewport-change", "zoom", "pan"] as const) {
      from.addHandler(event, () => {
        const wanted = from.viewport.getBounds(true);
        if (busy || !from.isOpen() || !to.isOpen() || nearly(wanted, to.viewport.getBounds(true))) return;
        busy = true;
        to.viewport.fitBounds(wanted, true);
        busy = false;
      });
    }
  }
}

/** Return whether two boxes differ by rounding alone. */
function nearly(a: OpenSeadragon.Rect, b: OpenSeadragon.Rect): boolean {
  const most = 1e-6 * a.width;
  return (["x", "y", "width", "height"] as const).every((name) => Math.abs(a[name] - b[name]) <= most);
}

/** Let keys on an element move a view. */
function takeKeys(parent: HTMLElement, view: View, step: (across: number, down: number) => void): void {
  const keys: Record<string, () => void> = {
    ArrowLeft: () => { step(-1, 0); },
    ArrowRight: () => { step(1, 0); },
    ArrowUp: () => { step(0, -1); },
    ArrowDown: () => { step(0, 1); },
    "+": view.zoomIn,
    "=": view.zoomIn,
    "-": view.zoomOut,
    "0": view.home,
  };
  const pressed = (event: KeyboardEvent): void => {
    const key = keys[event.key];
    if (key === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    key();
  };
  parent.addEventListener("keydown", pressed, true); // before OpenSeadragon, which has keys of its own
}

const BLANK = 400;

/** Return an empty picture in the shape of a slide that has none. */
function blank(bounds: Box): string {
  const canvas = element("canvas", {
    width: BLANK,
    height: Math.max(1, Math.round((BLANK * bounds[3]) / bounds[2])),
  });
  const pen = canvas.getContext("2d")!;
  pen.fillStyle = "#d3dae2";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  return canvas.toDataURL();
}
