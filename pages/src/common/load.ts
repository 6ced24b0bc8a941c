/** Loads data files by adding script elements: a page from the file system cannot fetch. */

type Receiver = (value: unknown) => void;

const waiting = new Map<string, Receiver>();
const loading = new Map<string, Promise<unknown>>();

declare global {
  interface Window {
    tiler: { data: (key: string, value: unknown) => void };
  }
}

/** Accept data files: each calls `tiler.data(key, value)` once. */
export function acceptData(): void {
  window.tiler = {
    data: (key, value) => {
      waiting.get(key)?.(value);
    },
  };
}

/**
 * Load a data file, and return the value that it has for a key.
 *
 * A file that is being loaded is not loaded twice at once. Nothing is kept afterwards: the caller
 * decides what stays in memory.
 */
export function load<T extends { version: number }>(src: string, key: string): Promise<T> {
  const found = (loading.get(key) as Promise<T> | undefined) ?? added<T>(src, key);
  loading.set(key, found);
  return found.finally(() => loading.delete(key));
}

/** Add a script element, and return what its file has for a key. */
function added<T extends { version: number }>(src: string, key: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    let value: unknown = undefined;
    waiting.set(key, (found) => {
      value = found;
    });
    const end = (problem: string): void => {
      script.remove();
      waiting.delete(key);
      if (problem) reject(new Error(`${src}: ${problem}`));
      else resolve(value as T);
    };
    script.addEventListener("load", () => {
      if (value === undefined) end(`the file has no data for ${key}`);
      else if ((value as T).version !== 1) end("the file has an unknown version; make the report again");
      else end("");
    });
    script.addEventListener("error", () => {
      end("the file is missing; keep the folder report/ complete");
    });
    script.src = src;
    document.head.append(script);
  });
}
