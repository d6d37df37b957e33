// Access to the bridge: the real server, asked by hand, as no browser would and as a hostile page might.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { startServer } from "./kit.mjs";

let server;
/** The authority of the page: 127.0.0.1 and a port. */
let authority;

before(async () => {
  server = await startServer();
  authority = new URL(server.origin).host;
});

after(() => server?.stop());

const UPGRADE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
];

/** A request by hand, for a WebSocket if none else is asked for; `null` is a header that is not there. */
async function open({ path = "/bridge", host = authority, origin = `http://${authority}`, headers = UPGRADE }) {
  const [name, port] = authority.split(":");
  const socket = connect(Number(port), name);
  const lines = [
    `GET ${path} HTTP/1.1`,
    ...(host === null ? [] : [`Host: ${host}`]),
    ...(origin === null ? [] : [`Origin: ${origin}`]),
    ...headers,
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  const incoming = socket[Symbol.asyncIterator]();
  let held = Buffer.alloc(0);
  const until = async (enough) => {
    while (!enough(held)) {
      const { value, done } = await incoming.next();
      assert.ok(!done, `the connection ended after ${JSON.stringify(held.toString("latin1"))}`);
      held = Buffer.concat([held, value]);
    }
  };
  await until((bytes) => bytes.includes("\r\n\r\n"));
  const end = held.indexOf("\r\n\r\n") + 4;
  const answer = held.subarray(0, end).toString("latin1");
  held = held.subarray(end);
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(answer)[1]),
    answer,
    say(text) {
      // With a mask of zeros the bytes are as they are.
      socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]));
    },
    /** The next frame: its kind, and of a close frame its code. */
    async frame() {
      await until((bytes) => bytes.length >= 2);
      const long = held[1] === 126;
      await until((bytes) => bytes.length >= (long ? 4 : 2));
      const length = long ? held.readUInt16BE(2) : held[1];
      const start = long ? 4 : 2;
      await until((bytes) => bytes.length >= start + length);
      const body = held.subarray(start, start + length);
      const kind = held[0] & 15;
      held = held.subarray(start + length);
      return kind === 8 ? { close: body.readUInt16BE(0) } : { text: body.toString() };
    },
    /** Returns the bytes until the server ends the connection. */
    async rest() {
      const parts = [held];
      for await (const part of incoming) parts.push(part);
      return Buffer.concat(parts);
    },
    done: () => socket.destroy(),
  };
}

const token = (text) => JSON.stringify({ type: "token", token: text });

/** Values of Host, and whether each is one of the server's names. */
function hosts() {
  const [, port] = authority.split(":");
  return [
    [authority, true],
    [`localhost:${port}`, true],
    [`[::1]:${port}`, true],
    [null, false],
    ["", false],
    ["null", false],
    ["127.0.0.1", false],
    [`127.0.0.1:${Number(port) ^ 1}`, false],
    // A name that was made to mean this machine.
    [`evil.example:${port}`, false],
    [`127.0.0.1.evil.example:${port}`, false],
  ];
}

test("the bridge, the page and each of its parts are there under the server's own names and no other", async () => {
  const page = await (await fetch(server.origin)).text();
  const parts = [...page.matchAll(/(?:src|href)="\.(\/[^"]+)"/g)].map(([, path]) => path);
  assert.ok(parts.some((path) => path.endsWith(".js")) && parts.some((path) => path.endsWith(".css")), page);
  for (const [host, isOurs] of hosts()) {
    const bridge = await open({ host, origin: `http://${host}` });
    assert.equal(bridge.status, isOurs ? 101 : 421, `/bridge of ${host}`);
    bridge.done();
    for (const path of ["/", ...parts, "/nowhere"]) {
      // As a page from anywhere would ask for it, and as somebody who types its address.
      for (const origin of [null, `http://${host}`]) {
        const asked = await open({ path, host, origin, headers: ["Connection: close"] });
        assert.equal(asked.status, isOurs ? (path === "/nowhere" ? 404 : 200) : 421, `${path} of ${host}`);
        assert.match(asked.answer, /^content-security-policy: default-src 'none';/m);
        // A refused client gets nothing of the page.
        if (!isOurs) assert.doesNotMatch((await asked.rest()).toString(), /<script|import|chanwire_/);
        asked.done();
      }
    }
  }
});

test("only the page's own origin opens the bridge", async () => {
  const [, port] = authority.split(":");
  const other = Number(port) ^ 1;
  const matrix = [
    [{}, 101],
    [{ origin: `https://${authority}` }, 101],
    [{ host: `localhost:${port}`, origin: `http://localhost:${port}` }, 101],
    [{ origin: null }, 403],
    [{ origin: "" }, 403],
    [{ origin: "null" }, 403],
    [{ origin: `http://127.0.0.1:${other}` }, 403],
    [{ origin: `http://localhost:${port}` }, 403],
    [{ origin: `http://evil.example:${port}` }, 403],
    [{ origin: `http://${authority}.evil.example` }, 403],
    [{ host: `evil.example:${port}`, origin: `http://${authority}` }, 421],
  ];
  for (const [asked, status] of matrix) {
    const socket = await open(asked);
    assert.equal(socket.status, status, JSON.stringify(asked));
    socket.done();
  }
});

test("the right token comes first, and in time", async () => {
  const right = await open({});
  right.say(token(server.token));
  assert.equal(JSON.parse((await right.frame()).text).type, "welcome");
  right.done();

  const wrong = server.token.replace(/./, (digit) => (digit === "0" ? "1" : "0"));
  for (const first of [token(wrong), token(""), JSON.stringify({ type: "connect", target: "0" }), server.token]) {
    const socket = await open({});
    socket.say(first);
    assert.deepEqual(await socket.frame(), { close: 4401 }, first);
    socket.done();
  }

  const late = await open({});
  const began = performance.now();
  // Another code than that of a wrong token: who was busy may come again with the same one.
  assert.deepEqual(await late.frame(), { close: 4408 });
  assert.ok(performance.now() - began > 1500, "it was not waited for");
  // Too late is too late: nothing comes of the right one, and the server ends the connection.
  late.say(token(server.token));
  assert.equal((await late.rest()).length, 0);
  late.done();
});
