/** Arrow keys in a grid of cards. */

const STEPS: Record<string, (at: number, columns: number, last: number) => number> = {
  ArrowRight: (at) => at + 1,
  ArrowLeft: (at) => at - 1,
  ArrowDown: (at, columns) => at + columns,
  ArrowUp: (at, columns) => at - columns,
  Home: () => 0,
  End: (_at, _columns, last) => last,
};

/**
 * Return the item that a key leads to; the present one where there is none.
 *
 * Items that cannot have the focus are passed over.
 */
export function target(
  key: string,
  at: number,
  columns: number,
  focusable: readonly boolean[],
): number {
  const count = focusable.length;
  const back = key === "End";
  let next = STEPS[key]?.(at, columns, count - 1) ?? at;
  while (next !== at && next >= 0 && next < count && !focusable[next]) {
    if (back) next -= 1;
    else if (key === "Home") next += 1;
    else next = STEPS[key]!(next, columns, count - 1);
  }
  return next >= 0 && next < count ? next : at;
}

/** Move the focus from card to card of a grid, as the arrow keys say. */
export function moveFocus(event: KeyboardEvent): void {
  const grid = event.currentTarget as HTMLElement;
  if (!Object.hasOwn(STEPS, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
  const cards = [...grid.children] as HTMLElement[];
  const at = cards.findIndex((item) => item.contains(document.activeElement));
  if (at < 0) return;
  const links = cards.map((item) => item.querySelector<HTMLElement>("a.card-link"));
  const columns = cards.filter((item) => item.offsetTop === cards[0]!.offsetTop).length;
  links[target(event.key, at, columns, links.map((link) => link !== null))]?.focus();
  event.preventDefault();
}
