import { beforeEach, describe, expect, test } from "vitest";
import { DecoderClient } from "../src/decode/client";
import type { EngineModule } from "../src/decode/engine";
import { Front } from "../src/decode/front";
import type {
  Frame,
  FromWorker,
  ListRow,
  Question,
  Questions,
  Status,
  ToWorker,
} from "../src/decode/messages";
import { tokenAt } from "../src/details/tokens";
import { ascii } from "./fakes";
import { compose, wasm } from "./wasm";

type Window = Extract<FromWorker, { type: "window" }>;

/** A worker that runs here, and a clock that the test moves. */
class Bench {
  readonly posted: FromWorker[] = [];
  readonly client: DecoderClient;
  loads = 0;
  time = 0;
  status: Status | undefined;
  window: Window | undefined;
  failure = "";
  readonly #front: Front;
  #timers: { at: number; run: () => void }[] = [];
  #listen: (event: MessageEvent<FromWorker>) => void = () => undefined;

  constructor(load: () => Promise<EngineModule> = () => Promise.resolve(wasm)) {
    this.client = new DecoderClient(
      {
        postMessage: (message) => this.#front.handle(message as ToWorker),
        addEventListener: (type: string, listener: never) => {
          if (type === "message") this.#listen = listener;
        },
      },
      {
        ready: () => undefined,
        status: (status) => (this.status = status),
        window: (message) => (this.window = message),
        failed: (message) => (this.failure = message),
      },
    );
    this.#front = new Front(
      compose,
      {
        post: (message) => {
          this.posted.push(message);
          this.#listen({ data: message } as MessageEvent<FromWorker>);
        },
        later: (run, ms) => this.#timers.push({ at: this.time + ms, run }),
        now: () => this.time,
      },
      () => {
        this.loads += 1;
        return load();
      },
    );
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** Let time pass, and everything that was to happen in it. */
  async pass(ms: number): Promise<void> {
    await settled();
    const until = this.time + ms;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.splice(this.#timers.indexOf(due), 1);
      this.time = Math.max(this.time, due.at);
      due.run();
    }
    this.time = until;
  }

  send(message: Exclude<ToWorker, { type: "ask" }>): void {
    this.client.send(message);
  }

  bytes(connection: number, direction: "out" | "in", text: string, time = 0): void {
    this.send({ type: "bytes", connection, direction, time, bytes: ascii(text) });
  }

  async ask<Q extends Question>(question: Q, ask: Questions[Q]["ask"]): Promise<Questions[Q]["answer"]> {
    return this.client.ask(question, ask);
  }

  get rows(): readonly ListRow[] {
    return this.window?.rows ?? [];
  }
}

/** Lets pending promises settle. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

const HOST = `HOST\r\n{"channel_name": "general", "peer_server_ip": "192.168.1.5", "peer_server_port": 22240}`;
/** When it is in tests that need a date. */
const DATE = 1_700_000_000_000;

const HOSTED = `OK\r\n{"status": "success", "channel_name": "general"}`;

describe("before there is any traffic", () => {
  test("requests are composed and judged without the engine", async () => {
    const bench = new Bench();
    const ready = bench.posted[0] as Extract<FromWorker, { type: "ready" }>;
    expect(ready.forms.map(({ command }) => command)).toContain("HOST");
    const composed = await bench.ask("compose", { command: "LIST", values: {} });
    expect(composed).toEqual({ bytes: ascii("LIST\r\n") });
    const [verdict] = await bench.ask("check", { bytes: ascii("HO?T") });
    expect(verdict).toMatchObject({ kind: "fault", start: 0, end: 3, fault: { at: 2, closes: true } });
    bench.send({ type: "look", position: 0, count: 20, follow: true });
    bench.send({ type: "pause", paused: false });
    expect(await bench.ask("timeline", { buckets: 10 })).toMatchObject({ step: 0 });
    expect(await bench.ask("statistics", undefined)).toEqual({ rows: [] });
    expect(await bench.ask("filter", { which: "filter", text: "" })).toEqual({});
    expect(bench.loads).toBe(0);
  });

  test("messages before the engine is loaded are not lost", async () => {
    const bench = new Bench();
    bench.send({ type: "look", position: 0, count: 20, follow: true });
    const mistaken = bench.ask("filter", { which: "filter", text: "dir ==" });
    bench.send({ type: "open", connection: 1, label: "" });
    bench.bytes(1, "out", "LIST\r\n");
    await bench.pass(20);
    expect(await mistaken).toMatchObject({ mistake: { at: 6, length: 1 } });
    expect(bench.loads).toBe(1);
    expect(bench.rows.map(({ head }) => head)).toEqual(["LIST"]);
  });

  test("an engine that does not come is told", async () => {
    const bench = new Bench(() => Promise.reject(new Error("no such file")));
    bench.send({ type: "open", connection: 1, label: "" });
    await bench.pass(20);
    expect(bench.failure).toContain("no such file");
  });
});

