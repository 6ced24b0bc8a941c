/** Draws tiles and areas of a comparison: colour, hatching and a letter. */

import { BOTH } from "./compare_tiles.ts";
import type { AreaMap } from "./compare_tiles.ts";
import type { Tiles } from "./data.ts";
import { type Box, fitted, type Frame, framed } from "../common/frame.ts";

/** Draws over a picture with a pen that is cleared, in CSS pixels. */
export type Draw = (pen: CanvasRenderingContext2D, frame: Frame) => void;

/** The look of tiles that one setting keeps alone. */
export interface Mark {
  letter: string;
  colour: string;
  /** The direction of the hatching: 1 rises, -1 falls. */
  slope: 1 | -1;
}

export const LOST: Mark = { letter: "L", colour: "#d95f02", slope: 1 };
export const GAINED: Mark = { letter: "G", colour: "#7b3fe4", slope: -1 };

const BOTH_COLOUR = "#0072b2";

const SMALL = 6; // CSS pixels; smaller tiles have no outline
const LETTER = 20;

/** Return the drawing of a setting's tiles; `marks` say which of them it keeps alone. */
export function tilesDrawing(tiles: Tiles, marks: Uint8Array, mark: Mark): Draw {
  const raster = rasterOf(tiles, (cell) => marks[cell]!, channels(BOTH_COLOUR, 60), channels(mark.colour, 130));
  const alone = rasterOf(tiles, (cell) => marks[cell]!, CLEAR, channels(mark.colour, 255));
  return (pen, frame) => {
    const hatch = hatching(pen, mark);
    if (areSmall(tiles, frame)) {
      drawRaster(pen, frame, tiles, raster);
      drawRaster(pen, frame, tiles, alone, hatch);
      return;
    }
    eachVisible(tiles, frame, (cell, place) => {
      const alone = marks[cell] !== BOTH;
      pen.fillStyle = alone ? `${mark.colour}73` : `${BOTH_COLOUR}2e`;
      pen.fillRect(...place);
      outlined(pen, place, alone ? mark.colour : BOTH_COLOUR);
      if (!alone) return;
      pen.fillStyle = hatch;
      pen.fillRect(...place);
      if (Math.min(place[2], place[3]) >= LETTER) lettered(pen, place, mark);
    });
  };
}

function areSmall(tiles: Tiles, frame: Frame): boolean {
  return (tiles.width0[0] ?? 0) * frame.scale < SMALL;
}

const CLEAR = 0;

