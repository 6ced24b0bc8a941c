/** Draws tiles and areas of a comparison: colour, hatching and a letter. */

import { BOTH, eachKept } from "./compare_tiles.ts";
import type { AreaMap } from "./compare_tiles.ts";
import type { Tiles } from "./sweep_data.ts";
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
const BOTH_COLOUR = "#0072b2";

const SMALL = 4; // pixels of the screen; smaller tiles have no outline
const LETTER = 20;

/** Return the drawing of a setting's tiles; `marks` say which of them it keeps alone. */
export function tilesDrawing(tiles: Tiles, marks: Uint8Array, mark: Mark): Draw {
  return (context, frame) => {
    const hatch = hatching(context, mark);
    const ratio = globalThis.devicePixelRatio;
    eachKept(tiles, (cell, box) => {
      const place = visible(frame, box);
      if (place === null) return;
      const [x, y, width, height] = place;
      const alone = marks[cell] !== BOTH;
      context.fillStyle = alone ? `${mark.colour}73` : `${BOTH_COLOUR}2e`;
      context.fillRect(x, y, width, height);
      if (Math.min(width, height) < SMALL * ratio) return;
      outlined(context, place, alone ? mark.colour : BOTH_COLOUR, ratio);
      if (!alone) return;
      context.fillStyle = hatch;
      context.fillRect(x, y, width, height);
      if (Math.min(width, height) >= LETTER * ratio) lettered(context, place, mark, ratio);
    });
  };
}

/** Return the drawing of a setting's tiles, with the area marked that it covers alone. */
export function areasDrawing(tiles: Tiles, map: AreaMap, bit: number, mark: Mark): Draw {
  return (context, frame) => {
    const ratio = globalThis.devicePixelRatio;
    const hatch = hatching(context, mark);
    eachRun(map, bit, (box) => {
      const place = visible(frame, box);
      if (place === null) return;
      context.fillStyle = `${mark.colour}73`;
      context.fillRect(...place);
      context.fillStyle = hatch;
      context.fillRect(...place);
    });
    eachKept(tiles, (_, box) => {
      const place = visible(frame, box);
      if (place !== null && Math.min(place[2], place[3]) >= SMALL * ratio) outlined(context, place, BOTH_COLOUR, ratio);
    });
  };
}

type Box = [number, number, number, number];

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
