/** The part of an address that says what to look at: a filter, a highlight and a frame. It never does anything. */

import type { Place } from "../source/token";

export interface Linked {
  readonly filter: string | undefined;
  readonly highlight: string | undefined;
  readonly frame: number | undefined;
}

/** Longer ones are no filters that a person made. */
const LONGEST = 4096;

/** Parses the fragment of an address; undefined where it is no link of this kind. */
export function parseLink(fragment: string): Linked | undefined {
  const known = new URLSearchParams(fragment.replace(/^#/, ""));
  const text = (name: string) => known.get(name)?.slice(0, LONGEST) ?? undefined;
  const digits = known.get("frame") ?? "";
  const frame = /^[1-9]\d{0,14}$/.test(digits) ? Number(digits) : undefined;
  const linked: Linked = { filter: text("filter"), highlight: text("highlight"), frame };
  return Object.values(linked).some((value) => value !== undefined) ? linked : undefined;
}

/**
 * Takes the link out of the address: as soon as somebody types, it would be out of date. The rest of the fragment
 * stays.
 */
export function takeLink({ location, history }: Place): Linked | undefined {
  const linked = parseLink(location.hash);
  if (linked === undefined) return undefined;
  const rest = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(linked)) rest.delete(name);
  const fragment = rest.size === 0 ? "" : `#${rest.toString()}`;
  history.replaceState(history.state, "", location.pathname + location.search + fragment);
  return linked;
}

/** Returns the fragment of a link, with its `#`. */
export function formatLink({ filter, highlight, frame }: Linked): string {
  const known = new URLSearchParams();
  if (filter) known.set("filter", filter);
  if (highlight) known.set("highlight", highlight);
  if (frame !== undefined) known.set("frame", String(frame));
  return `#${known.toString()}`;
}
