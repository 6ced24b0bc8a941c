/** The data files that tiler writes beside the pages, and their decoding. */

export type Cell = string | number | null;

/** A numeric array: base64 of zlib-compressed little-endian bytes. */
export interface PackedNumbers {
  type: "f8" | "i4" | "u1";
  z: string;
}

/** A column of text: its distinct values, and the index of each cell's value. */
export interface PackedText {
  type: "text";
  values: string[];
  codes: PackedNumbers;
}

export type Packed = PackedNumbers | PackedText;
export type Numbers = Float64Array | Int32Array | Uint8Array;

/** A decoded column: numbers, or indices into `values` where it is text. */
export interface Column {
  numbers: Numbers;
  values: string[] | null;
}

export interface Filter {
  name: string;
  min: number | null;
  max: number | null;
  mpp: number | null;
}

export interface Sampler {
  name: string;
  n: number | null;
  fraction: number | null;
  by: string | null;
  /** The column `sampler_rank` lets the page choose as tiler does. */
  exact: boolean;
}

export interface Rules {
  threshold: number;
  /** In the order of decision. */
  filters: Filter[];
  /** Labels that are kept; null keeps all. */
  keep: string[] | null;
  /** Null keeps all tiles. */
  sampler: Sampler | null;
  /** The coverage from which scores are known. */
  measured_from: number;
  /** Keys of limits that a row of the table of slides sets: an override does not change them. */
  from_table: string[];
  /** Keys of limits that the configuration does not have: an override must add them. */
  absent?: string[];
}

export interface Sample {
  kind: string;
  reason: string;
  src: string;
  row: number;
  column: number;
  columns: Record<string, Cell>;
}

/** All cells of a slide: `tiler.data("slide/<n>", …)`. */
export interface SlideData {
  version: 1;
  n: number;
  slide_id: string;
  /** The token of the resolution, such as mpp_0.5. */
  resolution: string;
  /** The tile's width and height in target pixels. */
  size: [number, number];
  /** Level-0 pixels per target pixel. */
  downsample: number;
  /** Microns per level-0 pixel. */
  mpp: number | null;
  /** The area that the view shows: x, y, width and height in level-0 pixels. */
  bounds: [number, number, number, number];
  view: { src: string; width: number; height: number } | null;
  /** Target pixels of the grid's columns (nx) and rows (ny). */
  x: number[];
  y: number[];
  /** Level-0 boxes of columns and rows, as the tables have them. */
  x0: number[];
  y0: number[];
  width0: number[];
  height0: number[];
  /** Columns of the cells by name, row by row (ny * nx), in the order of the tables. */
  columns: Record<string, Packed>;
  /** The run's decision about each cell: an index into `reasons`. */
  decision: Packed;
  reasons: string[];
  /** The tissue's outline: rings of level-0 coordinates x, y, x, y, … */
  outline: number[][];
  rules: Rules;
  samples: Sample[];
  /** The reason why the data may differ from the run's output; empty if they do not. */
  stale: string;
  /** The overrides that a table sets for this slide; empty if there are none. */
  set_by_table: string;
  /** The slide's row of slides.csv. */
  row: Record<string, Cell>;
}

/** A run: `tiler.data("run", …)`. */
export interface RunData {
  version: 1;
  name: string;
  /** The settings in words. */
  words: string;
  /** The version of tiler. */
  tiler: string;
  status: string;
  exit_code: number | null;
  made: string;
  counts: Record<string, number>;
  /** The rules that all slides have in common; null where slides differ. */
  rules: Rules | null;
  /** The rules that overrides change: those of slides for which no table sets them. */
  base: Rules | null;
  /** The number of slides for which a table sets a limit, by its key. */
  set_by_table: Record<string, number>;
  funnel: { label: string; reason: string; left: number; dropped: number }[];
  /** Columns of slides.csv, and `picture`, `data`, `code`, `warnings` and `doubt`. */
  slides: Record<string, Cell[]>;
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** Undo zlib's compression. Without Blob and Response a small array takes a quarter of the time. */
async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const { readable, writable } = new DecompressionStream("deflate");
  const writer = writable.getWriter();
  const written = Promise.all([writer.write(bytes), writer.close()]);
  written.catch(() => undefined); // damaged data fail below, when they are read
  const reader = readable.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    length += part.value.length;
  }
  const all = new Uint8Array(length);
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all.buffer;
}

/** Decode a packed column. */
export async function unpack(packed: Packed): Promise<Column> {
  if (packed.type === "text") {
    return { numbers: (await unpack(packed.codes)).numbers, values: packed.values };
  }
  const buffer = await inflate(bytesOf(packed.z));
  switch (packed.type) {
    case "f8":
      return { numbers: new Float64Array(buffer), values: null };
    case "i4":
      return { numbers: new Int32Array(buffer), values: null };
    case "u1":
      return { numbers: new Uint8Array(buffer), values: null };
  }
}

/** Decode all columns of a slide, in their order. */
export async function unpackAll(columns: Record<string, Packed>): Promise<Map<string, Column>> {
  const names = Object.keys(columns);
  const found = await Promise.all(names.map((name) => unpack(columns[name]!)));
  return new Map(names.map((name, index) => [name, found[index]!]));
}

/** Return a cell of a table as a number; null for an empty cell or text that is none. */
export function amount(cell: Cell | undefined): number | null {
  if (cell === null || cell === undefined || cell === "") return null;
  const found = Number(cell);
  return Number.isFinite(found) ? found : null;
}
