import { describe, expect, test } from "vitest";
import { BatchBuilder, type NewRow } from "../src/decode/batch";
import { FrameStore } from "../src/store/store";
import { ascii, differAt } from "./fakes";

function row(part: Partial<NewRow>): NewRow {
  return {
    kind: "frame",
    direction: "in",
    push: false,
    bad: false,
    connection: 1,
    time: 0,
    start: 0,
    end: 0,
    head: "OK",
    summary: "",
    rtt: NaN,
    pair: 0,
    ...part,
  };
}

/** A store with one connection, and a way to add frames to it. Each frame's bytes are its position in digits. */
function filled(limits: { rows: number; bytes: number }, size = 10) {
  const store = new FrameStore(limits);
  const builder = new BatchBuilder();
  let position = 0;
  store.open(1);
  return {
    store,
    builder,
    add(count: number) {
      for (let i = 0; i < count; i += 1) {
        store.take(1, "in", position, ascii(String(position).padStart(size, "0")));
        builder.push(
          row({ time: position, start: position, end: position + size, summary: `at ${position}` }),
        );
        position += size;
      }
      store.append(builder.take());
    },
  };
}

const LARGE = { rows: 1000, bytes: 1 << 30 };

describe("the frame store", () => {
  test("gives back a row and its bytes", () => {
    const { store, add } = filled(LARGE);
    add(5);
    const third = store.row(3);
    expect(third).toMatchObject({ number: 3, connection: 1, start: 20, length: 10, summary: "at 20" });
    expect(third).toMatchObject({ rtt: undefined, pair: undefined });
    expect(store.bytes(third!)).toEqual(ascii("0000000020"));
    expect(store.reads(third!)).toEqual([{ start: 20, end: 30, time: 20 }]);
    expect(store.row(0)).toBeUndefined();
    expect(store.row(6)).toBeUndefined();
  });

  test("links a request and its answer both ways", () => {
    const store = new FrameStore(LARGE);
    const builder = new BatchBuilder();
    store.open(1);
    const request = builder.push(row({ direction: "out", head: "LIST" }));
    store.append(builder.take());
    expect(store.row(request)?.pair).toBeUndefined();
    const answer = builder.push(row({ pair: request, rtt: 2.5 }));
    store.append(builder.take());
    expect(store.row(request)?.pair).toBe(answer);
    expect(store.row(answer)).toMatchObject({ pair: request, rtt: 2.5 });
  });

  test("drops the oldest rows past the limit and counts them", () => {
    const { store, add } = filled({ rows: 100, bytes: 1 << 30 });
    add(250);
    expect([store.first, store.end, store.dropped]).toEqual([151, 251, 150]);
    expect(store.row(150)).toBeUndefined();
    expect(store.bytes(store.row(151)!)).toEqual(ascii("0000001500"));
  });

  test("drops rows when their bytes pass the limit", () => {
    const limit = 16 * 1024 * 1024;
    const { store, add } = filled({ rows: 1_000_000, bytes: limit }, 10_000);
    for (let i = 0; i < 300; i += 1) add(10);
    expect(store.allocated).toBeLessThanOrEqual(limit);
    expect(store.allocated).toBeGreaterThan(limit / 2);
    expect(store.dropped).toBeGreaterThan(0);
    expect(store.dropped + (store.end - store.first)).toBe(3000);
    const oldest = store.row(store.first)!;
    expect(differAt(store.bytes(oldest), ascii(String(oldest.start).padStart(10_000, "0")))).toBe(-1);
  });

  test("frees everything on clear, numbers on, and does not call it dropped", () => {
    const { store, add } = filled(LARGE);
    add(500);
    store.clear();
    expect([store.first, store.end, store.dropped]).toEqual([501, 501, 0]);
    expect(store.allocated).toBe(0);
    add(1);
    expect(store.row(501)).toMatchObject({ number: 501, start: 5000 });
    expect(store.bytes(store.row(501)!)).toEqual(ascii("0000005000"));
  });

  test("keeps a closed connection's bytes until its last row goes", () => {
    const { store, add } = filled({ rows: 10, bytes: 1 << 30 });
    add(5);
    store.close(1);
    expect(store.bytes(store.row(5)!)).toEqual(ascii("0000000040"));
    const builder = new BatchBuilder();
    store.open(2);
    for (let i = 0; i < 5; i += 1) builder.push(row({}));
    builder.take();
    for (let i = 0; i < 10; i += 1) builder.push(row({ connection: 2 }));
    store.append(builder.take());
    expect(store.first).toBe(6);
    expect(store.allocated).toBe(0);
  });

  test("keeps a fault that only its context explains, as long as its row", () => {
    const store = new FrameStore({ rows: 1, bytes: 1 << 20 });
    const builder = new BatchBuilder();
    store.open(1);
    const fault = { error: "Malformed command", details: "found a bare \\n", at: 4, closes: false };
    builder.push(row({ kind: "fault", direction: "out", bad: true, fault }));
    store.append(builder.take());
    expect(store.row(1)).toMatchObject({ kind: "fault", direction: "out", bad: true, fault });
    builder.push(row({}));
    store.append(builder.take());
    expect(store.row(1)).toBeUndefined();
    expect(store.row(2)?.fault).toBeUndefined();
  });
});
