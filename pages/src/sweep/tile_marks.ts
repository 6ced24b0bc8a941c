/** Draws tiles and areas of a comparison: colour, hatching and a letter. */

import { BOTH } from "./compare_tiles.ts";
import type { AreaMap } from "./compare_tiles.ts";
import type { Tiles } from "./data.ts";
import type { Draw, Frame } from "./tile_view.ts";

/** The look of tiles that one setting keeps alone. */
export interface Mark {
  letter: string;
  colour: string;
  /** The direction of the hatching: 1 rises, -1 falls. */
  slope: 1 | -1;
}

export const LOST: Mark = { letter: "L", colour: "#d95f02", slope: 1 };
export const GAINED: Mark = { letter: "G", colour: "#7b3fe4", slope: -1 };
type Box = [number, number, number, number];

const BOTH_COLOUR = "#0072b2";

const SMALL = 6; // pixels of the screen; smaller tiles have no outline
const LETTER = 20;

/** Return the drawing of a setting's tiles; `marks` say which of them it keeps alone. */
export function tilesDrawing(tiles: Tiles, marks: Uint8Array, mark: Mark): Draw {
  const raster = rasterOf(tiles, (cell) => marks[cell]!, channels(BOTH_COLOUR, 60), channels(mark.colour, 130));
  const alone = rasterOf(tiles, (cell) => marks[cell]!, CLEAR, channels(mark.colour, 255));
  return (context, frame) => {
    const ratio = globalThis.devicePixelRatio;
    const hatch = hatching(context, mark);
    if (areSmall(tiles, frame, ratio)) {
      drawRaster(context, frame, tiles, raster);
      drawRaster(context, frame, tiles, alone, hatch);
      return;
    }
    eachVisible(tiles, frame, (cell, place) => {
      const alone = marks[cell] !== BOTH;
      context.fillStyle = alone ? `${mark.colour}73` : `${BOTH_COLOUR}2e`;
      context.fillRect(...place);
      outlined(context, place, alone ? mark.colour : BOTH_COLOUR, ratio);
      if (!alone) return;
      context.fillStyle = hatch;
      context.fillRect(...place);
      if (Math.min(place[2], place[3]) >= LETTER * ratio) lettered(context, place, mark, ratio);
    });
  };
}

function areSmall(tiles: Tiles, frame: Frame, ratio: number): boolean {
  return frame.x(tiles.width0[0] ?? 0) - frame.x(0) < SMALL * ratio;
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
  context: CanvasRenderingContext2D, frame: Frame, tiles: Tiles, raster: HTMLCanvasElement, pattern: CanvasPattern | string = "",
): void {
  if (tiles.kept.length === 0) return;
  const [left, top] = [frame.x(tiles.x0[0]!), frame.y(tiles.y0[0]!)];
  const right = frame.x(endOf(tiles.x0, tiles.width0));
  const bottom = frame.y(endOf(tiles.y0, tiles.height0));
  const sheet = pattern === "" ? context.canvas : document.createElement("canvas");
  if (pattern !== "") [sheet.width, sheet.height] = [frame.width, frame.height];
  const pen = sheet.getContext("2d");
  if (pen === null) return;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(raster, left, top, right - left, bottom - top);
  if (pattern === "") return;
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = pattern;
  pen.fillRect(0, 0, frame.width, frame.height);
  context.drawImage(sheet, 0, 0);
}

/** Return where an axis would end if all of its cells were as far apart as the first two. */
function endOf(starts: ArrayLike<number>, lengths: ArrayLike<number>): number {
  const stride = starts.length > 1 ? starts[1]! - starts[0]! : lengths[0]!;
  return starts[0]! + stride * starts.length;
}

