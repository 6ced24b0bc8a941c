/** The place of level-0 pixels on a canvas. */

/** Where level-0 coordinates are on the screen: `x + level0 * scale`, in CSS pixels. */
export interface Frame {
  x: number;
  y: number;
  scale: number;
  width: number;
  height: number;
}

/** Left, top, width and height. */
export type Box = [number, number, number, number];

/** Return a box of level-0 pixels in CSS pixels. */
export function framed(frame: Frame, [x0, y0, width0, height0]: Box): Box {
  return [frame.x + x0 * frame.scale, frame.y + y0 * frame.scale, width0 * frame.scale, height0 * frame.scale];
}

/** Fit a canvas to its frame and the screen's pixels, clear it, and return its pen in CSS pixels. */
export function fitted(canvas: HTMLCanvasElement, frame: Frame): CanvasRenderingContext2D {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(frame.width * ratio), Math.round(frame.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const pen = canvas.getContext("2d")!;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, frame.width, frame.height);
  return pen;
}
