import { beforeEach, describe, expect, test } from "vitest";
import { unpackFlags } from "../src/decode/batch";
import { tokenAt } from "../src/details/tokens";
import { describe as describeRow } from "../src/decode/describe";
import { Engine, type Module } from "../src/decode/engine";
import { TOKEN, type FromWorker, type ToWorker } from "../src/decode/messages";
import type { Row } from "../src/wasm/chanwire_wasm";
import { ascii } from "./fakes";

/** A decoder in which every byte is a frame; "!" is a fault, and what comes in answers what went out, in order. */
class Bytewise {
  #position = { out: 0, in: 0 };
  #rows = 0;
  #asked: number[] = [];

  free(): void {}

  feed(direction: "out" | "in", time: number, bytes: Uint8Array): Row[] {
    return [...bytes].map((byte): Row => {
      const start = this.#position[direction];
      this.#position[direction] += 1;
      const head = String.fromCharCode(byte);
      const row: Row = {
        kind: "frame",
        direction,
        span: { start, end: start + 1 },
        head,
        push: false,
        fields: [],
        summary: "",
      };
      if (head === "!") {
        row.kind = "fault";
        row.fault = { error: "Malformed command", details: "bad", at: start, closes: false };
      }
      if (direction === "out") this.#asked.push(this.#rows);
      else {
        row.status = head === "E" ? "REQUEST_ERROR" : "OK";
        const pair = this.#asked.shift();
        if (pair !== undefined) Object.assign(row, { pair, rtt: time });
      }
      this.#rows += 1;
      return row;
    });
  }

  finish(): Row[] {
    return [];
  }

  partial(): undefined {
    return undefined;
  }
}

const MODULE = {
  Conversation: Bytewise,
  check: () => [],
  commands: () => [],
  compose: () => {
    throw new Error("no such command");
  },
  version: () => "0.1.0",
} as unknown as Module;

type Rows = Extract<FromWorker, { type: "rows" }>;