describe("the engine", () => {
  let bench: Bench;

  beforeEach(async () => {
    bench = new Bench();
    bench.send({ type: "look", position: 0, count: 20, follow: true });
    for (const connection of [1, 2]) bench.send({ type: "open", connection, label: `peer ${connection}` });
    await bench.pass(20);
  });

  test("rows come paired, with times since the first event", async () => {
    bench.bytes(1, "out", HOST, 1000);
    bench.bytes(2, "out", "LIST\r\n", 1002);
    bench.bytes(1, "in", HOSTED, 1004.5);
    await bench.pass(20);
    expect(
      bench.rows.map(({ number, head, time, delta, rtt, pair }) => ({
        number,
        head,
        time,
        delta,
        rtt,
        pair,
      })),
    ).toEqual([
      { number: 1, head: "HOST", time: 0, delta: undefined, rtt: undefined, pair: 3 },
      { number: 2, head: "LIST", time: 2, delta: 2, rtt: undefined, pair: undefined },
      { number: 3, head: "OK", time: 4.5, delta: 2.5, rtt: 4.5, pair: 1 },
    ]);
    expect(bench.rows[0].summary).toBe("general at 192.168.1.5:22240");
  });

  test("many messages make one status and one window", async () => {
    bench.posted.length = 0;
    for (let i = 0; i < 100; i += 1) bench.bytes(1, "out", "LIST\r\n", i);
    expect(bench.posted).toEqual([]);
    expect(bench.timers).toBe(1);
    await bench.pass(16);
    expect(bench.posted.map(({ type }) => type)).toEqual(["status", "window"]);
    expect(bench.status).toMatchObject({ begin: 0, end: 100, captured: 101, added: 100, addedBad: 0 });
    expect(bench.window?.position).toBe(80);
  });

  test("a window is posted again only when it has changed", async () => {
    bench.bytes(1, "out", "LIST\r\n".repeat(50));
    bench.send({ type: "look", position: 0, count: 10, follow: false });
    await bench.pass(20);
    bench.posted.length = 0;
    bench.bytes(1, "out", "LIST\r\n");
    await bench.pass(20);
    expect(bench.posted.filter(({ type }) => type === "window")).toEqual([]);
    bench.bytes(1, "in", 'OK\r\n{"channels": []}', 1);
    await bench.pass(20);
    expect(bench.rows[0].pair).toBe(52);
  });

  test("received bytes are told once, as credit", async () => {
    bench.bytes(1, "out", "LIST\r\n");
    bench.bytes(1, "in", "OK\r\n");
    bench.bytes(1, "in", "{}");
    await bench.pass(20);
    expect(bench.status?.taken).toEqual([[1, 6]]);
    bench.bytes(1, "out", "LIST\r\n");
    await bench.pass(20);
    expect(bench.status?.taken).toEqual([]);
  });

  test("a frame that is still arriving is told, and a closed connection once", async () => {
    bench.bytes(1, "out", "LIST\r\nHOST\r\n{");
    await bench.pass(20);
    expect(bench.status?.arriving).toEqual([
      {
        connection: 1,
        direction: "out",
        start: 6,
        end: 13,
        head: "HOST",
        state: "inside a payload",
        bytes: ascii("HOST\r\n{"),
      },
    ]);
    bench.send({ type: "close", connection: 1, time: 1 });
    await bench.pass(20);
    expect(bench.status).toMatchObject({ arriving: [], addedBad: 1 });
  });

  test("the rate falls to nothing when nothing comes", async () => {
    for (let i = 0; i < 10; i += 1) {
      bench.bytes(1, "out", "LIST\r\n".repeat(100));
      await bench.pass(100);
    }
    expect(bench.status?.rate).toBeGreaterThan(500);
    await bench.pass(5000);
    expect(bench.status?.rate).toBe(0);
    expect(bench.timers).toBe(0);
  });

  test("a frame comes with its bytes, its parts and the reads that brought it", async () => {
    bench.bytes(1, "out", "LIST\r\nHO", 10);
    bench.bytes(1, "out", HOST.slice(2), 12);
    await bench.pass(20);
    const frame = (await bench.ask("frame", { number: 2 })) as Frame;
    expect(new TextDecoder().decode(frame.bytes)).toBe(HOST);
    expect(frame.position).toBe(6);
    expect(frame.reads).toEqual([
      { start: 0, end: 2, time: 0, begins: false, ends: true },
      { start: 2, end: HOST.length, time: 2, begins: true, ends: true },
    ]);
    expect(frame.detail?.fields.map(({ name, text }) => [name, text])).toEqual([
      ["channel_name", "general"],
      ["peer_server_ip", "192.168.1.5"],
      ["peer_server_port", "22240"],
    ]);
    const { tokens } = frame.detail ?? { tokens: new Float64Array(0) };
    const classes = Array.from({ length: 13 }, (_, at) => tokenAt(tokens, at)).join("");
    expect(classes).toBe("1111223444444");
    expect(await bench.ask("frame", { number: 99 })).toBeUndefined();
  });

  test("a fault names its byte by the row's own positions", async () => {
    bench.bytes(1, "out", "LIST\r\nHO?T and more");
    await bench.pass(20);
    const frame = (await bench.ask("frame", { number: 2 })) as Frame;
    expect(frame.fault).toMatchObject({ error: "Malformed command", at: 2, closes: true });
    expect(frame.detail).toBeUndefined();
  });

  test("a filter keeps what it finds, also of what comes later", async () => {
    bench.bytes(1, "out", `LIST\r\n${HOST}`);
    expect(await bench.ask("filter", { which: "filter", text: "cmd == HOST" })).toEqual({});
    await bench.pass(20);
    const before = bench.window?.epoch;
    expect(bench.rows.map(({ number }) => number)).toEqual([2]);
    bench.bytes(2, "out", `LIST\r\n${HOST}`);
    await bench.pass(20);
    expect(bench.rows.map(({ number }) => number)).toEqual([2, 4]);
    expect(bench.window?.epoch).toBe(before);
    const refused = await bench.ask("filter", { which: "filter", text: 'é && "' });
    expect(refused.mistake).toMatchObject({ at: 5, length: 1 });
    bench.bytes(2, "out", HOST);
    await bench.pass(20);
    expect(bench.rows).toHaveLength(3);
    expect(await bench.ask("locate", { number: 3 })).toEqual({ epoch: before, position: 1, exact: false });
  });

  test("highlights are counted, stepped to, and hide nothing", async () => {
    bench.bytes(1, "out", `LIST\r\n${HOST}PING\r\n${HOST}`);
    await bench.ask("filter", { which: "highlight", text: "cmd == HOST" });
    await bench.pass(20);
    expect(bench.rows.map(({ highlighted }) => highlighted)).toEqual([false, true, false, true]);
    expect(bench.status?.highlights).toBe(2);
    expect(await bench.ask("step", { from: 2, by: 1, to: "highlight" })).toBe(4);
    expect(await bench.ask("step", { from: 2, by: -1, to: "highlight" })).toBeUndefined();
    expect(await bench.ask("step", { from: 1, by: 1, to: "bad" })).toBe(3);
    expect(await bench.ask("step", { from: 4, by: -1, to: "text", text: "general" })).toBe(2);
    bench.send({ type: "mark", number: 3, on: true });
    expect(await bench.ask("step", { from: 1, by: 1, to: "mark" })).toBe(3);
    await bench.pass(20);
    expect(bench.rows[2].marked).toBe(true);
  });

  test("pause freezes what is shown, and nothing is lost", async () => {
    bench.bytes(1, "out", "LIST\r\n");
    bench.send({ type: "pause", paused: true });
    bench.bytes(1, "out", HOST);
    await bench.pass(20);
    expect(bench.status).toMatchObject({ end: 1, captured: 3 });
    bench.send({ type: "pause", paused: false });
    await bench.pass(20);
    expect(bench.status).toMatchObject({ end: 2, captured: 3 });
  });

  test("clear gives the memory back, and numbers go on", async () => {
    const empty = bench.status?.memory ?? 0;
    for (let i = 0; i < 200; i += 1) bench.bytes(1, "out", HOST.repeat(200), i);
    await bench.pass(20);
    const full = bench.status?.memory ?? 0;
    expect(full).toBeGreaterThan(3_000_000);
    bench.send({ type: "clear" });
    await bench.pass(20);
    expect(bench.status?.memory).toBeLessThan(empty + 100_000);
    expect(bench.status).toMatchObject({ begin: 0, end: 0, first: 40_001, captured: 40_001, dropped: 0 });
    bench.bytes(1, "out", HOST);
    await bench.pass(20);
    expect(bench.rows.map(({ number }) => number)).toEqual([40_001]);
  });

  test("clear gives the memory of a large capture back to the browser, and what is under way goes on", async () => {
    await bench.ask("filter", { which: "filter", text: "cmd != LIST" });
    const small = bench.status?.heap ?? 0;
    for (let i = 0; i < 200; i += 1) bench.bytes(1, "out", HOST.repeat(2000), i);
    // The last request is open, and another has come in part.
    bench.bytes(2, "out", "LIST\r\n" + HOST, 300);
    bench.bytes(2, "out", HOST.slice(0, 20), 301);
    await bench.pass(20);
    expect(bench.status?.heap).toBeGreaterThan(40_000_000);
    const { epoch, captured } = bench.status as Status;

    bench.send({ type: "clear" });
    await bench.pass(20);
    expect(bench.status?.heap).toBeLessThan(small + 4_000_000);
    expect(bench.status).toMatchObject({ begin: 0, end: 0, first: captured, captured });
    expect(bench.status?.epoch).toBeGreaterThan(epoch);

    bench.bytes(2, "in", 'OK\r\n{"channels": []}', 302);
    bench.bytes(2, "out", HOST.slice(20), 303);
    await bench.pass(20);
    // The answer to LIST is answered by its command, which the filter hides; the request is whole.
    expect(bench.rows).toMatchObject([{ number: captured + 1, head: "HOST", kind: "frame" }]);
    await bench.ask("filter", { which: "filter", text: "" });
    await bench.pass(20);
    expect(bench.rows[0]).toMatchObject({ number: captured, head: "OK", rtt: 2, pair: captured - 2 });
    const located = await bench.ask("locate", { number: captured });
    expect(located?.epoch).toBe(bench.status?.epoch);
  });

  test("rows beyond the limit are dropped at the front", async () => {
    bench.send({ type: "limit", bytes: 1024 * 1024 });
    for (let i = 0; i < 200; i += 1) bench.bytes(1, "out", HOST.repeat(200), i);
    await bench.pass(20);
    const { begin, end, dropped, first, memory, limit } = bench.status as Status;
    expect(memory).toBeLessThanOrEqual(limit);
    expect([begin, end]).toEqual([dropped, 40_000]);
    expect(first).toBe(dropped + 1);
    expect(dropped).toBeGreaterThan(30_000);
  });

  test("missing traffic is a row", async () => {
    bench.bytes(1, "out", "HOST\r\n{");
    bench.send({
      type: "gap",
      connection: 1,
      direction: "out",
      time: 1,
      bytes: 9,
      frames: 2,
      text: "queue full",
    });
    bench.bytes(1, "out", "LIST\r\n");
    await bench.pass(20);
    expect(bench.rows.map(({ kind, head, summary }) => [kind, head, summary])).toEqual([
      ["skipped", "cut", "7 bytes of a frame whose rest is missing"],
      ["gap", "missing", "queue full"],
      ["frame", "LIST", "which channels are there?"],
    ]);
  });

  test("the stream of a connection, statistics and the timeline", async () => {
    bench.bytes(1, "out", `LIST\r\n${HOST}`, 0);
    bench.bytes(2, "out", "LIST\r\n", 1);
    bench.bytes(1, "in", `OK\r\n{"channels": []}${HOSTED}`, 4);
    await bench.pass(20);
    const pieces = await bench.ask("stream", { number: 2, before: 1, after: 1, bytes: 3 });
    expect(pieces.map(({ row, bytes }) => [row.number, new TextDecoder().decode(bytes)])).toEqual([
      [1, "LIS"],
      [2, "HOS"],
      [4, "OK\r"],
    ]);
    const { rows } = await bench.ask("statistics", undefined);
    expect(rows.find(({ name }) => name === "LIST")).toMatchObject({
      group: "command",
      count: 2,
      bytes: 12,
      bad: 0,
    });
    expect(rows.find(({ name }) => name === "HOST")?.p99).toBeCloseTo(4, 0);
    const timeline = await bench.ask("timeline", { buckets: 4 });
    expect(timeline.frames.reduce((sum, frames) => sum + frames, 0)).toBe(5);
    await bench.ask("range", { from: 1, to: 2 });
    await bench.pass(20);
    expect(bench.rows.map(({ number }) => number)).toEqual([3]);
  });

  test("completions are of fields and of what was seen", async () => {
    bench.bytes(1, "out", HOST);
    await bench.pass(20);
    const { start, end, items } = await bench.ask("complete", { text: '"é" && json.ch', caret: 14 });
    expect([start, end, items.map(({ text }) => text)]).toEqual([7, 14, ["json.channel_name"]]);
  });

  test("exports come in parts that make one file", async () => {
    for (let i = 0; i < 100; i += 1)
      bench.bytes(1, "out", `MESSAGE\r\n{"x": "${"y".repeat(60_000)}"}`, DATE + i);
    await bench.pass(20);
    const parts: string[] = [];
    for (let cursor: number | undefined; ;) {
      const ask = { format: "jsonl", scope: "all", ...(cursor !== undefined && { cursor }) } as const;
      const part = await bench.ask("export", ask);
      expect(part.name).toBe("chanwire.jsonl");
      parts.push(new TextDecoder().decode(part.bytes));
      cursor = part.next;
      if (cursor === undefined) break;
    }
    expect(parts.length).toBeGreaterThan(1);
    const lines = parts.join("").trimEnd().split("\n");
    expect(JSON.parse(lines[0])).toEqual({
      connection: 1,
      label: "peer 1",
      started: "2023-11-14T22:13:20.000000Z",
    });
    expect(lines.slice(1).map((line) => (JSON.parse(line) as { row: number }).row)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
    await expect(bench.ask("export", { format: "bin", scope: "all", connection: 2 })).rejects.toThrow(
      "no such bytes",
    );
  });

  test("dates stay true after a clear, and after a capture of another day", async () => {
    const started = async () => {
      const { bytes } = await bench.ask("export", { format: "jsonl", scope: "all" });
      const [, day] = /"started":"([^"T]*)T/.exec(new TextDecoder().decode(bytes)) ?? [];
      return { bytes, day };
    };
    const day = 86_400_000;
    bench.bytes(1, "out", "LIST\r\n", DATE);
    const { bytes } = await started();
    for (const connection of [1, 2]) bench.send({ type: "close", connection, time: DATE });
    bench.send({ type: "clear" });
    bench.send({ type: "open", connection: 3, label: "" });
    bench.bytes(3, "out", "LIST\r\n", DATE + day);
    expect((await started()).day).toBe("2023-11-15");
    bench.send({ type: "close", connection: 3, time: DATE + day });
    await bench.ask("reset", undefined);
    await bench.ask("import", { step: "begin", everything: false });
    await bench.ask("import", { step: "bytes", bytes: bytes as Uint8Array<ArrayBuffer> });
    await bench.ask("import", { step: "end" });
    bench.send({ type: "open", connection: 9, label: "" });
    bench.bytes(9, "out", "LIST\r\n", DATE + 2 * day);
    await bench.pass(20);
    expect((await started()).day).toBe("2023-11-14");
    expect(bench.rows.map(({ time }) => time)).toEqual([0, 2 * day]);
  });

  test("after a reset rows and connections are numbered from 1, and only the filter and the highlight are as they were", async () => {
    for (const connection of [1, 2]) {
      bench.send({ type: "open", connection, label: `peer ${connection}` });
      for (let at = 0; at < 30; at += 1) bench.bytes(connection, "out", "LIST\r\n", at);
    }
    await bench.ask("filter", { which: "filter", text: "cmd == HOST" });
    await bench.ask("filter", { which: "highlight", text: "dir == out" });
    await bench.ask("range", { from: 0, to: 1 });
    bench.send({ type: "pause", paused: true });
    await bench.pass(2000);
    const before = bench.status;
    await bench.ask("reset", undefined);
    await bench.pass(20);
    expect(bench.status).toMatchObject({
      begin: 0,
      end: 0,
      first: 1,
      captured: 1,
      dropped: 0,
      bad: 0,
      rate: 0,
    });
    expect(bench.status?.epoch).toBeGreaterThan(before?.epoch ?? 0);
    expect(await bench.ask("connections", undefined)).toEqual([]);
    bench.send({ type: "open", connection: 1, label: "another" });
    bench.bytes(1, "out", `LIST\r\n${HOST}`, DATE);
    await bench.pass(20);
    expect(bench.rows.map(({ number, head, highlighted }) => [number, head, highlighted])).toEqual([
      [2, "HOST", true],
    ]);
    expect(bench.status).toMatchObject({ added: 2, highlights: 1 });
    expect(await bench.ask("connections", undefined)).toEqual([{ number: 1, label: "another" }]);
  });

  test("an export that is cleared meanwhile says so", async () => {
    for (let i = 0; i < 100; i += 1) bench.bytes(1, "out", `MESSAGE\r\n{"x": "${"y".repeat(60_000)}"}`, i);
    const { next } = await bench.ask("export", { format: "jsonl", scope: "all" });
    bench.send({ type: "clear" });
    const ask = { format: "jsonl", scope: "all", ...(next !== undefined && { cursor: next }) } as const;
    await expect(bench.ask("export", ask)).rejects.toThrow("cleared meanwhile");
  });

  test("connections are known wherever they came from, also of a capture that cannot be read to its end", async () => {
    for (const connection of [1, 2]) bench.bytes(connection, "out", "LIST\r\n");
    const numbers = async () => (await bench.ask("connections", undefined)).map(({ number }) => number);
    expect(await numbers()).toEqual([1, 2]);
    const { bytes } = await bench.ask("export", { format: "jsonl", scope: "all" });
    await bench.ask("reset", undefined);
    await bench.ask("import", { step: "begin", everything: false });
    // Its last line is none.
    bytes.set(ascii("?"), bytes.length - 3);
    const read = await bench.ask("import", { step: "bytes", bytes });
    const { error } = read.error === undefined ? await bench.ask("import", { step: "end" }) : read;
    expect(error).toContain("at byte ");
    // Of the last one nothing was read but that it is there.
    expect(await numbers()).toEqual([1]);
  });

  test("a question that cannot be answered says why", async () => {
    await expect(bench.ask("nonsense" as Question, undefined)).rejects.toThrow("there is no question");
  });
});
