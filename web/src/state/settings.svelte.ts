/** Settings stored between visits: filters, named profiles, the overview. */

import { stored, store } from "./storage";

/** A filter and a highlight under a name. */
export interface Profile {
  readonly name: string;
  readonly filter: string;
  readonly highlight: string;
}

export type OverviewMode = "chart" | "table" | "statistics" | "off";

export interface Kept {
  readonly filter: string;
  readonly highlight: string;
  readonly profiles: readonly Profile[];
  readonly overview: OverviewMode;
  readonly bytes: "hex" | "text" | "stream";
  /** The memory limit of the capture, in MiB. */
  readonly ring: number;
}

/** The memory limits to choose from, in MiB. A tab has at most 4 GiB, of which filters and exports need a part. */
export const RINGS: readonly number[] = [64, 256, 512, 1024, 2048];
const USUAL_RING = 1024;

const KEY = "chanwire.settings";
const OVERVIEWS: readonly unknown[] = ["chart", "table", "statistics", "off"];
const BYTES: readonly unknown[] = ["hex", "text", "stream"];
/** The most profiles that the menu shows. */
const MAX_PROFILES = 50;

/** Parses stored settings; invalid ones become the default. */
export function parseSettings(value: unknown): Kept {
  const known = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const text = (of: unknown) => (typeof of === "string" ? of : "");
  const profiles = Array.isArray(known["profiles"]) ? (known["profiles"] as unknown[]) : [];
  return {
    filter: text(known["filter"]),
    highlight: text(known["highlight"]),
    profiles: profiles
      .map((entry) => (typeof entry === "object" && entry !== null ? entry : {}) as Record<string, unknown>)
      .map(({ name, filter, highlight }) => ({
        name: text(name),
        filter: text(filter),
        highlight: text(highlight),
      }))
      .filter(({ name }) => name !== "")
      .slice(0, MAX_PROFILES),
    overview: OVERVIEWS.includes(known["overview"]) ? (known["overview"] as OverviewMode) : "chart",
    bytes: BYTES.includes(known["bytes"]) ? (known["bytes"] as Kept["bytes"]) : "hex",
    ring: RINGS.find((size) => size === known["ring"]) ?? USUAL_RING,
  };
}

export class Settings {
  kept: Kept = $state.raw(parseSettings(stored(KEY)));

  keep(part: Partial<Kept>): void {
    this.kept = { ...this.kept, ...part };
    store(KEY, this.kept);
  }

  /** Stores a profile, replacing one of the same name. */
  keepProfile(profile: Profile): void {
    const others = this.kept.profiles.filter(({ name }) => name !== profile.name);
    const profiles = [...others, profile].sort((a, b) => a.name.localeCompare(b.name));
    this.keep({ profiles: profiles.slice(0, MAX_PROFILES) });
  }

  removeProfile(name: string): void {
    this.keep({ profiles: this.kept.profiles.filter((profile) => profile.name !== name) });
  }
}
