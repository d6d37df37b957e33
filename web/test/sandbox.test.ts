import { beforeEach, describe, expect, test } from "vitest";
import { SandboxControl } from "../src/sandbox/control.svelte";
import { LazyWorker } from "../src/sandbox/lazyWorker";
import type { FromSandbox, ToSandbox } from "../src/sandbox/messages";
import { SandboxRunner } from "../src/sandbox/runner";
import { clock } from "../src/sandbox/time";
import { clientTarget, type SandboxWorker } from "../src/source/sandbox";
import type { Link, LinkEvents } from "../src/source/source";
import { ascii } from "./fakes";
import { sandbox as module } from "./wasm";

const HOST = `HOST\r\n{"channel_name": "general", "peer_server_ip": "127.0.0.1", "peer_server_port": 22236}`;
const JOIN = `JOIN\r\n{"channel_name": "general"}`;
const HELLO = `MESSAGE\r\n{"username": "user1", "message_content": "Hello, World!"}`;

/** A worker with the real module in it, on a clock that a test moves. */
class Bench implements SandboxWorker {
  now = 0;
  readonly said: FromSandbox[] = [];
  #timer: { at: number; run: () => void } | undefined;
  #listeners: ((event: { data: FromSandbox }) => void)[] = [];
  readonly #runner = new SandboxRunner(module, (message) => this.#say(message), {
    now: () => this.now,
    wall: () => 1_698_937_472,
    later: (run, ms) => {
      const timer = { at: this.now + ms, run };
      this.#timer = timer;
      return () => {
        if (this.#timer === timer) this.#timer = undefined;
      };
    },
  });

  addEventListener(type: "message" | "error", listener: (event: never) => void): void {
    if (type !== "message") return;
    const listen = listener as (event: { data: FromSandbox }) => void;
    this.#listeners.push(listen);
    for (const data of this.said) listen({ data });
  }

  postMessage(message: ToSandbox): void {
    this.#runner.handle(message);
  }

  /** Time passes, and timers come in time. */
  pass(ms: number): void {
    const end = this.now + ms;
    while (this.#timer !== undefined && this.#timer.at <= end) {
      const { at, run } = this.#timer;
      this.#timer = undefined;
      this.now = at;
      run();
    }
    this.now = end;
  }

  #say(data: FromSandbox): void {
    this.said.push(data);
    for (const listener of this.#listeners) listener({ data });
  }
}

/** A recorder of a connection's events. */
class Told implements LinkEvents {
  readonly all: [what: string, time: number | undefined][] = [];
  received = "";

  opened(local: string, remote: string, time?: number): void {
    this.all.push([`opened ${local} ${remote}`, time]);
  }

  bytes(direction: "out" | "in", bytes: Uint8Array, time?: number): void {
    const text = new TextDecoder().decode(bytes);
    if (direction === "in") this.received += text;
    this.all.push([`${direction} ${text}`, time]);
  }

  ended(direction: "out" | "in", time?: number): void {
    this.all.push([`ended ${direction}`, time]);
  }

  refused(why: string): void {
    this.all.push([`refused ${why}`, undefined]);
  }

  closed(reason: string, bad: boolean, time?: number): void {
    this.all.push([`closed ${reason}${bad ? " !" : ""}`, time]);
  }

  get what(): string[] {
    return this.all.map(([what]) => what);
  }

  /** Returns the bytes received since the last call. */
  take(): string {
    const { received } = this;
    this.received = "";
    return received;
  }
}

let bench: Bench;
let control: SandboxControl;

beforeEach(() => {
  bench = new Bench();
  control = new SandboxControl(bench, () => bench.now);
});

function connect(address = "127.0.0.1"): { link: Link; told: Told } {
  const told = new Told();
  const link = control.source.connect(clientTarget(address), told);
  return { link, told };
}

function ask({ link, told }: { link: Link; told: Told }, text: string): string {
  link.send([{ bytes: ascii(text) }]);
  bench.pass(50);
  return told.take();
}