describe("the engine", () => {
  let posted: FromWorker[];
  let timers: (() => void)[];
  let engine: Engine;

  beforeEach(() => {
    posted = [];
    timers = [];
    engine = new Engine(
      MODULE,
      (message) => posted.push(message),
      (run) => timers.push(run),
    );
    posted.length = 0;
  });

  function bytes(connection: number, direction: "out" | "in", text: string, time = 0): ToWorker {
    return { type: "bytes", connection, direction, time, bytes: ascii(text) };
  }

  function flushed(): Rows {
    timers.splice(0).forEach((run) => run());
    return posted.splice(0).at(-1) as Rows;
  }

  test("numbers the rows of all connections in the order they complete", () => {
    engine.handle({ type: "open", connection: 1 });
    engine.handle({ type: "open", connection: 2 });
    engine.handle(bytes(1, "out", "a"));
    engine.handle(bytes(2, "out", "b"));
    engine.handle(bytes(1, "in", "c"));
    const { batch } = flushed();
    expect(batch.first).toBe(1);
    expect(batch.head).toEqual(["a", "b", "c"]);
    expect([...batch.connection]).toEqual([1, 2, 1]);
    engine.handle(bytes(2, "out", "d"));
    expect(flushed().batch.first).toBe(4);
  });

  test("turns the place in a conversation into the request's row number", () => {
    for (const connection of [1, 2]) engine.handle({ type: "open", connection });
    engine.handle(bytes(1, "out", "ab"));
    engine.handle(bytes(2, "out", "c"));
    flushed();
    engine.handle(bytes(2, "in", "x", 7));
    engine.handle(bytes(1, "in", "yz", 8));
    const { batch } = flushed();
    expect([...batch.pair]).toEqual([3, 1, 2]);
    expect([...batch.rtt]).toEqual([7, 8, 8]);
  });

  test("tells how many received bytes were decoded, once", () => {
    engine.handle({ type: "open", connection: 1 });
    engine.handle(bytes(1, "out", "aa"));
    engine.handle(bytes(1, "in", "bbb"));
    expect(flushed().taken).toEqual([[1, 3]]);
    engine.handle(bytes(1, "out", "a"));
    expect(flushed().taken).toEqual([]);
  });

  test("posts one batch for many messages", () => {
    engine.handle({ type: "open", connection: 1 });
    for (let i = 0; i < 100; i += 1) engine.handle(bytes(1, "in", "x"));
    expect(posted).toEqual([]);
    expect(timers).toHaveLength(1);
    expect(flushed().batch.count).toBe(100);
  });

  test("does not wait when much has come", () => {
    engine.handle({ type: "open", connection: 1 });
    engine.handle(bytes(1, "in", "x".repeat(5000)));
    expect(posted).toHaveLength(1);
  });

  test("marks faults and error answers, and keeps a fault that its bytes alone do not tell", () => {
    engine.handle({ type: "open", connection: 1 });
    engine.handle(bytes(1, "out", "a!"));
    engine.handle(bytes(1, "in", "xE"));
    const { batch } = flushed();
    expect([...batch.flags].map((bits) => unpackFlags(bits).bad)).toEqual([false, true, false, true]);
    expect(unpackFlags(batch.flags[1])).toMatchObject({ kind: "fault", direction: "out" });
    expect(batch.faults).toEqual([[2, { error: "Malformed command", details: "bad", at: 0, closes: false }]]);
  });

  test("says when a connection's last rows were given", () => {
    engine.handle({ type: "open", connection: 4 });
    engine.handle(bytes(4, "in", "x"));
    engine.handle({ type: "close", connection: 4, time: 1 });
    engine.handle({ type: "note", connection: 4, time: 1, head: "closed", text: "bye", bad: false });
    const { batch, closed } = flushed();
    expect(closed).toEqual([4]);
    expect(batch.head).toEqual(["x", "closed"]);
    expect(unpackFlags(batch.flags[1]).kind).toBe("note");
  });

  test("answers a question that fails with why", () => {
    engine.handle({ type: "ask", id: 9, question: "compose", ask: { command: "X", values: {} } });
    expect(posted).toEqual([{ type: "refused", id: 9, message: "Error: no such command" }]);
  });
});

describe("the description of a frame", () => {
  // OK\r\n{"a": [1, "b"]}   at position 100 of its stream
  const row: Row = {
    kind: "frame",
    direction: "in",
    span: { start: 100, end: 119 },
    head: "OK",
    push: false,
    command: { start: 100, end: 102 },
    separator: { start: 102, end: 104 },
    payload: { start: 104, end: 119 },
    summary: "",
    fields: [
      {
        name: "a",
        key: { start: 105, end: 108 },
        value: { start: 110, end: 118 },
        kind: "array",
        text: "",
        children: [
          { name: "", value: { start: 111, end: 112 }, kind: "number", text: "1", children: [] },
          { name: "", value: { start: 114, end: 117 }, kind: "string", text: "b", children: [] },
        ],
      },
    ],
  };

  test("counts from the frame's first byte", () => {
    const detail = describeRow(row);
    expect(detail.payload).toEqual({ start: 4, end: 19 });
    expect(detail.fields[0].children[1].value).toEqual({ start: 14, end: 17 });
  });

  test("gives every byte one class", () => {
    const { tokens } = describeRow(row);
    const letters = Object.fromEntries(Object.entries(TOKEN).map(([name, id]) => [id, name[0]]));
    const classes = Array.from({ length: 20 }, (_, at) => letters[tokenAt(tokens, at)] ?? "-").join("");
    expect(classes).toBe("ccsspkkkpppnppsssppp-".slice(0, 19) + "-");
  });

  test("counts the members that are too many to list", () => {
    const child = row.fields[0].children[0];
    const many: Row = { ...row, fields: Array.from({ length: 5000 }, () => child) };
    const detail = describeRow(many);
    expect(detail.fields.length + detail.omitted).toBe(5000);
    expect(detail.omitted).toBeGreaterThan(0);
  });
});
