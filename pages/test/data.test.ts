import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { unpack, unpackAll } from "../src/common/data.ts";

const packed = (bytes: Uint8Array): string => deflateSync(bytes).toString("base64");

test("floats come back to the bit", async () => {
  const values = Float64Array.of(0.1, 1 / 3, NaN, -0, Infinity, 5e-324);
  const found = await unpack({ type: "f8", z: packed(new Uint8Array(values.buffer)) });
  assert.deepEqual(found.numbers, values);
  assert.equal(found.values, null);
});

test("text is a code into its distinct values", async () => {
  const codes = Int32Array.of(1, 0, 1);
  const z = packed(new Uint8Array(codes.buffer));
  const found = await unpack({ type: "text", values: ["a", "b"], codes: { type: "i4", z } });
  assert.deepEqual(found, { numbers: codes, values: ["a", "b"] });
});

test("columns keep their order", async () => {
  const one = { type: "u1", z: packed(Uint8Array.of(7, 255)) } as const;
  const found = await unpackAll({ ratio: one, score_blur: one, a: one });
  assert.deepEqual([...found.keys()], ["ratio", "score_blur", "a"]);
  assert.deepEqual(found.get("a")?.numbers, Uint8Array.of(7, 255));
});

test("a large array comes back whole, and damaged data are an error", async () => {
  const values = Float64Array.from({ length: 100_000 }, (_, at) => Math.sin(at));
  const z = packed(new Uint8Array(values.buffer));
  assert.deepEqual((await unpack({ type: "f8", z })).numbers, values);
  await assert.rejects(unpack({ type: "f8", z: z.slice(0, 4000) }));
  await assert.rejects(unpack({ type: "f8", z: packed(Uint8Array.of(1)).replace(/^./, "A") }));
});
