/** The look of each reason: title, letter, colour and pattern, so that colour is never alone. */

import { BELOW, FILTER, KEPT, LABEL, LEFT, NOT_SAMPLED, UNKNOWN, UNREADABLE } from "./decide.ts";

export type Pattern = "plain" | "dots" | "rising" | "falling" | "cross" | "level" | "upright";

export interface Look {
  reason: string;
  title: string;
  letter: string;
  /** Red, green and blue, 0 to 255: colours of Okabe and Ito, which colour-blind readers tell apart. */
  colour: [number, number, number];
  /** The opacity of a cell that is one pixel, 0 to 1. */
  opacity: number;
  /** The opacity of the fill, the pattern and the frame of a cell that is a box. */
  fill: number;
  ink: number;
  frame: number;
  pattern: Pattern;
}

type Style = Omit<Look, "reason" | "title">;

/** Kept tissue keeps its colours, glass is quiet, and what filters drop stands out. */
const CLEAR = { fill: 0.08, ink: 0, frame: 1 };
const QUIET = { fill: 0.18, ink: 0.45, frame: 0.4 };
const SOUND = { fill: 0.2, ink: 0.7, frame: 0.7 };
const LOUD = { fill: 0.3, ink: 0.85, frame: 0.8 };

const FIXED: Record<string, Style & { title: string }> = {
  [KEPT]: { title: "kept", letter: "K", colour: [0, 114, 178], opacity: 0.4, ...CLEAR, pattern: "plain" },
  [BELOW]: { title: "below the threshold", letter: "T", colour: [120, 120, 120], opacity: 0.3, ...QUIET, pattern: "dots" },
  [UNREADABLE]: { title: "unreadable", letter: "U", colour: [0, 0, 0], opacity: 0.6, ...LOUD, pattern: "cross" },
  [LABEL]: { title: "label not kept", letter: "L", colour: [0, 158, 115], opacity: 0.55, ...LOUD, pattern: "level" },
  [NOT_SAMPLED]: { title: "not sampled", letter: "S", colour: [86, 180, 233], opacity: 0.5, ...SOUND, pattern: "upright" },
  [UNKNOWN]: { title: "score not known", letter: "?", colour: [255, 255, 255], opacity: 0.5, ...LOUD, pattern: "cross" },
  [LEFT]: { title: "left to the sampler", letter: "M", colour: [0, 114, 178], opacity: 0.35, ...SOUND, pattern: "upright" },
};

/** Colours and patterns of filters, in their order. */
const FILTERS: Pick<Style, "colour" | "pattern">[] = [
  { colour: [213, 94, 0], pattern: "rising" },
  { colour: [230, 159, 0], pattern: "falling" },
  { colour: [204, 121, 167], pattern: "level" },
  { colour: [240, 228, 66], pattern: "upright" },
  { colour: [148, 63, 166], pattern: "cross" },
];

/** Return the look of each reason; every one has a letter of its own. */
export function looksOf(reasons: string[]): Look[] {
  const used = new Set(Object.values(FIXED).map((style) => style.letter));
  let filters = 0;
  return reasons.map((reason) => {
    const fixed = FIXED[reason];
    if (fixed !== undefined) return { reason, ...fixed };
    const name = reason.replace(FILTER, "");
    const letter = freeLetter(name, used);
    used.add(letter);
    const style = FILTERS[filters++ % FILTERS.length]!;
    return { reason, title: `filter ${name}`, letter, opacity: 0.6, ...LOUD, ...style };
  });
}

function freeLetter(name: string, used: Set<string>): string {
  const wanted = `${name.toUpperCase()}ABCDEFGHIJNOPQRVWXYZ0123456789`.match(/[A-Z0-9]/g) ?? [];
  return wanted.find((letter) => !used.has(letter)) ?? "#";
}

/** Return a CSS colour of a look. */
export function cssColour(look: Look, opacity = 1): string {
  return `rgb(${look.colour.join(" ")} / ${opacity})`;
}

const TILE = 8;

/** Draw a square of a look's fill and pattern: it repeats without a seam. */
export function patternTile(look: Look): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = TILE;
  const pen = canvas.getContext("2d")!;
  pen.fillStyle = cssColour(look, look.fill);
  pen.fillRect(0, 0, TILE, TILE);
  pen.strokeStyle = pen.fillStyle = cssColour(look, look.ink);
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (const [x0, y0, x1, y1] of LINES[look.pattern]) {
    pen.moveTo(x0, y0);
    pen.lineTo(x1, y1);
  }
  pen.stroke();
  if (look.pattern === "dots") pen.fillRect(TILE / 2 - 1, TILE / 2 - 1, 2, 2);
  return canvas;
}

type Line = [number, number, number, number];

/** Diagonals have a copy on each side, so that corners join. */
const RISING: Line[] = [-TILE, 0, TILE].map((shift) => [shift, TILE, shift + TILE, 0]);
const FALLING: Line[] = [-TILE, 0, TILE].map((shift) => [shift, 0, shift + TILE, TILE]);
const LINES: Record<Pattern, Line[]> = {
  plain: [],
  dots: [],
  rising: RISING,
  falling: FALLING,
  cross: [...RISING, ...FALLING],
  level: [[0, TILE / 2, TILE, TILE / 2]],
  upright: [[TILE / 2, 0, TILE / 2, TILE]],
};
