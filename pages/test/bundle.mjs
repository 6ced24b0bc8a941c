// Bundle a TypeScript file for node: node test/bundle.mjs test/judge.ts out.mjs
import { build } from "esbuild";

const [entry, outfile] = process.argv.slice(2);
await build({ entryPoints: [entry], outfile, bundle: true, platform: "node", format: "esm", logLevel: "warning" });
