import { beforeEach, describe, expect, test, vi } from "vitest";
import { BridgeSource } from "../src/source/bridge";
import { parseControl } from "../src/source/control";
import { Refused, type Link, type LinkEvents } from "../src/source/source";
import { takeFromAddress, tokenIn } from "../src/source/token";
import { ascii, FakeSocket } from "./fakes";

const TOKEN = "0123456789abcdef0123456789abcdef";
const TARGET = { id: "0", address: "127.0.0.1:22236" };
const WELCOME = { type: "welcome", version: "0.1.0", targets: [TARGET] };
const OPENED = { type: "opened", target: "0", local: "127.0.0.1:50123", remote: "127.0.0.1:22236", after: 0 };

let socket: FakeSocket;
let refused: ReturnType<typeof vi.fn<() => void>>;
let source: BridgeSource;
/** The time of the page's clock. */
let now: number;

beforeEach(() => {
  refused = vi.fn();
  now = 0;
  source = new BridgeSource(
    TOKEN,
    () => (socket = new FakeSocket()),
    refused,
    () => now,
  );
});

describe("asking for the targets", () => {
  test("sends the token first, and connects to nothing", async () => {
    const targets = source.targets();
    expect(socket.sent).toEqual([]);
    socket.open();
    expect(socket.controls).toEqual([{ type: "token", token: TOKEN }]);
    socket.says(WELCOME);
    expect(await targets).toEqual([TARGET]);
    expect(socket.controls).toHaveLength(1);
    expect(socket.closed).toBe(1000);
  });

  test("is refused when the token is wrong", async () => {
    const targets = source.targets();
    socket.open();
    socket.dies(4401, "wrong token");
    await expect(targets).rejects.toBeInstanceOf(Refused);
    expect(refused).toHaveBeenCalledOnce();
  });

  test("goes on with the same token where the page was only late with it", async () => {
    const targets = source.targets();
    for (let tries = 0; tries < 2; tries += 1) socket.dies(4408, "no token came within 2 s: try again");
    socket.open();
    expect(socket.controls).toEqual([{ type: "token", token: TOKEN }]);
    socket.says(WELCOME);
    expect(await targets).toEqual([TARGET]);
    expect(refused).not.toHaveBeenCalled();
  });

  test("gives up where it is late each of three times, and keeps the token", async () => {
    const targets = source.targets();
    for (let tries = 0; tries < 3; tries += 1) socket.dies(4408, "no token came within 2 s: try again");
    await expect(targets).rejects.toThrow("no token came within 2 s: try again");
    await expect(targets).rejects.not.toBeInstanceOf(Refused);
    expect(refused).not.toHaveBeenCalled();
  });

  test("says that the server may be gone when the socket cannot be opened", async () => {
    const targets = source.targets();
    socket.dies(1006);
    await expect(targets).rejects.toThrow(/is chanwire serve still running/);
    expect(refused).not.toHaveBeenCalled();
  });
});

