/** One side of a comparison: the slide's picture with tiles drawn over it, which zooms. */

import OpenSeadragon from "openseadragon";
import { element } from "../common/dom.ts";
import { keepStyleOut } from "../common/no_style.ts";
import { blank } from "../common/viewer.ts";

/** The transform from level-0 pixels to pixels of the canvas. */
export interface Frame {
  x: (x0: number) => number;
  y: (y0: number) => number;
  width: number;
  height: number;
}

export type Draw = (context: CanvasRenderingContext2D, frame: Frame) => void;

/** A picture that zooms; `link` makes two of them move together. */
export class TileView {
  private draw: Draw = () => undefined;
  private readonly canvas = element("canvas", { class: "tiles", "aria-hidden": "true" });
  private readonly viewer: OpenSeadragon.Viewer;
  private bounds: [number, number, number, number] = [0, 0, 1, 1];

  /** Open a viewer in an element; its label is read by screen readers. */
  constructor(parent: HTMLElement, label: string) {
    parent.setAttribute("role", "group");
    parent.setAttribute("aria-label", label);
    keepStyleOut();
    this.viewer = OpenSeadragon({
      element: parent,
      drawer: "canvas",
      showNavigationControl: false,
      maxZoomPixelRatio: 16,
      visibilityRatio: 0.5,
      animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.4,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    });
    this.viewer.canvas.append(this.canvas);
    this.viewer.canvas.setAttribute("role", "application"); // keys go to the picture
    this.viewer.canvas.setAttribute("aria-label", `${label}; arrow keys move, plus and minus zoom, 0 shows all`);
    for (const event of ["update-viewport", "open", "resize"] as const) {
      this.viewer.addHandler(event, () => { this.redraw(); });
    }
  }

  /** Show another slide; `src` may be null where there is no picture. */
  open(src: string | null, bounds: [number, number, number, number]): void {
    this.bounds = bounds;
    this.viewer.open({ tileSource: { type: "image", url: src ?? blank(bounds) } });
  }

  /** Draw other tiles. */
  show(draw: Draw): void {
    this.draw = draw;
    this.redraw();
  }

  /** Follow the movements of another view. */
  follow(other: TileView): void {
    other.viewer.addHandler("viewport-change", () => { this.moveTo(other); });
    other.viewer.addHandler("zoom", () => { this.moveTo(other); });
    other.viewer.addHandler("pan", () => { this.moveTo(other); });
  }

  /** Zoom by a factor, or show all for 0. */
  zoom(factor: number): void {
    if (factor === 0) this.viewer.viewport.goHome();
    else this.viewer.viewport.zoomBy(factor).applyConstraints();
  }

  private following = false;

  private moveTo(other: TileView): void {
    if (other.following || !this.viewer.isOpen() || !other.viewer.isOpen()) return;
    this.following = true;
    this.viewer.viewport.fitBounds(other.viewer.viewport.getBounds(true), true);
    this.following = false;
  }

  private redraw(): void {
    const size = this.viewer.viewport.getContainerSize();
    const ratio = globalThis.devicePixelRatio;
    const [width, height] = [Math.round(size.x * ratio), Math.round(size.y * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      [this.canvas.width, this.canvas.height] = [width, height];
    }
    const context = this.canvas.getContext("2d");
    const item = this.viewer.world.getItemAt(0) as OpenSeadragon.TiledImage | undefined;
    if (context === null || item === undefined) return;
    context.clearRect(0, 0, width, height);
    const place = item.getBounds(true);
    const corner = this.viewer.viewport.viewportToViewerElementCoordinates(place.getTopLeft());
    const end = this.viewer.viewport.viewportToViewerElementCoordinates(place.getBottomRight());
    const [x0, y0, width0, height0] = this.bounds;
    const across = ((end.x - corner.x) * ratio) / width0;
    const down = ((end.y - corner.y) * ratio) / height0;
    const frame = {
      x: (x: number) => corner.x * ratio + (x - x0) * across,
      y: (y: number) => corner.y * ratio + (y - y0) * down,
      width,
      height,
    };
    this.draw(context, frame);
  }
}
