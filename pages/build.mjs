// Build the report's script, style sheet and licences into tiler/report/assets.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = resolve(HERE, "../tiler/report/assets");
const INPUTS = ["build.mjs", "package.json", "package-lock.json"];

/** Return the hash of everything that shapes the built files; pages/build.py computes the same. */
function sourceHash() {
  const sources = readdirSync(join(HERE, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(HERE, join(entry.parentPath, entry.name)).replaceAll("\\", "/"));
  const hash = createHash("sha256");
  for (const name of [...INPUTS, ...sources].sort()) {
    hash.update(`${name}\0`).update(readFileSync(join(HERE, name))).update("\0");
  }
  return hash.digest("hex");
}

/** Return the packages whose files are in the bundle. */
function bundled(metafile) {
  const names = Object.keys(metafile.inputs)
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
    .filter((name) => name !== undefined);
  return [...new Set(names)].sort();
}

function licence(name) {
  const folder = join(HERE, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((found) => /^licen[cs]e/i.test(found));
  if (file === undefined) throw new Error(`${name}: the package has no licence file`);
  const text = readFileSync(join(folder, file), "utf8").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
}

const common = {
  absWorkingDir: HERE,
  outdir: OUT,
  bundle: true,
  minify: true,
  target: ["chrome103", "firefox113", "safari16.4"], // the first with DecompressionStream, but for Chromium (80)
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "warning",
};
const script = await build({
  ...common,
  entryPoints: { pages: "src/main.ts" },
  format: "iife", // a module script does not load from the file system
});
const styles = await build({ ...common, entryPoints: { pages: "src/pages.css" } });

const packages = [...new Set([...bundled(script.metafile), ...bundled(styles.metafile)])];
const files = [
  ...[...script.outputFiles, ...styles.outputFiles].map((file) => [file.path, file.contents]),
  [join(OUT, "licences.txt"), packages.map(licence).join(`\n${"-".repeat(72)}\n\n`)],
  [join(OUT, "sources.sha256"), `${sourceHash()}\n`], // last: says that the others are complete
];
mkdirSync(OUT, { recursive: true });
for (const [path, contents] of files) {
  writeFileSync(`${path}.new`, contents);
  renameSync(`${path}.new`, path);
}
const size = (name) => `${(readFileSync(join(OUT, name)).length / 1024).toFixed(0)} KiB`;
console.log(`wrote ${OUT}: pages.js ${size("pages.js")}, pages.css ${size("pages.css")}`);
