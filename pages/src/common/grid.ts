/** Draws the cells of a slide over its picture: one pixel per cell, boxes where they are large. */

import type { SlideData } from "./data.ts";
import { type Decision, KEPT } from "./decide.ts";
import { type Frame, fitted, framed } from "./frame.ts";
import { type Look, cssColour, patternTile } from "./reasons.ts";

export interface Grid {
  /** Take the colours of a decision; reasons that are not shown are left out. */
  paint: (decision: Decision, looks: Look[], shown: Set<string>) => void;
  draw: (frame: Frame, cursor: number | null, outline: boolean) => void;
  /** Return the cell at a place in level-0 pixels; null outside the grid. */
  cellAt: (x0: number, y0: number) => number | null;
}

/** Cells of at least so many CSS pixels are drawn as boxes with patterns, then with letters. */
const BOXES = 7;
const LETTERS = 56;

/** A stretch of columns or rows at a constant distance. */
interface Stretch {
  from: number;
  count: number;
  start0: number;
  step0: number;
}

/** Make the overlay of a slide on a canvas. */
export function gridOn(canvas: HTMLCanvasElement, slide: SlideData): Grid {
  const [nx, ny] = [slide.x.length, slide.y.length];
  const pixels = document.createElement("canvas");
  pixels.width = Math.max(nx, 1);
  pixels.height = Math.max(ny, 1);
  const ink = pixels.getContext("2d")!;
  const image = ink.createImageData(pixels.width, pixels.height);
  const words = new Uint32Array(image.data.buffer);
  const across = stretches(slide.x, slide.x0, slide.width0);
  const down = stretches(slide.y, slide.y0, slide.height0);
  const rings = outlineOf(slide);
  let codes: Decision["codes"] = new Uint8Array(nx * ny);
  let looks: Look[] = [];
  let visible: boolean[] = [];
  let tiles: HTMLCanvasElement[] = [];

  const paint: Grid["paint"] = (decision, found, shown) => {
    codes = decision.codes;
    if (looks.map((look) => look.reason).join() !== found.map((look) => look.reason).join()) {
      tiles = found.map(patternTile);
    }
    looks = found;
    visible = looks.map((look) => shown.has(look.reason));
    const palette = Uint32Array.from(looks, (look, index) => (visible[index]! ? rgba(look) : 0));
    for (let cell = 0; cell < codes.length; cell++) words[cell] = palette[codes[cell]!]!;
    ink.putImageData(image, 0, 0);
  };

  const boxes = (pen: CanvasRenderingContext2D, frame: Frame): void => {
    const [left, right] = between(slide.x0, slide.width0, -frame.x / frame.scale, (frame.width - frame.x) / frame.scale);
    const [top, bottom] = between(slide.y0, slide.height0, -frame.y / frame.scale, (frame.height - frame.y) / frame.scale);
    const letters = slide.width0[0]! * frame.scale >= LETTERS;
    const fine = Math.min(1, (slide.width0[0]! * frame.scale) / LETTERS + 0.4); // small cells have faint frames
    const paths = looks.map(() => new Path2D());
    const text: [string, number, number][] = [];
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        const code = codes[row * nx + column]!;
        if (!visible[code]) continue;
        const [x, y, width, height] = framed(frame, [slide.x0[column]!, slide.y0[row]!, slide.width0[column]!, slide.height0[row]!]);
        const inset = letters ? 1 : 0.5; // neighbours stay apart
        paths[code]!.rect(x + inset, y + inset, width - 2 * inset, height - 2 * inset);
        if (letters) text.push([looks[code]!.letter, x + 4, y + 14]);
      }
    }
    paths.forEach((path, index) => {
      const look = looks[index]!;
      pen.fillStyle = pen.createPattern(tiles[index]!, "repeat")!;
      pen.fill(path);
      pen.strokeStyle = cssColour(look, letters ? look.frame : look.frame * fine);
      pen.lineWidth = letters && look.reason === KEPT ? 2 : 1;
      pen.stroke(path);
    });
    pen.font = "600 11px system-ui, sans-serif";
    pen.lineWidth = 2.5;
    pen.strokeStyle = "rgb(255 255 255 / 0.8)";
    pen.fillStyle = "#10151b";
    for (const place of text) {
      pen.strokeText(...place);
      pen.fillText(...place);
    }
  };

  const draw: Grid["draw"] = (frame, cursor, outline) => {
    const pen = fitted(canvas, frame);
    if (nx * ny && slide.width0[0]! * frame.scale >= BOXES) {
      boxes(pen, frame);
    } else {
      for (const h of across) {
        for (const v of down) {
          pen.imageSmoothingEnabled = h.step0 * frame.scale < 1;
          const place = framed(frame, [h.start0, v.start0, h.count * h.step0, v.count * v.step0]);
          pen.drawImage(pixels, h.from, v.from, h.count, v.count, ...place);
        }
      }
    }
    if (outline) drawOutline(pen, rings, frame);
    if (cursor !== null) drawCursor(pen, slide, frame, cursor % nx, Math.floor(cursor / nx));
  };

  const cellAt: Grid["cellAt"] = (x0, y0) => {
    const column = indexAt(slide.x0, slide.width0, x0);
    const row = indexAt(slide.y0, slide.height0, y0);
    return column === null || row === null ? null : row * nx + column;
  };
  return { paint, draw, cellAt };
}