describe("the sandbox", () => {
  test("offers scenarios, settings and addresses", async () => {
    expect(control.scenarios.map(({ name }) => name)).toContain("Slow consumer");
    expect(control.settings.map(({ name }) => name)).toContain("max_payload");
    expect(await control.source.targets()).toContainEqual(clientTarget("192.0.2.7"));
  });

  test("lets one client hear the other, at the times of its own clock", () => {
    bench.now = 5000;
    control.start();
    const [ann, bob] = [connect(), connect("192.0.2.7")];
    expect(bob.told.all).toEqual([["opened 192.0.2.7:50002 127.0.0.1:22236", 5000]]);
    expect(ask(ann, HOST)).toMatch(/^OK\r\n{"status": "success"/);
    expect(ask(ann, JOIN)).toMatch(/^OK\r\n{"status": "joined"/);
    expect(ask(bob, HELLO)).toMatch(/^OK\r\n{"status": "delivered", "timestamp": "2023-11-02T15:04:32Z"}/);
    expect(ann.told.take()).toMatch(/^MESSAGE\r\n{"channel_name": "general", "id": 1, "username": "user1"/);
    const times = ann.told.all.map(([, time]) => time ?? NaN);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times.every((time) => time >= 5000 && time <= bench.now)).toBe(true);
  });

  test("lets the operator do what only a channel's host may", () => {
    control.start();
    const [ann, bob, operator] = [connect(), connect("192.0.2.7"), connect("operator")];
    const unhost = `UNHOST\r\n{"channel_name": "general"}`;
    ask(ann, HOST);
    expect(ask(bob, unhost)).toMatch(/Not the channel's host/);
    expect(ask(operator, unhost)).toMatch(/^OK\r\n/);
    expect(operator.told.what[0]).toBe("opened operator:3 127.0.0.1:22236");
  });

  test("lets a client without address rights host nothing", () => {
    control.start();
    const guest = connect("unix");
    expect(ask(guest, HOST)).toMatch(/^REQUEST_ERROR\r\n{"error": "Not allowed"/);
    expect(guest.told.what[0]).toBe("opened unix:1 127.0.0.1:22236");
  });

  test("fails, stalls and works as its store is told", () => {
    control.start();
    const ann = connect();
    ask(ann, HOST);
    control.setStore("fails");
    expect(ask(ann, HELLO)).toMatch(/^SERVER_ERROR\r\n{"error": "Database connection failed"/);
    control.setStore("stalls");
    expect(ask(ann, HELLO)).toBe("");
    expect(control.state).toMatchObject({ store: "stalls", waiting: 1, channels: 1, messages: 0 });
    control.setStore("works");
    bench.pass(50);
    expect(ann.told.take()).toMatch(/^OK\r\n{"status": "delivered"/);
    expect(control.state).toMatchObject({ store: "works", waiting: 0, messages: 1 });
  });

  test("jumps ahead in time, and says what it jumps to", () => {
    control.start();
    const ann = connect();
    ask(ann, "MESSAGE\r\n{");
    expect(control.state?.due).toMatchObject({ event: "the end of a request", connection: 1 });
    expect(control.source.localOf(1)).toBe("127.0.0.1:50001");
    expect(control.source.connectionOf("127.0.0.1:50001")).toBe(1);
    control.skip(60_000);
    bench.pass(50);
    expect(ann.told.take()).toBe("");
    control.skipToDue();
    bench.pass(50);
    expect(ann.told.take()).toMatch(/^REQUEST_ERROR\r\n{"error": "Request timed out"/);
    expect(bench.now).toBeLessThan(1000);
    expect(control.now).toBeGreaterThan(120_000);
  });

  test("sends each step by itself and in its time", () => {
    control.start();
    const { link, told } = connect();
    link.send([{ bytes: ascii("LI") }, { wait: 700 }, { bytes: ascii("ST\r\n") }, { end: true }]);
    expect(link.writable).toBe(false);
    bench.pass(2000);
    expect(told.take()).toBe('OK\r\n{"channels": []}');
    const out = told.all.filter(([what]) => what.startsWith("out") || what === "ended out");
    expect(out).toEqual([
      ["out LI", 0],
      ["out ST\r\n", 700],
      ["ended out", 700],
    ]);
    expect(told.what.at(-1)).toBe("closed the server closed the connection: client_closed");
  });

  test("takes all of what a client is told to send, also twice and also what is large", () => {
    control.start();
    const { link, told } = connect();
    const drip = Array.from({ length: 1806 }, (_, i) => [
      { bytes: ascii("LIST\r\n"[i % 6]) },
      { wait: 1000 },
    ]).flat();
    link.send(drip);
    link.send(drip);
    for (let i = 0; i < 40; i += 1) control.skip(120_000);
    bench.pass(50);
    const left = told.what.filter((what) => what.startsWith("out "));
    expect(left).toHaveLength(2 * 1806);
    expect(told.take().match(/OK\r\n/g)).toHaveLength(2 * 301);

    // Above a mebibyte, as one frame that is sent again.
    const large = connect();
    large.link.send([{ bytes: ascii(`LIST\r\n${" ".repeat(3 << 20)}LIST\r\n`) }, { end: true }]);
    for (let i = 0; i < 400; i += 1) bench.pass(50);
    expect(large.told.take().match(/OK\r\n/g)).toHaveLength(2);
    expect(large.told.what.at(-1)).toBe("closed the server closed the connection: client_closed");
  });

  test("takes nothing of what is too much, says so, and the client can go on", () => {
    control.start();
    const { link, told } = connect();
    link.send([{ wait: 1000 }, { bytes: new Uint8Array(40 << 20).fill(32) }]);
    link.send([{ bytes: new Uint8Array(30 << 20) }, { end: true }]);
    expect(told.what.at(-1)).toMatch(/^refused Nothing of this was sent: 41943040 B in \d steps still wait/);
    expect(link.writable).toBe(true);
    // A message that fits behind the waiting ones is taken.
    link.send([{ bytes: ascii("LIST\r\n") }, { end: true }]);
    expect(link.writable).toBe(false);
    expect(told.what.filter((what) => what.startsWith("refused"))).toHaveLength(1);
  });

  test("an end stands that was sent after what is refused", () => {
    control.start();
    const { link, told } = connect();
    link.send([{ wait: 1000 }, { bytes: new Uint8Array(40 << 20).fill(32) }]);
    const underWay: ToSandbox[] = [];
    bench.postMessage = (message) => underWay.push(message);
    link.send([{ bytes: new Uint8Array(30 << 20) }]);
    link.end();
    for (const message of underWay) Bench.prototype.postMessage.call(bench, message);
    expect(told.what.filter((what) => what.startsWith("refused"))).toHaveLength(1);
    expect(link.writable).toBe(false);
  });

  test("plays a scenario with clients of its own, which can then be played with", () => {
    control.start();
    const before = connect();
    const accepted: { address: string; link: Link; told: Told }[] = [];
    control.source.accept(({ id }, link) => {
      const told = new Told();
      accepted.push({ address: id, link, told });
      return told;
    });
    const scenario = control.scenarios.find(({ name }) => name === "Request timed out");
    control.play(scenario!);
    expect(before.told.what.at(-1)).toBe("closed the sandbox was started anew");
    expect(accepted.map(({ address }) => address)).toEqual(["127.0.0.1"]);
    const [{ link, told }] = accepted;
    expect(told.take()).toMatch(/^REQUEST_ERROR\r\n{"error": "Request timed out"/);
    expect(control.played).toBe(scenario);
    expect(link.writable).toBe(true);
    // Its times do not run back behind what was seen before, though they jumped ahead.
    const latest = Math.max(...told.all.map(([, time]) => time ?? 0));
    expect(latest).toBeGreaterThan(120_000);
    control.start();
    expect(connect().told.all[0][1]).toBeGreaterThanOrEqual(latest);
  });

  test("says why a client cannot connect", () => {
    control.start();
    const { link, told } = connect("nowhere");
    expect(told.what).toEqual(["closed 'nowhere' is no IP address !"]);
    expect(control.problem).toBe("'nowhere' is no IP address");
    expect(link.writable).toBe(false);
  });

  test("closes when the page says so, once, and carries out what was sent before", () => {
    control.start();
    const [ann, bob] = [connect(), connect()];
    ask(ann, HOST);
    bob.link.send([{ bytes: ascii(HELLO) }]);
    bob.link.close();
    bob.link.close();
    bench.pass(50);
    expect(bob.told.what.slice(-1)).toEqual(["closed disconnected by the page"]);
    expect(control.state?.messages).toBe(1);
  });

  test("is started anew with the limits that were typed, if they are right", () => {
    control.type("max_payload", "x");
    expect(control.problems.map(({ field }) => field)).toEqual(["max_payload"]);
    control.type("max_payload", "64");
    control.type("seed", "7");
    expect(control.problems).toEqual([]);
    expect(control.seed).toBe(7);
    control.start();
    const ann = connect();
    expect(ask(ann, `MESSAGE\r\n{"username": "${"x".repeat(64)}`)).toMatch(/limit of 64 bytes/);
  });

  test("gives the running server a rate, for which later requests wait", () => {
    control.start();
    control.type("units", "1");
    control.type("burst", "2");
    control.reconfigure();
    const ann = connect();
    const list = `OK\r\n{"channels": []}`;
    expect(ask(ann, "LIST\r\n".repeat(4))).toBe(list.repeat(2));
    expect(control.state).toMatchObject({
      throttled: [1],
      due: { event: "the end of a pause", connection: 1 },
    });
    bench.pass(1000);
    expect(ann.told.take()).toBe(list);
    bench.pass(1000);
    expect(ann.told.take()).toBe(list);
    bench.pass(10_000);
    expect(ann.told.take()).toBe("");
    expect(control.state?.throttled).toEqual([]);
  });

  test("does not tell the time again and again", () => {
    control.start();
    const before = bench.said.length;
    bench.pass(600_000);
    expect(bench.said.length).toBe(before);
  });
});

test("a lazy worker starts once, when it is spoken to", () => {
  let started = 0;
  const lazy = new LazyWorker(() => {
    started += 1;
    return bench;
  });
  const ready: FromSandbox[] = [];
  lazy.addEventListener("message", ({ data }) => ready.push(data));
  expect([started, ready.length]).toEqual([0, 0]);
  lazy.load();
  lazy.postMessage({ type: "start", life: 1, values: {} });
  expect(started).toBe(1);
  expect(ready[0].type).toBe("ready");
});

test.each([
  [0, "0:00.0"],
  [9_950, "0:09.9"],
  [61_234, "1:01.2"],
  [3_600_000, "60:00.0"],
])("%i ms is shown as %s", (ms, shown) => {
  expect(clock(ms)).toBe(shown);
});
