/** The overrides to paste into a command, with a button that copies them. */

import { element, fill } from "./dom.ts";

export interface OverridesBox {
  element: HTMLElement;
  /**
   * Show overrides, and values that only the table of slides can set; empty texts if nothing
   * differs from the run.
   */
  set: (text: string, forTable?: string) => void;
}

/** Build the box. */
export function overridesBox(): OverridesBox {
  let shown = "";
  const output = element("output", { class: "overrides", "aria-label": "Overrides for tiler" });
  const said = element("span", { role: "status", "aria-live": "polite", class: "hint" });
  const copy = (): void => {
    const done = (): void => {
      fill(said, "Copied");
    };
    const failed = (): void => {
      getSelection()?.selectAllChildren(output);
      fill(said, "The text is selected: copy it with the keyboard");
    };
    // Some browsers have no clipboard for pages from the file system.
    if (isSecureContext) navigator.clipboard.writeText(shown).then(done, failed);
    else failed();
  };
  const button = element("button", { type: "button", onclick: copy }, "Copy");
  const set = (text: string, forTable = ""): void => {
    shown = text;
    button.disabled = text === "";
    fill(output, text || (forTable ? "Nothing to override" : "The limits are those of the run"));
    table.hidden = forTable === "";
    fill(table, `The table of slides sets other limits, which no override changes. Write this there: ${forTable}`);
    output.classList.toggle("empty", text === "");
    fill(said);
  };
  const table = element("p", { class: "hint", hidden: true });
  set("");
  const title = element("h3", {}, "Overrides to paste");
  return { element: element("div", { class: "overrides-box" }, title, element("div", { class: "actions" }, output, button, said), table), set };
}