function rgba(look: Look): number {
  const bytes = Uint8Array.of(...look.colour, Math.round(look.opacity * 255));
  return new Uint32Array(bytes.buffer)[0]!;
}

function drawCursor(pen: CanvasRenderingContext2D, slide: SlideData, frame: Frame, column: number, row: number): void {
  const [x, y, width, height] = framed(frame, [slide.x0[column]!, slide.y0[row]!, slide.width0[column]!, slide.height0[row]!]);
  for (const [line, colour] of [[5, "#ffffff"], [2, "#000000"]] as const) {
    pen.lineWidth = line;
    pen.strokeStyle = colour;
    pen.strokeRect(x - 1, y - 1, Math.max(width + 2, 6), Math.max(height + 2, 6));
  }
}

/** Return the tissue's outline as one path in level-0 pixels. */
function outlineOf(slide: SlideData): Path2D {
  const path = new Path2D();
  for (const ring of slide.outline) {
    path.moveTo(ring[0]!, ring[1]!);
    for (let at = 2; at + 1 < ring.length; at += 2) path.lineTo(ring[at]!, ring[at + 1]!);
    path.closePath();
  }
  return path;
}

function drawOutline(pen: CanvasRenderingContext2D, rings: Path2D, frame: Frame): void {
  const moved = new Path2D();
  moved.addPath(rings, new DOMMatrix([frame.scale, 0, 0, frame.scale, frame.x, frame.y]));
  for (const [width, colour] of [[2.25, "rgb(255 255 255 / 0.7)"], [1, "#0b6b43"]] as const) {
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.stroke(moved);
  }
}

/** Return the stretches of places at a constant distance; the last column may be shifted. */
function stretches(places: number[], starts0: number[], sizes0: number[]): Stretch[] {
  const found: Stretch[] = [];
  for (let from = 0; from < places.length; ) {
    let end = from + 1;
    const step = places[end]! - places[from]!;
    while (end < places.length && step === places[end]! - places[end - 1]!) end++;
    const count = end - from;
    const step0 = count > 1 ? (starts0[end - 1]! - starts0[from]!) / (count - 1) : sizes0[from]!;
    found.push({ from, count, start0: starts0[from]!, step0 });
    from = end;
  }
  return found;
}

/** Return the first index whose place is above a value; places rise. */
function above(places: number[], value: number): number {
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle]! > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

function between(starts: number[], sizes: number[], low: number, high: number): [number, number] {
  return [Math.max(above(starts, low - (sizes[0] ?? 0)) - 1, 0), above(starts, high)];
}

function indexAt(starts: number[], sizes: number[], value: number): number | null {
  const index = above(starts, value) - 1;
  return index >= 0 && value < starts[index]! + sizes[index]! ? index : null;
}
