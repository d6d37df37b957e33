// The decoder in the page, the program's and the server say the same of the same bytes: everything that the fuzzers kept,
// and the connections that were recorded.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { connect } from "node:net";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { eachTest } from "./kit.mjs";

const WASM = path.join(import.meta.dirname, "../../web/src/wasm");
const CORPUS = path.join(import.meta.dirname, "../fuzz/corpus");
const RECORDED = path.join(import.meta.dirname, "../tests/recorded");
const run = promisify(execFile);

const module = await import(path.join(WASM, "chanwire_wasm.js"));
module.initSync({ module: await readFile(path.join(WASM, "chanwire_wasm_bg.wasm")) });

let server;
let newTab;

eachTest((started) => {
  ({ server, newTab } = started);
});

/** The files of the corpus, by their paths. */
async function corpus() {
  const files = [];
  for (const target of await readdir(CORPUS)) {
    for (const name of await readdir(path.join(CORPUS, target))) files.push(path.join(CORPUS, target, name));
  }
  assert.ok(files.length > 400, `${files.length} files`);
  return files;
}

/** Each command as it should be, with and without what may be left out. */
const REQUESTS = [
  "LIST\r\n",
  'HOST\r\n{"channel_name": "Grüße", "peer_server_ip": "192.0.2.7", "peer_server_port": 22236, "lease": 60}',
  'HOST\r\n{"peer_server_port": 1, "peer_server_ip": "::1", "channel_name": "\\u00e9", "more": [{}]}',
  'MESSAGE\r\n{"username": "user1", "message_content": "\\ud83d\\ude42 \\" }"}',
  'MESSAGE\r\n{"username": "user1", "message_content": "x", "channel_name": "nowhere"}',
  'JOIN\r\n{"channel_name": "nowhere", "after": 0}',
  'LEAVE\r\n{"channel_name": "nowhere"}',
  'HISTORY\r\n{"channel_name": "nowhere", "before": 9, "limit": 1000}',
  'UNHOST\r\n{"channel_name": "Grüße"}',
];

/** Everything that a client might say: name and bytes. */
async function streams() {
  const read = async (file) => [path.relative(CORPUS, file), new Uint8Array(await readFile(file))];
  const all = await Promise.all((await corpus()).map(read));
  // By themselves, together, and each behind one that is wrong.
  const bytes = (text) => new Uint8Array(Buffer.from(text));
  for (const request of REQUESTS) {
    all.push([request, bytes(request)]);
    all.push([`wrong, ${request}`, bytes(`PING\r\n{}${request}`)]);
  }
  all.push(["all", bytes(REQUESTS.join("\r\n"))]);
  for (const name of await readdir(RECORDED)) {
    const rows = (await readFile(path.join(RECORDED, name), "utf8")).trimEnd().split("\n").map((line) => JSON.parse(line));
    const out = rows.filter(({ direction }) => direction === "out");
    const parts = out.map(({ text, base64 }) => (text === undefined ? Buffer.from(base64, "base64") : Buffer.from(text)));
    all.push([name, new Uint8Array(Buffer.concat(parts))]);
  }
  return all;
}

/** The rows that the page's engine makes of a stream. */
function inPage(direction, bytes) {
  const viewer = new module.Viewer(2 ** 24);
  viewer.open(1, "corpus");
  viewer.bytes(1, direction, 0, bytes);
  viewer.end(1, direction, 0);
  const { captured } = JSON.parse(viewer.status());
  const rows = [];
  for (let number = 1; number < captured; number += 1) rows.push(JSON.parse(viewer.describe(number)));
  viewer.free();
  return rows;
}

/** The rows that the program prints. It ends with 3 where something is wrong with them, which is no failure here. */
async function inProgram(direction, file) {
  const which = direction === "out" ? "requests" : "responses";
  const args = ["decode", "--json", "--direction", which, file];
  const { stdout } = await run(process.env.CHANWIRE_BIN, args, { maxBuffer: 2 ** 26 }).catch((error) => {
    assert.equal(error.code, 3, error.stderr);
    return error;
  });
  return stdout.trimEnd() === ""
    ? []
    : stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
}

