import { expect, test } from "vitest";
import { TapSource } from "../src/source/tap";
import type { SocketLike } from "../src/source/bridge";
import { Refused, type Link, type LinkEvents } from "../src/source/source";

class Socket implements SocketLike {
  binaryType: BinaryType = "blob";
  readonly said: Record<string, unknown>[] = [];
  #listeners = new Map<string, ((event: never) => void)[]>();

  send(data: string | Uint8Array<ArrayBuffer>): void {
    this.said.push(JSON.parse(data as string) as Record<string, unknown>);
  }

  close(code?: number): void {
    this.fire("close", { code, reason: "" });
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  fire(type: string, event: unknown): void {
    for (const listener of this.#listeners.get(type) ?? []) (listener as (event: unknown) => void)(event);
  }
}

function record(kind: number, connection: number, time: number, body: string): Uint8Array {
  const bytes = new TextEncoder().encode(body);
  const record = new Uint8Array(17 + bytes.length);
  const view = new DataView(record.buffer);
  view.setUint8(0, kind);
  view.setUint32(1, connection, true);
  view.setFloat64(5, time, true);
  view.setUint32(13, bytes.length, true);
  record.set(bytes, 17);
  return record;
}

function message(...records: Uint8Array[]): { data: ArrayBuffer } {
  const whole = new Uint8Array(records.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const one of records) {
    whole.set(one, at);
    at += one.length;
  }
  return { data: whole.buffer };
}

async function watch(earlier = { connections: 0, frames: 0, bytes: 0 }) {
  const socket = new Socket();
  const told: string[] = [];
  const links: Link[] = [];
  const source = new TapSource(
    "0".repeat(32),
    () => socket,
    () => told.push("refused"),
    1000,
  );
  source.accept(({ id, address }, link): LinkEvents => {
    links.push(link);
    told.push(`accept ${id} ${address}`);
    return {
      opened: (local, remote, time) => told.push(`opened ${local} ${remote} ${time}`),
      bytes: (direction, bytes, time) => told.push(`${direction} ${new TextDecoder().decode(bytes)} ${time}`),
      ended: (direction, time) => told.push(`ended ${direction} ${time}`),
      refused: (why) => told.push(`refused ${why}`),
      gap: (direction, gap, time) => told.push(`gap ${direction} ${JSON.stringify(gap)} ${time}`),
      closed: (reason, bad, time) => told.push(`closed ${reason} ${bad} ${time}`),
    };
  });
  const ready = source.targets();
  socket.fire("open", undefined);
  const tap = { listen: "127.0.0.1:1", to: "127.0.0.1:2" };
  socket.fire("message", {
    data: JSON.stringify({ type: "welcome", version: "0", targets: [], tap }),
  });
  let isReady = false;
  void ready.then(() => (isReady = true));
  expect(socket.said).toEqual([{ type: "token", token: "0".repeat(32) }, { type: "watch" }]);
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(isReady).toBe(false);
  socket.fire("message", { data: JSON.stringify({ type: "watching", ...earlier }) });
  expect(await ready).toEqual([]);
  socket.said.length = 0;
  return { socket, source, told, links };
}

const OPEN = record(1, 7, 1001, '{"client": "a", "server": "b"}');

test("records are told in order, with times of the page's own clock", async () => {
  const { socket, told } = await watch();
  const gap = '{"bytes": 5, "frames": 1, "paired": 1, "text": "lost"}';
  socket.fire(
    "message",
    message(OPEN, record(2, 7, 1002, "LIST"), record(3, 7, 1003, "OK"), record(7, 7, 1004, gap)),
  );
  const close = '{"reason": "reset by the client", "bad": true}';
  socket.fire(
    "message",
    message(record(5, 7, 1005, ""), record(6, 7, 1006, close), record(2, 9, 1, "nobody's")),
  );
  expect(told).toEqual([
    "accept 7 a to b",
    "opened a b 1",
    "out LIST 2",
    "in OK 3",
    'gap out {"bytes":5,"frames":1,"paired":1,"text":"lost"} 4',
    "ended in 5",
    "closed reset by the client true 6",
  ]);
});

test("credit is given for what was decoded and for all that came before it", async () => {
  const { socket, links } = await watch();
  const answered = message(OPEN, record(3, 7, 1, "0123456789"));
  const asked = message(record(2, 7, 2, "LIST"));
  socket.fire("message", answered);
  socket.fire("message", asked);
  expect(socket.said).toEqual([]);
  links[0].taken(4);
  expect(socket.said).toEqual([]);
  links[0].taken(6);
  const bytes = answered.data.byteLength + asked.data.byteLength;
  expect(socket.said).toEqual([{ type: "credit", bytes }]);
});

test("the note says how much traffic passed before the backlog", async () => {
  expect((await watch()).source.note).toBe("");
  const some = await watch({ connections: 0, frames: 1, bytes: 6 });
  expect(some.source.note).toBe("1 frame (6 B) passed before what the tap still has");
  const more = await watch({ connections: 2, frames: 3000, bytes: 4096 });
  expect(more.source.note).toBe(
    "3,000 frames (4 KiB) passed before what the tap still has, and 2 connections ended",
  );
});

test("when the tap is gone its connections are closed, and badly", async () => {
  const { socket, told } = await watch();
  socket.fire("message", message(OPEN));
  socket.fire("close", { code: 1006, reason: "" });
  expect(told.at(-1)).toBe("closed the tap is gone (is it still running?) true undefined");
});

test("a server that is no tap is refused", async () => {
  const socket = new Socket();
  const source = new TapSource(
    "0".repeat(32),
    () => socket,
    () => undefined,
    0,
  );
  const ready = source.targets();
  socket.fire("open", undefined);
  socket.fire("message", { data: JSON.stringify({ type: "welcome", version: "0", targets: [] }) });
  await expect(ready).rejects.toThrow("no tap");
});

test("a page that was late with its token shows it again, and one whose token is wrong is told", async () => {
  const sockets: Socket[] = [];
  let refused = 0;
  const source = new TapSource(
    "0".repeat(32),
    () => {
      sockets.push(new Socket());
      return sockets[sockets.length - 1];
    },
    () => (refused += 1),
    0,
  );
  const late = source.targets();
  sockets[0].fire("close", { code: 4408, reason: "no token came within 2 s: try again" });
  sockets[1].fire("open", undefined);
  const tap = { listen: "127.0.0.1:1", to: "127.0.0.1:2" };
  sockets[1].fire("message", {
    data: JSON.stringify({ type: "welcome", version: "0", targets: [], tap }),
  });
  sockets[1].fire("message", {
    data: JSON.stringify({ type: "watching", connections: 0, frames: 0, bytes: 0 }),
  });
  expect(await late).toEqual([]);
  expect(refused).toBe(0);
  // It is the newer socket that credit and the end go to.
  expect(sockets[1].said).toHaveLength(2);

  const wrong = source.targets();
  sockets[2].fire("close", { code: 4401, reason: "wrong token" });
  await expect(wrong).rejects.toBeInstanceOf(Refused);
  expect([refused, sockets.length]).toEqual([1, 3]);
});
