/** Keys that work from every pane. */

import type { Inspector } from "./inspector.svelte";

/** What a key does that is not the inspector's own. */
export interface PageKeys {
  help(): void;
  /** Show these bytes in Compose. */
  edit(bytes: Uint8Array): void;
}

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
export function globalKey(event: KeyboardEvent, inspector: Inspector, page: PageKeys): boolean {
  if (event.defaultPrevented || event.altKey || event.metaKey) return false;
  const { frames } = inspector;
  if (event.ctrlKey) {
    if (event.key !== "f" || event.shiftKey) return false;
    inspector.finder.show();
    return true;
  }
  switch (event.key) {
    case "F7":
      void frames.selectBy(-1);
      return true;
    case "F8":
      void frames.selectBy(1);
      return true;
    case " ":
      if (takesSpace(event.target)) return false;
      frames.togglePause();
      return true;
    default:
      return !takesText(event.target) && letter(event.key, inspector, page);
  }
}

function letter(key: string, inspector: Inspector, page: PageKeys): boolean {
  const { frames } = inspector;
  switch (key) {
    case "/":
      document.getElementById("filter")?.focus();
      return true;
    case "p":
      frames.toPair();
      return true;
    case "m":
      frames.toggleMark();
      return true;
    case "M":
      void frames.step("mark", 1);
      return true;
    case "b":
      void frames.step("bad", 1);
      return true;
    case "B":
      void frames.step("bad", -1);
      return true;
    case "n":
      void frames.step("highlight", 1);
      return true;
    case "N":
      void frames.step("highlight", -1);
      return true;
    case "r":
      if (frames.selected !== undefined) void inspector.resend(frames.selected);
      return true;
    case "e":
      if (frames.frame !== undefined && frames.frame.bytes.length > 0) page.edit(frames.frame.bytes);
      return true;
    case "?":
      page.help();
      return true;
    default:
      return false;
  }
}
