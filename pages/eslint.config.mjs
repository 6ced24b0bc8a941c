import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import tseslint from "typescript-eslint";

/** Ways to make markup or code of text: data must never become either. */
const UNSAFE = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"];

export default tseslint.config(
  { ignores: ["node_modules/"] },
  {
    files: ["src/**/*.ts", "test/**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: dirname(fileURLToPath(import.meta.url)) },
    },
    rules: {
      "max-lines": ["error", 250],
      "no-eval": "error",
      "no-restricted-properties": ["error", ...UNSAFE.map((property) => ({ property }))],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-non-null-assertion": "off", // typed arrays within their bounds
    },
  },
  {
    files: ["test/**/*.ts"],
    rules: { "@typescript-eslint/no-floating-promises": "off" }, // node:test waits for its tests
  },
);
