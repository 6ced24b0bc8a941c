/** What two settings kept of one slide, compared tile by tile and by area: no elements here. */

import type { Tiles } from "./data.ts";

export const BOTH = 1;
export const ONLY = 2;

/** Two settings on one slide. */
export interface Comparison {
  /** The tiles have the same size in level-0 pixels, so that equal boxes are the same tile. */
  sameTiles: boolean;
  /** For each cell of a setting: 0 not kept, `BOTH` kept by both, `ONLY` kept by it alone. */
  left: Uint8Array;
  right: Uint8Array;
  /** Numbers of tiles. */
  both: number;
  lost: number;
  gained: number;
}

/** Compare the kept tiles of two settings: tiles are equal if their level-0 boxes are. */
export function compareTiles(left: Tiles, right: Tiles): Comparison {
  if (AXES.every((axis) => sameNumbers(left[axis], right[axis]))) return compareCells(left.kept, right.kept);
  const kept = boxesOf(left);
  const others = boxesOf(right);
  const [leftMarks, both] = marked(left, others);
  const [rightMarks] = marked(right, kept);
  const sameTiles = sizesOf(left) === sizesOf(right);
  const [lost, gained] = [kept.size - both, others.size - both];
  return { sameTiles, left: leftMarks, right: rightMarks, both, lost, gained };
}

const AXES = ["x0", "width0", "y0", "height0"] as const;

function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  return a.length === b.length && Array.from(a).every((value, index) => value === b[index]);
}

/** Compare two settings of one grid, cell by cell. */
function compareCells(kept: Uint8Array, others: Uint8Array): Comparison {
  const [left, right] = [new Uint8Array(kept.length), new Uint8Array(kept.length)];
  const counts = [0, 0, 0, 0];
  for (let cell = 0; cell < kept.length; cell++) {
    const which = kept[cell]! + 2 * others[cell]!;
    counts[which]!++;
    if (which === 3) left[cell] = right[cell] = BOTH;
    else if (which === 1) left[cell] = ONLY;
    else if (which === 2) right[cell] = ONLY;
  }
  return { sameTiles: true, left, right, both: counts[3]!, lost: counts[1]!, gained: counts[2]! };
}

/** Return the kept tiles by their boxes. */
function boxesOf(tiles: Tiles): Set<string> {
  const found = new Set<string>();
  eachKept(tiles, (_, box) => found.add(box.join()));
  return found;
}

function marked(tiles: Tiles, others: Set<string>): [Uint8Array, number] {
  const marks = new Uint8Array(tiles.kept.length);
  let both = 0;
  eachKept(tiles, (cell, box) => {
    const shared = others.has(box.join());
    marks[cell] = shared ? BOTH : ONLY;
    both += Number(shared);
  });
  return [marks, both];
}

type Box = [number, number, number, number];

/** Call a function for each kept tile with its cell and its box: x, y, width, height. */
export function eachKept(tiles: Tiles, call: (cell: number, box: Box) => void): void {
  const columns = tiles.x0.length;
  tiles.kept.forEach((kept, cell) => {
    if (!kept) return;
    const [row, column] = [Math.floor(cell / columns), cell % columns];
    call(cell, [tiles.x0[column]!, tiles.y0[row]!, tiles.width0[column]!, tiles.height0[row]!]);
  });
}

/** Return the sizes of tiles; rounding makes some a pixel wider, so the most frequent one counts. */
function sizesOf(tiles: Tiles): string {
  return `${frequent(tiles.width0)}x${frequent(tiles.height0)}`;
}

function frequent(lengths: ArrayLike<number>): number {
  const counts = new Map<number, number>();
  for (const length of Array.from(lengths)) counts.set(length, (counts.get(length) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0]?.[0] ?? 0;
}

/** Areas in level-0 pixels. */
export interface Areas {
  both: number;
  lost: number;
  gained: number;
}

/** Areas of two settings, and where they are: marks of the cells between sorted edges. */
export interface AreaMap extends Areas {
  /** Sorted edges across and down, in level-0 pixels. */
  xs: number[];
  ys: number[];
  /** For each cell between the edges, row by row: bit 1 for the left setting, bit 2 for the right. */
  marks: Uint8Array;
}

/** Compare two settings by area, exactly: on the grid of all edges of both. */
export function compareAreas(left: Tiles, right: Tiles): AreaMap {
  const xs = edges([left.x0, left.width0], [right.x0, right.width0]);
  const ys = edges([left.y0, left.height0], [right.y0, right.height0]);
  const width = Math.max(0, xs.length - 1);
  const marks = new Uint8Array(width * Math.max(0, ys.length - 1));
  paint(left, 1, xs, ys, marks);
  paint(right, 2, xs, ys, marks);
  const areas = [0, 0, 0, 0];
  for (let cell = 0; cell < marks.length; cell++) {
    const [row, column] = [Math.floor(cell / width), cell % width];
    areas[marks[cell]!]! += (xs[column + 1]! - xs[column]!) * (ys[row + 1]! - ys[row]!);
  }
  return { xs, ys, marks, lost: areas[1]!, gained: areas[2]!, both: areas[3]! };
}

type Axis = [starts: ArrayLike<number>, lengths: ArrayLike<number>];

function edges(...axes: Axis[]): number[] {
  const found = new Set<number>();
  for (const [starts, lengths] of axes) {
    for (let index = 0; index < starts.length; index++) {
      found.add(starts[index]!);
      found.add(starts[index]! + lengths[index]!);
    }
  }
  return [...found].sort((a, b) => a - b);
}

function paint(tiles: Tiles, bit: number, xs: number[], ys: number[], marks: Uint8Array): void {
  const across = new Map(xs.map((x, index) => [x, index]));
  const down = new Map(ys.map((y, index) => [y, index]));
  const width = xs.length - 1;
  eachKept(tiles, (_, [x, y, w, h]) => {
    const [first, end] = [across.get(x)!, across.get(x + w)!];
    for (let row = down.get(y)!; row < down.get(y + h)!; row++) {
      for (let cell = row * width + first; cell < row * width + end; cell++) marks[cell]! |= bit;
    }
  });
}
