// Tests of the module as the page loads it: the very bytes that are shipped, in node.
// Build first: see `make build`. Run: node --test wasm/tests/module.test.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const folder = new URL("../../web/src/wasm/", import.meta.url);
async function load(name) {
  try {
    const script = await import(new URL(`${name}.js`, folder));
    const module = new WebAssembly.Module(readFileSync(new URL(`${name}_bg.wasm`, folder)));
    return { ...script, module, memory: script.initSync({ module }).memory };
  } catch (error) {
    throw new Error(`the module ${name} is not built, run 'make build' (${error.message})`);
  }
}
const modules = [];
for (const name of ["chanwire_wasm", "chanwire_compose", "chanwire_sandbox"]) modules.push([name, await load(name)]);
const [[, { Viewer, memory }], [, { check, commands, compose, version }]] = modules;

const bytes = (text) => new TextEncoder().encode(text);
const DELIVERED = 'OK\r\n{"status": "delivered", "timestamp": "2023-11-02T15:04:32Z"}';

/** A capture of one connection, and all that is to be said of its rows. */
function capture() {
  const viewer = new Viewer(2 ** 26);
  viewer.open(1, "");
  const described = () => {
    const { captured } = JSON.parse(viewer.status());
    return Array.from({ length: captured - 1 }, (_, i) => JSON.parse(viewer.describe(i + 1)));
  };
  return { viewer, described };
}

/** Feeds pieces in one direction and ends it. */
function rows(direction, pieces) {
  const { viewer, described } = capture();
  for (const piece of pieces) viewer.bytes(1, direction, 0, piece);
  viewer.end(1, direction, 0);
  const all = described();
  viewer.free();
  return all;
}

/** Every object in a value must be as JSON would give it: plain, and with no member that says nothing. */
function assertPlain(value) {
  assert.ok(["string", "number", "boolean", "object"].includes(typeof value), `a ${typeof value}`);
  assert.notEqual(value, null);
  if (typeof value === "object" && !(value instanceof Uint8Array)) {
    const prototype = Array.isArray(value) ? Array.prototype : Object.prototype;
    assert.equal(Object.getPrototypeOf(value), prototype);
    Object.values(value).forEach(assertPlain);
  }
}

test("the modules need nothing but their own JavaScript", () => {
  for (const [name, { module }] of modules) {
    const needs = new Set(WebAssembly.Module.imports(module).map((entry) => entry.module));
    assert.deepEqual([...needs], [`./${name}_bg.js`]);
    assert.deepEqual(WebAssembly.Module.customSections(module, "name"), []);
    assert.deepEqual(WebAssembly.Module.customSections(module, "producers"), []);
  }
});

test("a session is decoded, paired and timed", () => {
  const { viewer, described } = capture();
  const requests = 'LIST\r\nMESSAGE\r\n{"username": "user1", "message_content": "Hello, World!"}';
  viewer.bytes(1, "out", 10, bytes(requests));
  const [list, message] = described();
  assert.deepEqual(list, {
    kind: "frame",
    direction: "out",
    span: { start: 0, end: 6 },
    head: "LIST",
    push: false,
    command: { start: 0, end: 4 },
    separator: { start: 4, end: 6 },
    fields: [],
    summary: "which channels are there?",
  });
  assert.equal(message.summary, "user1: Hello, World!");
  assert.deepEqual(message.payload, { start: 15, end: requests.length });
  assert.deepEqual(message.fields[0], {
    name: "username",
    key: { start: 16, end: 26 },
    value: { start: 28, end: 35 },
    kind: "string",
    text: "user1",
    children: [],
  });
  viewer.bytes(1, "in", 12.5, bytes(`OK\r\n{"channels": []}${DELIVERED}`));
  const answers = described().slice(2);
  assert.deepEqual(
    answers.map(({ status, summary, pair, rtt }) => ({ status, summary, pair, rtt })),
    [
      { status: "OK", summary: "0 channels", pair: 1, rtt: 2.5 },
      { status: "OK", summary: "delivered 2023-11-02T15:04:32Z", pair: 2, rtt: 2.5 },
    ],
  );
  viewer.free();
  assert.throws(() => viewer.bytes(1, "in", 0, bytes("OK")));
});

