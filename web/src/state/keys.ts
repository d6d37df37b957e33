/** Keys that work from every pane. */

import type { Inspector } from "./inspector.svelte";

/** The actions of keys that are not the inspector's own. */
export interface PageKeys {
  help(): void;
  /** Shows these bytes in Compose. */
  edit(bytes: Uint8Array): void;
}

/** Elements that take text, and with it letters and Space. */
const TAKES_TEXT = "input, textarea, select, [contenteditable]";

/** Elements that Space presses, opens or chooses. */
const TAKES_SPACE = [
  TAKES_TEXT,
  "button, a[href], summary, label, option, audio, video",
  "[role=button], [role=link], [role=tab], [role=checkbox], [role=switch], [role=radio], [role^=menuitem]",
].join(", ");

/** Overlays, which have keys of their own: while focus is in one, none of the page's single keys mean anything. */
const OVERLAYS = "dialog, [popover], [role=dialog], [role=menu], [role=listbox]:not(.stream)";

function isIn(target: EventTarget | null, selector: string): boolean {
  return target instanceof Element && target.closest(selector) !== null;
}

/** Carries out a key; returns whether it was one. */
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
      if (isIn(event.target, TAKES_SPACE) || isIn(event.target, OVERLAYS)) return false;
      frames.togglePause();
      return true;
    default:
      if (isIn(event.target, TAKES_TEXT) || isIn(event.target, OVERLAYS)) return false;
      return letter(event.key, inspector, page);
  }
}

function letter(key: string, inspector: Inspector, page: PageKeys): boolean {
  const { frames } = inspector;
  switch (key) {
    case "/":
      document.getElementById("filter")?.focus();
      return true;
    case "p":
      void frames.toPair();
      return true;
    case "m":
      void frames.toggleMark();
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
      void inspector.resend();
      return true;
    case "e":
      void frames.chosen().then((frame) => {
        if (frame !== undefined && frame.bytes.length > 0) page.edit(frame.bytes);
      });
      return true;
    case "?":
      page.help();
      return true;
    default:
      return false;
  }
}