/** Return a picture with a pixel for each cell, for tiles that are small on the screen. */
function rasterOf(tiles: Tiles, markOf: (cell: number) => number, both: number, alone: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, tiles.x0.length), Math.max(1, tiles.y0.length)];
  const context = canvas.getContext("2d");
  if (context === null || tiles.kept.length === 0) return canvas;
  const picture = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let cell = 0; cell < pixels.length; cell++) {
    if (tiles.kept[cell]) pixels[cell] = markOf(cell) === BOTH ? both : alone;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** Return a colour as one number of four bytes, red first. */
function channels(colour: string, alpha: number): number {
  const value = Number.parseInt(colour.slice(1), 16);
  return new Uint32Array(Uint8Array.of(value >> 16, (value >> 8) & 255, value & 255, alpha).buffer)[0]!;
}

/** Draw a picture of cells at their place; with a pattern instead of its colours, if one is given. */
function drawRaster(
  pen: CanvasRenderingContext2D, frame: Frame, tiles: Tiles, raster: HTMLCanvasElement, pattern: CanvasPattern | string = "",
): void {
  if (tiles.kept.length === 0) return;
  const [x0, y0] = [tiles.x0[0]!, tiles.y0[0]!];
  const place = framed(frame, [x0, y0, endOf(tiles.x0, tiles.width0) - x0, endOf(tiles.y0, tiles.height0) - y0]);
  const sheet = pattern === "" ? pen : fitted(document.createElement("canvas"), frame);
  sheet.imageSmoothingEnabled = false;
  sheet.drawImage(raster, ...place);
  if (pattern === "") return;
  sheet.globalCompositeOperation = "source-in";
  sheet.fillStyle = pattern;
  sheet.fillRect(0, 0, frame.width, frame.height);
  pen.drawImage(sheet.canvas, 0, 0, frame.width, frame.height);
}

/** Return where an axis would end if all of its cells were as far apart as the first two. */
function endOf(starts: ArrayLike<number>, lengths: ArrayLike<number>): number {
  const stride = starts.length > 1 ? starts[1]! - starts[0]! : lengths[0]!;
  return starts[0]! + stride * starts.length;
}

/** Call a function for each kept tile in sight: its cell, and its box in CSS pixels. */
function eachVisible(tiles: Tiles, frame: Frame, call: (cell: number, place: Box) => void): void {
  const columns = tiles.x0.length;
  for (let row = 0; row < tiles.y0.length; row++) {
    for (let column = 0; column < columns; column++) {
      if (!tiles.kept[row * columns + column]) continue;
      const place = visible(frame, [tiles.x0[column]!, tiles.y0[row]!, tiles.width0[column]!, tiles.height0[row]!]);
      if (place !== null) call(row * columns + column, place);
    }
  }
}

/** Return the drawing of a setting's tiles, with the area marked that it covers alone. */
export function areasDrawing(tiles: Tiles, map: AreaMap, bit: number, mark: Mark): Draw {
  const raster = rasterOf(tiles, () => BOTH, channels(BOTH_COLOUR, 60), CLEAR);
  return (pen, frame) => {
    const hatch = hatching(pen, mark);
    const small = areSmall(tiles, frame);
    if (small) drawRaster(pen, frame, tiles, raster);
    eachRun(map, bit, (box) => {
      const place = visible(frame, box);
      if (place === null) return;
      pen.fillStyle = `${mark.colour}73`;
      pen.fillRect(...place);
      pen.fillStyle = hatch;
      pen.fillRect(...place);
    });
    if (small) return;
    eachVisible(tiles, frame, (_, place) => { outlined(pen, place, BOTH_COLOUR); });
  };
}

/** Call a function for each run of cells of a row that only one setting covers. */
export function eachRun(map: AreaMap, bit: number, call: (box: Box) => void): void {
  const width = map.xs.length - 1;
  for (let row = 0; row + 1 < map.ys.length; row++) {
    for (let column = 0; column < width; column++) {
      if (map.marks[row * width + column] !== bit) continue;
      const first = column;
      while (column + 1 < width && map.marks[row * width + column + 1] === bit) column++;
      const [x, y] = [map.xs[first]!, map.ys[row]!];
      call([x, y, map.xs[column + 1]! - x, map.ys[row + 1]! - y]);
    }
  }
}

/** Return a box in CSS pixels; null if none of it is visible. */
function visible(frame: Frame, box: Box): Box | null {
  const [x, y, width, height] = framed(frame, box);
  return x + width < 0 || y + height < 0 || x > frame.width || y > frame.height ? null : [x, y, width, height];
}

/** Draw an outline with a light edge, which shows on dark and on bright slides. */
function outlined(pen: CanvasRenderingContext2D, [x, y, width, height]: Box, colour: string): void {
  for (const [line, stroke] of [[2.5, "#ffffff99"], [1.25, colour]] as const) {
    pen.lineWidth = line;
    pen.strokeStyle = stroke;
    pen.strokeRect(x + 1, y + 1, width - 2, height - 2);
  }
}

function lettered(pen: CanvasRenderingContext2D, [x, y, width, height]: Box, mark: Mark): void {
  pen.font = `700 ${Math.min(0.5 * Math.min(width, height), 22)}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineWidth = 3;
  pen.strokeStyle = "#ffffff";
  pen.strokeText(mark.letter, x + width / 2, y + height / 2);
  pen.fillStyle = "#1a1a1a";
  pen.fillText(mark.letter, x + width / 2, y + height / 2);
}

const HATCH = 8; // CSS pixels

function hatching(pen: CanvasRenderingContext2D, mark: Mark): CanvasPattern | string {
  const side = Math.round(HATCH * (window.devicePixelRatio || 1)); // of the screen's pixels: sharp
  const small = document.createElement("canvas");
  [small.width, small.height] = [side, side];
  const ink = small.getContext("2d")!;
  ink.strokeStyle = mark.colour;
  ink.lineWidth = side / 5;
  for (const shift of [-side, 0, side]) {
    ink.beginPath();
    ink.moveTo(shift, mark.slope > 0 ? side : 0);
    ink.lineTo(shift + side, mark.slope > 0 ? 0 : side);
    ink.stroke();
  }
  const pattern = pen.createPattern(small, "repeat");
  pattern?.setTransform(new DOMMatrix().scale(HATCH / side));
  return pattern ?? mark.colour;
}