describe("a connection", () => {
  let log: unknown[][];
  let events: LinkEvents;
  let link: Link;

  beforeEach(() => {
    log = [];
    events = {
      opened: (local, remote) => log.push(["opened", local, remote]),
      bytes: (direction, bytes) => log.push([direction, String.fromCharCode(...bytes.slice(0, 100))]),
      ended: (direction) => log.push(["ended", direction]),
      refused: (why) => log.push(["refused", why]),
      closed: (reason, bad) => log.push(["closed", reason, bad]),
    };
    link = source.connect(TARGET, events);
  });

  function open() {
    socket.open();
    socket.says(WELCOME);
    socket.says(OPENED);
    log.length = 0;
    socket.sent.length = 0;
  }

  test("goes by token, welcome, connect, opened", () => {
    expect(socket.binaryType).toBe("arraybuffer");
    socket.open();
    expect(socket.controls).toEqual([{ type: "token", token: TOKEN }]);
    socket.says(WELCOME);
    expect(socket.controls.at(-1)).toEqual({ type: "connect", target: "0", report: true });
    expect(link.writable).toBe(false);
    socket.says(OPENED);
    expect(log).toEqual([["opened", "127.0.0.1:50123", "127.0.0.1:22236"]]);
    expect(link.writable).toBe(true);
  });

  test("carries bytes both ways unchanged", () => {
    open();
    link.send([{ bytes: ascii("LIST\r\n") }]);
    expect(log).toEqual([]);
    socket.says({ type: "wrote", bytes: 6, at: 0 });
    socket.bytes(ascii("OK\r\n"));
    expect(socket.sent).toEqual([ascii("LIST\r\n")]);
    expect(log).toEqual([
      ["out", "LIST\r\n"],
      ["in", "OK\r\n"],
    ]);
  });

  test("sends nothing before it is open, nor after its end", () => {
    link.send([{ bytes: ascii("early") }]);
    open();
    link.end();
    link.end();
    link.send([{ bytes: ascii("late") }]);
    expect(socket.controls).toEqual([{ type: "eof" }]);
    expect(link.writable).toBe(false);
    expect(log).toEqual([]);
    socket.says({ type: "ended", at: 3 });
    expect(log).toEqual([["ended", "out"]]);
  });

  test("cuts what is larger than a message may be", () => {
    open();
    link.send([{ bytes: new Uint8Array(2.5 * 1024 * 1024) }]);
    for (const bytes of [1 << 20, 1 << 20, 1 << 19]) socket.says({ type: "wrote", bytes, at: 1 });
    expect(socket.sent.map((data) => data.length)).toEqual([1 << 20, 1 << 20, 1 << 19]);
  });

  /** Returns the number of bytes and steps handed to the bridge from the message of this index on. */
  function given(from = 0) {
    const messages = socket.sent.slice(from);
    const bytes = messages.reduce((sum, data) => sum + (typeof data === "string" ? 0 : data.length), 0);
    return { bytes, steps: messages.length, next: socket.sent.length };
  }

  test("keeps no more than a mebibyte with the bridge, and sends all of it in the end", () => {
    open();
    const whole = new Uint8Array(300_000);
    for (let i = 0; i < 20; i += 1) link.send([{ bytes: whole }]);
    for (let reported = 0; reported < 20 * 300_000;) {
      const unreported = given().bytes - reported;
      expect(unreported).toBeGreaterThan(0);
      expect(unreported).toBeLessThanOrEqual(1 << 20);
      const bytes = Math.min(unreported, 70_001);
      reported += bytes;
      socket.says({ type: "wrote", bytes, at: 1 });
    }
    expect(socket.sent).toHaveLength(20);
    expect(log.filter(([what]) => what === "out").length).toBeGreaterThan(80);
    expect(log).not.toContainEqual(["refused", expect.anything()]);
  });

  test("keeps no more than 2048 steps with the bridge, and hands on as waits end and writes leave", () => {
    open();
    const drip = Array.from({ length: 3000 }, () => [{ bytes: ascii("x") }, { wait: 1 }]).flat();
    link.send([...drip, { end: true }]);
    expect(link.writable).toBe(false);
    let { steps, next } = given();
    expect(steps).toBe(2048);
    for (let i = 0; i < 3000; i += 1) {
      socket.says({ type: "wrote", bytes: 1, at: i });
      socket.says({ type: "waited", at: i });
      steps -= 2;
      const more = given(next);
      steps += more.steps;
      next = more.next;
      if (steps > 2048) expect.fail(`${steps} steps are with the bridge`);
    }
    expect(socket.controls.at(-1)).toEqual({ type: "eof" });
    expect(given()).toMatchObject({ bytes: 3000, steps: 6001 });
  });

  test("takes all of what is sent or, above 64 MiB, nothing, and says so", () => {
    open();
    const most = new Uint8Array(60 << 20);
    link.send([{ bytes: most }]);
    link.send([{ bytes: new Uint8Array(5 << 20) }, { end: true }]);
    expect(log).toEqual([
      ["refused", expect.stringMatching(/^Nothing of this was sent: 62,914,560 B in 60 steps still wait/)],
    ]);
    // A refusal does not end the connection, and a message that fits is taken.
    expect(link.writable).toBe(true);
    link.send([{ bytes: new Uint8Array(4 << 20) }]);
    expect(log).toHaveLength(1);
    for (let i = 0; i < 64; i += 1) socket.says({ type: "wrote", bytes: 1 << 20, at: i });
    link.send([{ bytes: new Uint8Array(64 << 20) }]);
    expect(log.filter(([what]) => what === "refused")).toHaveLength(1);
  });

  test("hands on a plan in its order, and nothing after its end", () => {
    open();
    link.send([{ bytes: ascii("LI") }, { wait: 500 }, { bytes: ascii("ST") }, { reset: true }, { wait: 1 }]);
    expect(
      socket.sent.map((data) => (typeof data === "string" ? JSON.parse(data) : data) as unknown),
    ).toEqual([ascii("LI"), { type: "wait", ms: 500 }, ascii("ST"), { type: "reset" }]);
    socket.says({ type: "closed", reason: "reset by the page" });
    expect(log).toEqual([["closed", "reset by the page", false]]);
  });

  test("tells of each write as it left, whatever the messages were", () => {
    open();
    link.send([{ bytes: ascii("LIST\r\n") }, { bytes: ascii("PI") }, { bytes: ascii("NG") }]);
    for (const [bytes, at] of [
      [4, 1],
      [2, 2],
      [2, 3],
    ]) {
      socket.says({ type: "wrote", bytes, at });
    }
    expect(log).toEqual([
      ["out", "LIST"],
      ["out", "\r\n"],
      ["out", "PI"],
    ]);
    // Bytes that were never given to the bridge did not leave either.
    socket.says({ type: "wrote", bytes: 100, at: 4 });
    expect(log.slice(3)).toEqual([["out", "NG"]]);
  });

  test("times are the bridge's, however late the page hears of them", () => {
    const times: (number | undefined)[] = [];
    events.opened = (_local, _remote, time) => times.push(time);
    events.bytes = (_direction, _bytes, time) => times.push(time);
    events.ended = (_direction, time) => times.push(time);
    now = 1000;
    socket.open();
    socket.says(WELCOME);
    // Everything is heard of at once, when the page has time for it.
    now = 1700;
    socket.says({ ...OPENED, after: 0.5 });
    link.send([{ bytes: ascii("LIST\r\n") }]);
    socket.says({ type: "wrote", bytes: 6, at: 10 });
    now = 2400;
    socket.says({ type: "read", at: 10.05 });
    socket.bytes(ascii("OK\r\n"));
    socket.says({ type: "read", at: 10.25 });
    socket.says({ type: "eof" });
    expect(times).toEqual([1000.5, 1010.5, 1010.55, 1010.75]);
  });

  test("gives credit only for what was taken, and before the bridge runs dry", () => {
    open();
    socket.bytes(new Uint8Array(65_536));
    expect(socket.controls).toEqual([]);
    let taken = 0;
    let outstanding = 0;
    for (let i = 0; i < 1000; i += 1) {
      link.taken(5000);
      taken += 5000;
      const given = (socket.controls as { bytes: number }[]).reduce((sum, { bytes }) => sum + bytes, 0);
      expect(given).toBeLessThanOrEqual(taken);
      outstanding = Math.max(outstanding, taken - given);
    }
    expect(socket.controls[0]).toMatchObject({ type: "credit" });
    expect(outstanding).toBeLessThan(512 * 1024);
  });

  test("ends in order when the server ends and closes", () => {
    open();
    socket.says({ type: "eof" });
    socket.says({ type: "closed", reason: "the server closed the connection" });
    socket.dies(1000);
    expect(log).toEqual([
      ["ended", "in"],
      ["closed", "the server closed the connection", false],
    ]);
  });

  test("tells a reset from an orderly end", () => {
    open();
    socket.says({ type: "closed", reason: "connection reset" });
    expect(log).toEqual([["closed", "connection reset", true]]);
  });

  test("tells why it was not opened", () => {
    socket.open();
    socket.says(WELCOME);
    socket.says({ type: "closed", reason: "Connection refused (os error 111)" });
    expect(log).toEqual([["closed", "Connection refused (os error 111)", true]]);
  });

  test.each([
    [4404, "no such target", "no such target"],
    [4429, "too many connections", "too many connections"],
    [1006, "", "the bridge is gone (is chanwire serve still running?)"],
    [4400, "", "the bridge closed the connection (code 4400)"],
  ])("says what close code %i says", (code, reason, words) => {
    socket.open();
    socket.dies(code, reason);
    expect(log).toEqual([["closed", words, true]]);
    expect(refused).not.toHaveBeenCalled();
  });

  test("reports a refused token, and not one that was late", () => {
    socket.open();
    socket.dies(4401, "wrong token");
    expect(refused).toHaveBeenCalledOnce();
    link = source.connect(TARGET, events);
    socket.dies(4408, "no token came within 2 s: try again");
    expect(refused).toHaveBeenCalledOnce();
    expect(log.at(-1)).toEqual(["closed", "no token came within 2 s: try again", true]);
  });

  test("closes when the page says so, once", () => {
    open();
    link.close();
    link.close();
    socket.dies(1000);
    expect(socket.closed).toBe(1000);
    expect(log).toEqual([["closed", "disconnected by the page", false]]);
  });

  test.each(["nonsense", '{"type":"opened"}', '{"type":"unheard"}', "[]", "null"])(
    "gives up on a control message that it does not understand: %s",
    (text) => {
      socket.open();
      socket.says(WELCOME);
      socket.text(text);
      expect(socket.closed).toBe(1000);
      expect(log).toHaveLength(1);
      expect(log[0]).toMatchObject(["closed", expect.stringMatching(/does not understand/), true]);
    },
  );

  test("takes no bytes before it is open", () => {
    socket.open();
    socket.bytes(ascii("x"));
    expect(log).toMatchObject([["closed", expect.any(String), true]]);
  });
});

