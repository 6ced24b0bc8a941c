// Run the tests: bundle each test/*.test.ts for node, then run node's test runner on them.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const names = readdirSync(HERE).filter((name) => name.endsWith(".test.ts"));
const out = mkdtempSync(join(HERE, "../node_modules/.tests-"));
let code = 1;
try {
  await build({
    entryPoints: names.map((name) => join(HERE, name)),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    sourcemap: "inline",
    logLevel: "warning",
  });
  const files = readdirSync(out).filter((name) => name.endsWith(".mjs"));
  const run = spawnSync(
    process.execPath,
    ["--enable-source-maps", "--test", ...files.map((name) => join(out, name))],
    { stdio: "inherit" },
  );
  code = run.status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
process.exit(code);