test("the corpus through both gives the same items", async () => {
  // The inputs of the import's fuzzing look like dumps and captures, and the program reads them as such.
  const files = (await corpus()).filter((file) => !path.relative(CORPUS, file).startsWith("import"));
  let rows = 0;
  let faults = 0;
  // As many at a time as it takes to keep the processors busy.
  const queue = files.values();
  const work = async () => {
    for (const file of queue) {
      const bytes = new Uint8Array(await readFile(file));
      for (const direction of ["out", "in"]) {
        const [theirs, ours] = [await inProgram(direction, file), inPage(direction, bytes)];
        assert.deepEqual(ours, theirs, `${file}, ${direction}`);
        rows += ours.length;
        faults += ours.filter((row) => row.fault !== undefined).length;
      }
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  assert.ok(rows > 1500 && faults > 500, `${rows} rows, ${faults} faults`);
});

/** Say these bytes to the server, so many at a time, and then no more; gives all that it answers. */
function overTcp(bytes, step) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: server.port, host: "127.0.0.1", noDelay: true });
    const heard = [];
    socket.on("data", (data) => heard.push(data));
    socket.on("error", reject);
    socket.on("close", () => resolve(Buffer.concat(heard)));
    for (let at = 0; at < bytes.length; at += step) socket.write(bytes.subarray(at, at + step));
    socket.end();
  });
}

/** The same through the bridge, as a page does it. Runs in the page. */
async function overBridge({ token, base64, step }) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/bridge`);
  socket.binaryType = "arraybuffer";
  const say = (message) => socket.send(JSON.stringify(message));
  let heard = "";
  return new Promise((resolve, reject) => {
    socket.onopen = () => say({ type: "token", token });
    socket.onclose = ({ reason }) => reject(new Error(reason));
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) {
        for (const byte of new Uint8Array(data)) heard += String.fromCharCode(byte);
        return;
      }
      const message = JSON.parse(data);
      if (message.type === "welcome") say({ type: "connect", target: message.targets[0].id });
      else if (message.type === "opened") {
        for (let at = 0; at < bytes.length; at += step) socket.send(bytes.subarray(at, at + step));
        say({ type: "eof" });
      } else if (message.type === "closed") {
        socket.onclose = null;
        socket.close();
        resolve(btoa(heard));
      }
    };
  });
}

/** Errors that only the decoder finds: for what they are said, the page shows a fault. */
const DECODERS = ["Malformed command", "Unknown command", "Payload too large", "Incomplete request", "Request timed out"];
/** Errors that answer no request. */
const UNASKED = ["Slow consumer", "Server busy", "Channel removed", "Server stopping"];

/**
 * Each row that is owed an answer has one, in order: that of its fault if it has one. Gives how many had a
 * fault, and how many had none.
 */
function agree(name, bytes, answered) {
  const asked = inPage("out", bytes).filter((row) => row.fault !== undefined || row.kind === "frame");
  const answers = inPage("in", new Uint8Array(answered))
    .filter((row) => row.kind !== "skipped" && !row.push)
    .map((row) => {
      assert.equal(row.fault, undefined, `${name}: the server said ${JSON.stringify(row)}`);
      const payload = JSON.parse(answered.subarray(row.payload.start, row.payload.end).toString());
      return { status: row.status, ...payload };
    })
    .filter(({ error }) => !UNASKED.includes(error));
  for (const [i, row] of asked.entries()) {
    const answer = answers[i];
    const both = `${name}, ${JSON.stringify(row)}: ${JSON.stringify(answer)}`;
    assert.notEqual(answer, undefined, both);
    if (row.fault === undefined) assert.ok(!DECODERS.includes(answer.error), both);
    else {
      const { error, details } = row.fault;
      assert.deepEqual(answer, { status: "REQUEST_ERROR", error, details }, both);
    }
  }
  assert.equal(answers.length, asked.length, `${name}: ${JSON.stringify(answers.slice(asked.length))}`);
  const faults = asked.filter((row) => row.fault !== undefined).length;
  return [faults, asked.length - faults];
}

test("the server answers what the page says of the same bytes, however they are cut", async () => {
  let [faults, requests] = [0, 0];
  for (const [name, bytes] of await streams()) {
    for (const step of [Infinity, 7, 1]) {
      const [wrong, right] = agree(`${name} by ${step}`, bytes, await overTcp(bytes, step));
      faults += wrong;
      requests += right;
    }
  }
  assert.ok(faults > 1000 && requests > 100, `${faults} faults, ${requests} requests without`);
});

test("and so it does through the bridge", async () => {
  const tab = await newTab();
  await tab.open(server.page);
  let faults = 0;
  for (const [name, bytes] of await streams()) {
    for (const step of [2 ** 20, 5]) {
      const ask = { token: server.token, base64: Buffer.from(bytes).toString("base64"), step };
      const answered = Buffer.from(await tab.page.evaluate(overBridge, ask), "base64");
      faults += agree(`${name} by ${step} through the bridge`, bytes, answered)[0];
    }
  }
  assert.ok(faults > 700, `${faults} faults`);
});