test("a welcome with a target that is none is not understood", () => {
  expect(parseControl(JSON.stringify({ ...WELCOME, targets: [{ id: 0, address: "a" }] }))).toBeUndefined();
  expect(parseControl(JSON.stringify({ ...WELCOME, targets: [{ ...TARGET, channel: "general" }] }))).toEqual({
    ...WELCOME,
    targets: [{ ...TARGET, channel: "general" }],
  });
});

describe("the token", () => {
  test.each([
    [TOKEN, TOKEN],
    [`  ${TOKEN.toUpperCase()}\n`, TOKEN],
    [`http://127.0.0.1:22280/#token=${TOKEN}`, TOKEN],
    [`#token=${TOKEN}&frame=3`, TOKEN],
    [`#frame=3&token=${TOKEN}`, TOKEN],
    [`${TOKEN}0`, undefined],
    [`#token=${TOKEN.slice(1)}`, undefined],
    ["", undefined],
  ])("in %j", (text, token) => {
    expect(tokenIn(text)).toBe(token);
  });

  test("leaves the address as soon as it was read", () => {
    const replaceState = vi.fn();
    const location = { hash: `#token=${TOKEN}`, pathname: "/", search: "?x=1" };
    expect(takeFromAddress({ location, history: { replaceState, state: null } })).toBe(TOKEN);
    expect(replaceState).toHaveBeenCalledWith(null, "", "/?x=1");
  });

  test("an address without one is left alone", () => {
    const replaceState = vi.fn();
    const location = { hash: "#frame=3", pathname: "/", search: "" };
    expect(takeFromAddress({ location, history: { replaceState, state: null } })).toBeUndefined();
    expect(replaceState).not.toHaveBeenCalled();
  });
});
