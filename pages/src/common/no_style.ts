/** OpenSeadragon without its style element, which the policy of the pages forbids. */

/**
 * Keep OpenSeadragon from adding a style element.
 *
 * It adds one where it finds none with its mark. This one has the mark, and is no style of HTML:
 * Chromium refuses a style element of any type.
 */
export function keepStyleOut(): void {
  const mark = document.createElementNS(null, "style");
  mark.setAttribute("data-openseadragon-mobile-css", "true");
  document.head.append(mark);
}
