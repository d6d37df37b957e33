// Tests of the module as the page loads it: the very bytes that are shipped, in node.
// Build first: see `make build`. Run: node --test wasm/tests/module.test.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const folder = new URL("../../web/src/wasm/", import.meta.url);
let chanwire;
try {
  chanwire = await import(new URL("chanwire_wasm.js", folder));
} catch (error) {
  throw new Error(`the module is not built, run 'make build' (${error.message})`);
}
const { Conversation, check, commands, compose, initSync, version } = chanwire;
const module = new WebAssembly.Module(readFileSync(new URL("chanwire_wasm_bg.wasm", folder)));
const { memory } = initSync({ module });

const bytes = (text) => new TextEncoder().encode(text);
const DELIVERED = 'OK\r\n{"status": "delivered", "timestamp": "2023-11-02T15:04:32Z"}';

/** Feeds pieces in one direction and ends it. */
function rows(direction, pieces) {
  const conversation = new Conversation();
  const fed = pieces.flatMap((piece) => conversation.feed(direction, 0, piece));
  const all = [...fed, ...conversation.finish(direction, 0)];
  conversation.free();
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

test("the module needs nothing but its own JavaScript", () => {
  const modules = new Set(WebAssembly.Module.imports(module).map((entry) => entry.module));
  assert.deepEqual([...modules], ["./chanwire_wasm_bg.js"]);
  assert.deepEqual(WebAssembly.Module.customSections(module, "name"), []);
  assert.deepEqual(WebAssembly.Module.customSections(module, "producers"), []);
});

test("a session is decoded, paired and timed", () => {
  const conversation = new Conversation();
  const requests = 'LIST\r\nMESSAGE\r\n{"username": "user1", "message_content": "Hello, World!"}';
  const [list, message] = conversation.feed("out", 10, bytes(requests));
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
  const answers = conversation.feed("in", 12.5, bytes(`OK\r\n{"channels": []}${DELIVERED}`));
  assert.deepEqual(
    answers.map(({ status, summary, pair, rtt }) => ({ status, summary, pair, rtt })),
    [
      { status: "OK", summary: "0 channels", pair: 0, rtt: 2.5 },
      { status: "OK", summary: "delivered 2023-11-02T15:04:32Z", pair: 1, rtt: 2.5 },
    ],
  );
  assertPlain(answers);
  conversation.free();
  assert.throws(() => conversation.feed("in", 0, bytes("OK")));
});

test("rows do not depend on how the stream was cut", () => {
  const stream = bytes(
    ` \nHOST\r\n{"channel_name": "é\\u202e"}PING\r\n{}LIST\n[]\r\n{"a": [true, null]}HO?T rest`,
  );
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

test("what a peer says is made visible", () => {
  const [row] = rows("in", [
    bytes('SERVER_ERROR\r\n{"error": "\\u001b[2J\u202e", "details": "a\\r\\nb"}'),
  ]);
  assert.equal(row.summary, "\\u{1b}[2J\\u{202e}: a\\r\\nb");
  assert.equal(row.error, "\\u{1b}[2J\\u{202e}");
});

test("the frame that is arriving is told", () => {
  const conversation = new Conversation(64);
  assert.equal(conversation.partial("out"), undefined);
  conversation.feed("out", 0, bytes('LIST\r\nHOST\r\n{"'));
  assert.deepEqual(conversation.partial("out"), {
    span: { start: 6, end: 14 },
    head: "HOST",
    state: "inside a payload",
  });
  const [row] = conversation.feed("out", 0, bytes("x".repeat(64)));
  assert.equal(row.fault.details, "The payload exceeds the limit of 64 bytes");
  conversation.free();
});

test("each form's example is what its fields compose", () => {
  const forms = commands();
  assert.deepEqual(
    forms.map((form) => form.command),
    ["LIST", "HOST", "MESSAGE", "UNHOST", "JOIN", "LEAVE", "HISTORY"],
  );
  for (const form of forms) {
    const [row] = check(bytes(form.example));
    assert.equal(row.fault, undefined);
    const values = Object.fromEntries(row.fields.map((field) => [field.name, field.text]));
    const composed = compose(form.command, values);
    assert.ok(composed.bytes instanceof Uint8Array);
    assert.equal(new TextDecoder().decode(composed.bytes), form.example);
  }
  assertPlain(forms);
});

test("what is wrong in a form is told field by field", () => {
  const { problems } = compose("HOST", { channel_name: "general", peer_server_port: "0" });
  assert.deepEqual(
    problems.map((problem) => problem.field),
    ["peer_server_ip", "peer_server_port"],
  );
  assertPlain(problems);
  assert.deepEqual(Object.keys(compose("PING", {}).problems[0]), ["message"]);
  assert.throws(() => compose("HOST", { channel_name: 5 }), Error);
  assert.throws(
    () => new Conversation().feed("sideways", 0, bytes("")),
    /'out' or 'in', found 'sideways'/,
  );
});

test("what was decoded is not kept", () => {
  const conversation = new Conversation();
  const request = bytes("LIST\r\n".repeat(1000));
  const answer = bytes('OK\r\n{"channels": []}'.repeat(1000));
  const round = () => {
    conversation.feed("out", 0, request);
    assert.equal(conversation.feed("in", 1, answer).length, 1000);
  };
  round();
  const before = memory.buffer.byteLength;
  for (let index = 0; index < 30; index += 1) round();
  assert.equal(memory.buffer.byteLength, before);
  conversation.free();
});

test("the version is a version", () => {
  assert.match(version(), /^\d+\.\d+\.\d+$/);
});
