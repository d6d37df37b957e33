/** Keys that work from every pane. */

import type { Inspector } from "./inspector.svelte";

/** Letters and Space belong to whoever takes text or presses buttons. */
function takesText(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null
  );
}

function takesSpace(target: EventTarget | null): boolean {
  return takesText(target) || (target instanceof HTMLElement && target.closest("button, a") !== null);
}

/** Carry out a key; whether it was one. */
export function globalKey(event: KeyboardEvent, inspector: Inspector, help: () => void): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return false;
  switch (event.key) {
    case "F7":
      inspector.selectBy(-1);
      return true;
    case "F8":
      inspector.selectBy(1);
      return true;
    case "p":
      if (takesText(event.target)) return false;
      inspector.toPair();
      return true;
    case "?":
      if (takesText(event.target)) return false;
      help();
      return true;
    case " ":
      if (takesSpace(event.target)) return false;
      inspector.togglePause();
      return true;
    default:
      return false;
  }
}
