import { beforeEach, describe, expect, test, vi } from "vitest";
import { Draft, joined } from "../src/compose/draft.svelte";
import { History, parseHistory } from "../src/compose/history.svelte";
import type { Question, Questions } from "../src/decode/messages";
import { formatHex, parseHex } from "../src/text/hex";
import { ascii, random } from "./fakes";
import { compose as wasm } from "./wasm";

const HOST = `HOST\r\n{"channel_name": "general", "peer_server_ip": "::1", "peer_server_port": 22236}`;

/** The worker's answers, at once. */
const decoder = {
  ask<Q extends Question>(question: Q, ask: Questions[Q]["ask"]): Promise<Questions[Q]["answer"]> {
    const answer = () => {
      switch (question) {
        case "compose": {
          const { command, values } = ask as Questions["compose"]["ask"];
          return wasm.compose(command, { ...values });
        }
        case "plan": {
          const { bytes, faults } = ask as Questions["plan"]["ask"];
          return wasm.plan(bytes, { ...faults });
        }
        case "fill":
          return wasm.fill((ask as Questions["fill"]["ask"]).bytes);
        default:
          return [];
      }
    };
    return Promise.resolve(answer() as Questions[Q]["answer"]);
  },
};

let draft: Draft;
let kept: Map<string, string>;

beforeEach(() => {
  kept = new Map();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
  });
  draft = new Draft(decoder);
});

describe("a draft", () => {
  test("of a whole canonical request is a form, and of anything else raw", async () => {
    await draft.load(ascii(HOST));
    expect(draft.mode).toBe("form");
    expect(draft.command).toBe("HOST");
    expect(draft.values).toEqual({
      channel_name: "general",
      peer_server_ip: "::1",
      peer_server_port: "22236",
    });
    await draft.evaluate();
    expect(draft.outcome.bytes).toEqual(ascii(HOST));
    for (const text of [HOST.replace(": ", ":"), HOST.slice(0, -1), `${HOST}LIST\r\n`, "HO?T", "\xff"]) {
      const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
      await draft.load(bytes);
      expect(draft.mode).toBe("raw");
      await draft.evaluate();
      expect(draft.outcome.bytes).toEqual(bytes);
    }
  });

  test("is sent as its faults say", async () => {
    await draft.load(ascii("LIST\r\n"));
    draft.setFault("cut", "2+500");
    draft.setFault("bare_lf", "yes");
    await draft.evaluate();
    expect(draft.outcome.steps).toEqual([{ bytes: ascii("LI") }, { wait: 500 }, { bytes: ascii("ST\n") }]);
    expect(draft.isFaulty).toBe(true);
    draft.setFault("cut", "99");
    await draft.evaluate();
    expect(draft.outcome.steps).toEqual([]);
    expect(draft.outcome.faultProblems.map(({ field }) => field)).toEqual(["cut"]);
  });

  test("does not show the answer to what was typed before", async () => {
    draft.command = "LIST";
    const first = draft.evaluate();
    draft.command = "HOST";
    await draft.evaluate();
    await first;
    expect(draft.outcome.problems.length).toBeGreaterThan(0);
  });

  test("keeps its bytes in another notation, and what is no bytes as it is", async () => {
    draft.editRaw(ascii("LIST\r\n"));
    draft.write("hex");
    expect(draft.raw).toBe("4c 49 53 54 0d 0a");
    await draft.evaluate();
    expect(draft.outcome.bytes).toEqual(ascii("LIST\r\n"));
    draft.raw = "4c 4";
    await draft.evaluate();
    expect(draft.outcome.problems.map(({ message }) => message)).toEqual([
      "A byte is two hexadecimal digits (character 4)",
    ]);
    draft.write("escapes");
    expect(draft.raw).toBe("4c 4");
  });
});

describe("the history of requests", () => {
  test("comes back with its faults, also after a reload", async () => {
    await draft.load(ascii("LI\0ST"));
    draft.setFault("cut", "2");
    draft.setFault("drip", "");
    await draft.evaluate();
    draft.sent();
    const again = new Draft(decoder);
    await again.loadSent(again.history.entries[0]);
    await again.evaluate();
    expect(joined(again.outcome.steps)).toEqual(ascii("LI\0ST"));
    expect(again.faults).toEqual({ cut: "2" });
  });

  test("is kept once, newest first, and bounded", () => {
    const history = new History();
    for (let i = 0; i < 60; i += 1) history.add(ascii(`LIST${i}`), {});
    history.add(ascii("LIST30"), {});
    expect(history.entries).toHaveLength(40);
    expect(history.entries[0].text).toBe("LIST30");
    expect(history.entries.filter(({ text }) => text === "LIST30")).toHaveLength(1);
    history.add(new Uint8Array(10_000), {});
    expect(history.entries[0].text).toBe("LIST30");
    expect(new History().entries).toEqual(history.entries);
    for (const text of [
      'AUTH\r\n{"account": "ann", "password": "x"}',
      'LIST\r\n AUTH\n{"token": "x"}',
      'auth\r\n{"account": "ann", "password": "x"}',
      '{"token" : "x"}',
      "AUTH",
    ])
      history.add(ascii(text), {});
    expect(history.entries[0].text).toBe("LIST30");
    history.add(ascii('MESSAGE\r\n{"username": "a", "message_content": "AUTH \\"password\\": x"}'), {});
    expect(history.entries[0].text).toMatch(/^MESSAGE/);
    history.clear();
    expect(new History().entries).toEqual([]);
  });

  test.each([
    [null, []],
    ["x", []],
    [[1, { text: 1, faults: {} }, { text: "\\q", faults: {} }, { text: "a" }], []],
    [[{ text: "a", faults: { cut: "1", drip: 5 } }], [{ text: "a", faults: { cut: "1" } }]],
  ])("is read with care: %j", (value, entries) => {
    expect(parseHistory(value)).toEqual(entries);
  });
});

describe("hexadecimal", () => {
  test("of any bytes reads back as the same bytes", () => {
    const next = random(1);
    for (let length = 0; length < 100; length += 1) {
      const bytes = Uint8Array.from({ length }, () => Math.floor(next() * 256));
      expect(parseHex(formatHex(bytes))).toEqual({ bytes });
    }
  });

  test.each([
    ["", []],
    ["4C49", [0x4c, 0x49]],
    [" 0x4c,\n0x49 ", [0x4c, 0x49]],
  ])("%j", (text, bytes) => {
    expect(parseHex(text)).toEqual({ bytes: Uint8Array.from(bytes) });
  });

  test.each([
    ["4", 0],
    ["4c 4", 3],
    ["4c xx", 3],
    ["0x", 0],
  ])("%j is wrong at %i", (text, at) => {
    expect(parseHex(text)).toMatchObject({ at });
  });
});