/** Call a function for each kept tile in sight: its cell, and its box in pixels of the canvas. */
function eachVisible(tiles: Tiles, frame: Frame, call: (cell: number, place: Box) => void): void {
  const columns = tiles.x0.length;
  for (let row = 0; row < tiles.y0.length; row++) {
    const [y, bottom] = [frame.y(tiles.y0[row]!), frame.y(tiles.y0[row]! + tiles.height0[row]!)];
    if (bottom < 0 || y > frame.height) continue;
    for (let column = 0; column < columns; column++) {
      if (!tiles.kept[row * columns + column]) continue;
      const [x, right] = [frame.x(tiles.x0[column]!), frame.x(tiles.x0[column]! + tiles.width0[column]!)];
      if (right >= 0 && x <= frame.width) call(row * columns + column, [x, y, right - x, bottom - y]);
    }
  }
}

/** Return the drawing of a setting's tiles, with the area marked that it covers alone. */
export function areasDrawing(tiles: Tiles, map: AreaMap, bit: number, mark: Mark): Draw {
  const raster = rasterOf(tiles, () => BOTH, channels(BOTH_COLOUR, 60), CLEAR);
  return (context, frame) => {
    const ratio = globalThis.devicePixelRatio;
    const hatch = hatching(context, mark);
    const small = areSmall(tiles, frame, ratio);
    if (small) drawRaster(context, frame, tiles, raster);
    eachRun(map, bit, (box) => {
      const place = visible(frame, box);
      if (place === null) return;
      context.fillStyle = `${mark.colour}73`;
      context.fillRect(...place);
      context.fillStyle = hatch;
      context.fillRect(...place);
    });
    if (small) return;
    eachVisible(tiles, frame, (_, place) => { outlined(context, place, BOTH_COLOUR, ratio); });
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

/** Return a box in pixels of the canvas; null if none of it is visible. */
function visible(frame: Frame, [x0, y0, width0, height0]: Box): Box | null {
  const [x, y] = [frame.x(x0), frame.y(y0)];
  const [right, bottom] = [frame.x(x0 + width0), frame.y(y0 + height0)];
  return right < 0 || bottom < 0 || x > frame.width || y > frame.height ? null : [x, y, right - x, bottom - y];
}

/** Draw an outline with a light edge, which shows on dark and on bright slides. */
function outlined(context: CanvasRenderingContext2D, [x, y, width, height]: Box, colour: string, ratio: number): void {
  context.lineWidth = 2.5 * ratio;
  context.strokeStyle = "#ffffff99";
  context.strokeRect(x + ratio, y + ratio, width - 2 * ratio, height - 2 * ratio);
  context.lineWidth = 1.25 * ratio;
  context.strokeStyle = colour;
  context.strokeRect(x + ratio, y + ratio, width - 2 * ratio, height - 2 * ratio);
}

function lettered(context: CanvasRenderingContext2D, [x, y, width, height]: Box, mark: Mark, ratio: number): void {
  const size = Math.min(0.5 * Math.min(width, height), 22 * ratio);
  context.font = `700 ${size}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3 * ratio;
  context.strokeStyle = "#ffffff";
  context.strokeText(mark.letter, x + width / 2, y + height / 2);
  context.fillStyle = "#1a1a1a";
  context.fillText(mark.letter, x + width / 2, y + height / 2);
}

function hatching(context: CanvasRenderingContext2D, mark: Mark): CanvasPattern | string {
  const side = Math.round(8 * globalThis.devicePixelRatio);
  const small = document.createElement("canvas");
  [small.width, small.height] = [side, side];
  const pen = small.getContext("2d");
  if (pen === null) return mark.colour;
  pen.strokeStyle = mark.colour;
  pen.lineWidth = side / 5;
  for (const shift of [-side, 0, side]) {
    pen.beginPath();
    pen.moveTo(shift, mark.slope > 0 ? side : 0);
    pen.lineTo(shift + side, mark.slope > 0 ? 0 : side);
    pen.stroke();
  }
  return context.createPattern(small, "repeat") ?? mark.colour;
}