test("rows do not depend on how the stream was cut", () => {
  const stream = bytes(` \nHOST\r\n{"channel_name": "é\\u202e"}PING\r\n{}LIST\n[]\r\n{"a": [true, null]}HO?T rest`);
  const whole = rows("out", [stream]);
  assert.deepEqual(
    whole.map((row) => (row.kind === "skipped" ? row.head : row.kind)),
    [
      ...["white space", "frame", "fault", "object", "fault", "object"],
      ...["white space", "fault", "fault", "discarded"],
    ],
  );
  let end = 0;
  for (const row of whole) {
    assert.equal(row.span.start, end);
    end = row.span.end;
  }
  assert.equal(end, stream.length);
  assertPlain(whole);
  assert.deepEqual(
    rows(
      "out",
      [...stream].map((byte) => Uint8Array.of(byte)),
    ),
    whole,
  );
});

test("a fault names its byte and whether the connection closes", () => {
  const [row] = check(bytes("HO?T"));
  assert.deepEqual(
    { ...row.fault, details: undefined },
    { error: "Malformed command", details: undefined, at: 2, closes: true },
  );
  const [cut] = check(bytes('HOST\r\n{"a'));
  assert.deepEqual([cut.fault.error, "at" in cut.fault], ["Incomplete request", false]);
});

test("a peer's text is made visible", () => {
  const [row] = rows("in", [bytes('SERVER_ERROR\r\n{"error": "\\u001b[2J\u202e", "details": "a\\r\\nb"}')]);
  assert.equal(row.summary, "\\u{1b}[2J\\u{202e}: a\\r\\nb");
  assert.equal(row.error, "\\u{1b}[2J\\u{202e}");
});

test("the frame that is arriving is told", () => {
  const { viewer } = capture();
  viewer.bytes(1, "out", 0, bytes('LIST\r\nHOST\r\n{"'));
  assert.deepEqual(JSON.parse(viewer.status()).arriving, [
    {
      connection: 1,
      direction: "out",
      start: 6,
      end: 14,
      head: "HOST",
      state: "inside a payload",
      bytes: [...bytes('HOST\r\n{"')],
    },
  ]);
  viewer.free();
});

test("each form's example is what its fields compose", () => {
  const forms = commands();
  assert.deepEqual(
    forms.map((form) => form.command),
    ["LIST", "HOST", "MESSAGE", "UNHOST", "JOIN", "LEAVE", "HISTORY", "HELLO", "AUTH", "WHO", "CHANNELS", "DELETE", "ROLE", "SETTINGS", "CONNECTIONS", "DISCONNECT"],
  );
  for (const form of forms) {
    const [row] = check(bytes(form.example));
    assert.equal(row.fault, undefined);
    // Not the row's fields, where secrets are masked.
    const payload = form.example.slice(form.example.indexOf("\n") + 1);
    const members = Object.entries(payload === "" ? {} : JSON.parse(payload));
    const values = Object.fromEntries(members.map(([name, value]) => [name, String(value)]));
    const composed = compose(form.command, values);
    assert.ok(composed.bytes instanceof Uint8Array);
    assert.equal(new TextDecoder().decode(composed.bytes), form.example);
  }
  assertPlain(forms);
});

test("problems of a form are reported field by field", () => {
  const { problems } = compose("HOST", { channel_name: "general", peer_server_port: "0" });
  assert.deepEqual(
    problems.map((problem) => problem.field),
    ["peer_server_ip", "peer_server_port"],
  );
  assertPlain(problems);
  assert.deepEqual(Object.keys(compose("PING", {}).problems[0]), ["message"]);
  assert.throws(() => compose("HOST", { channel_name: 5 }), Error);
  assert.throws(() => new Viewer(0).bytes(1, "sideways", 0, bytes("")), /'out' or 'in', found 'sideways'/);
});

test("clearing gives memory back", () => {
  const { viewer } = capture();
  const request = bytes("LIST\r\n".repeat(1000));
  const answer = bytes('OK\r\n{"channels": []}'.repeat(1000));
  const round = () => {
    for (let index = 0; index < 20; index += 1) {
      viewer.bytes(1, "out", 0, request);
      viewer.bytes(1, "in", 1, answer);
    }
    viewer.clear();
  };
  round();
  const before = memory.buffer.byteLength;
  for (let index = 0; index < 30; index += 1) round();
  assert.equal(memory.buffer.byteLength, before);
  viewer.free();
});

test("the version is a version", () => {
  assert.match(version(), /^\d+\.\d+\.\d+$/);
});
