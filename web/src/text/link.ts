/** The part of an address that says what to look at: a filter, a highlight and a frame. It never does anything. */

export interface Linked {
  readonly filter: string | undefined;
  readonly highlight: string | undefined;
  readonly frame: number | undefined;
}

/** Longer ones are no filters that a person made. */
const LONGEST = 4096;

/** What the fragment of an address says; undefined where it says nothing of the kind. */
export function parseLink(fragment: string): Linked | undefined {
  const known = new URLSearchParams(fragment.replace(/^#/, ""));
  const text = (name: string) => known.get(name)?.slice(0, LONGEST) ?? undefined;
  const digits = known.get("frame") ?? "";
  const frame = /^[1-9]\d{0,14}$/.test(digits) ? Number(digits) : undefined;
  const linked: Linked = { filter: text("filter"), highlight: text("highlight"), frame };
  return Object.values(linked).some((value) => value !== undefined) ? linked : undefined;
}

/** The fragment that says it, with its `#`. */
export function formatLink({ filter, highlight, frame }: Linked): string {
  const known = new URLSearchParams();
  if (filter) known.set("filter", filter);
  if (highlight) known.set("highlight", highlight);
  if (frame !== undefined) known.set("frame", String(frame));
  return `#${known.toString()}`;
}
