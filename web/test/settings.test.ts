import { describe, expect, test, vi } from "vitest";
import { parseShares } from "../src/state/layout.svelte";
import { store, stored } from "../src/state/storage";
import { parseSettings, type Kept } from "../src/state/settings.svelte";

const DEFAULTS: Kept = {
  filter: "",
  highlight: "",
  profiles: [],
  overview: "chart",
  bytes: "hex",
  ring: 1024,
};

describe("settings", () => {
  test("are what was kept", () => {
    const kept: Kept = {
      filter: "cmd==LIST",
      highlight: "err",
      profiles: [{ name: "slow", filter: "rtt>50ms", highlight: "" }],
      overview: "statistics",
      bytes: "stream",
      ring: 256,
    };
    expect(parseSettings(JSON.parse(JSON.stringify(kept)))).toEqual(kept);
  });

  test.each([null, 5, "text", [], { filter: 1, profiles: {}, overview: "other", bytes: null, ring: 3 }])(
    "that are of no use (%j) are the defaults",
    (value) => expect(parseSettings(value)).toEqual(DEFAULTS),
  );

  test("keep only profiles that have a name", () => {
    const { profiles } = parseSettings({ profiles: [null, { filter: "x" }, { name: "a", filter: 3 }] });
    expect(profiles).toEqual([{ name: "a", filter: "", highlight: "" }]);
  });
});

describe("pane sizes", () => {
  test.each([null, "x", { list: "wide", details: 95, bytes: -1, chart: 4000 }])(
    "that are of no use (%j) are the defaults",
    (value) => expect(parseShares(value)).toEqual(parseShares(null)),
  );

  test("are kept", () => {
    const sizes = { list: 30, details: 20, bytes: 75, chart: 100, table: 200 };
    expect(parseShares(sizes)).toEqual(sizes);
  });

  test("leave room between two edges", () => {
    expect(parseShares({ details: 70, bytes: 72 }).bytes).toBe(80);
  });
});

describe("the browser's storage", () => {
  test.each(["nonsense", "", null])("that holds no JSON (%j) holds nothing", (text) => {
    vi.stubGlobal("localStorage", { getItem: () => text });
    expect(stored("key")).toBeNull();
    vi.unstubAllGlobals();
  });

  test("that refuses is no error", () => {
    const refuse = () => {
      throw new DOMException("no");
    };
    vi.stubGlobal("localStorage", { getItem: refuse, setItem: refuse });
    expect(stored("key")).toBeNull();
    expect(() => store("key", 1)).not.toThrow();
    vi.unstubAllGlobals();
  });
});
