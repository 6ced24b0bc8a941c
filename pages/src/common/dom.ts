/** Builds elements. Text is always text: nothing here parses markup. */

type Child = Node | string | null;
type Attribute = string | number | boolean | null | ((event: Event) => void);

/**
 * Build an element: `element("a", { href: "x", class: "y" }, "text")`.
 *
 * Attributes that are null or false are left out; `onclick` and its like take functions.
 */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, Attribute> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  setAttributes(made, attributes);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Build an SVG element, as `element` does. */
export function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Record<string, Attribute> = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  setAttributes(made, attributes);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function setAttributes(made: Element, attributes: Record<string, Attribute>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (typeof value === "function") made.addEventListener(name.replace(/^on/, ""), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Build a select from pairs of value and text. */
export function select(id: string, options: readonly (readonly [string | number, string])[]): HTMLSelectElement {
  return element("select", { id }, ...options.map(([value, text]) => element("option", { value }, text)));
}

/** Build a control with its label. */
export function field(text: string, control: HTMLElement): HTMLElement {
  return element("div", { class: "field" }, element("label", { for: control.id }, text), control);
}

/** Build a name and its value for a list of facts. */
export function fact(name: string, ...value: Child[]): HTMLElement {
  return element("div", {}, element("dt", {}, name), element("dd", {}, ...value));
}

/** Return the element with an id; the templates have it. */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element #${id}`);
  return found;
}

/** Replace an element's children. */
export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren(...children.filter((child) => child !== null));
}

/** Return a whole number with thousands separators: 12,410. */
export function whole(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/**
 * Return a number for reading: whole numbers as they are, others with four significant digits.
 *
 * There are more digits where fewer would move the number onto a limit or beyond it.
 */
export function short(value: number, limits: readonly number[] = []): string {
  if (!Number.isFinite(value)) return "unknown";
  if (Number.isInteger(value)) return String(value);
  let shown = value;
  for (let digits = 4; digits < 18; digits++) {
    shown = Number(value.toPrecision(digits));
    if (limits.every((limit) => Math.sign(shown - limit) === Math.sign(value - limit))) break;
  }
  return String(shown);
}

/** Return a share for reading. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.01 && share > 0 ? 1 : 0)} %`;
}

/** Offer a text as a file to save. */
export function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => {
    URL.revokeObjectURL(url);
  }, 10_000);
}
