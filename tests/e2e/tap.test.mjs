// Traffic of other clients: live through a tap, and from captures.  The first test is the session that the README
// shows, and makes its pictures.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { capture100 } from "./bench/traffic.mjs";
import { ARTIFACTS, eachTest, startTap } from "./kit.mjs";

/** The folder of the session's pictures; `make pictures` sets the README's. */
const PICTURES = process.env.CHANWIRE_PICTURES ?? ARTIFACTS;

let server;
let tap;
let tab;

eachTest(async (started) => {
  server = started.server;
  tap = await startTap(server);
  tab = await started.newTab({ viewport: { width: 1120, height: 700 }, colorScheme: "light" });
}, { end: () => tap?.stop() });

/** A client that says each of these when the last one was answered, and then ends; gives all answers. */
function client(port, requests) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let answers = "";
    let asked = 0;
    const ask = () => {
      if (asked === requests.length) socket.end();
      else socket.write(requests[asked]);
      asked += 1;
    };
    socket.on("connect", ask);
    socket.on("data", (bytes) => {
      answers += bytes;
      // Each answer is one object.
      if (answers.split("\r\n{").length - 1 >= asked) ask();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answers));
  });
}

const hosting = (port) =>
  `HOST\r\n{"channel_name": "general", "peer_server_ip": "192.0.2.7", "peer_server_port": ${port}}`;

async function watching() {
  await tab.page.goto(tap.page);
  await tab.page.getByText("Watching: connect clients to the tap").waitFor();
  assert.equal(await tab.page.getByRole("button", { name: "Tap" }).getAttribute("aria-pressed"), "true");
}

async function picture(name) {
  await mkdir(PICTURES, { recursive: true });
  await tab.page.screenshot({ path: path.join(PICTURES, name) });
}

test("a client's Invalid payload is found in four steps", async () => {
  // 1. The tap runs, and its page is open.
  await watching();
  // 2. The client connects to the tap instead of the server.
  const answers = await client(tap.port, ["LIST\r\n", hosting(22240), hosting('"22241"'), "LIST\r\n"]);
  assert.match(answers, /Invalid payload/);
  // 3. The faulty row stands out among the others.
  await tab.row({ dir: "in", head: "OK", summary: "1 channel" }).last().waitFor();
  await tab.row({ head: /^closed$/ }).waitFor();
  const faulty = tab.row({ dir: "out", head: "HOST", summary: "Invalid payload" });
  assert.equal(await faulty.count(), 1);
  await picture("tap-rows.png");
  await tab.page.getByRole("combobox", { name: "Filter" }).fill("err");
  await tab.until(() => document.querySelectorAll("#frames [data-number]").length === 2);
  // 4. The frame that is chosen shows the byte.
  await tab.choose(faulty);
  await tab.page.getByRole("tab", { name: "Hex" }).click();
  await tab.page.locator(".hex .fault-byte").first().waitFor();
  await tab.page.getByText("must be an integer from 1 to 65535").first().waitFor();
  await picture("tap-byte.png");
});

test("traffic through the tap is followed live, with ends and resets", async () => {
  await watching();
  const socket = connect(tap.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write("LIST\r\nHO");
  await tab.row({ dir: "in", head: "OK" }).waitFor();
  socket.resetAndDestroy();
  await tab.row({ head: "closed", summary: "reset by the client" }).waitFor();
  await tab.row({ dir: "out", head: "! HO", summary: "Incomplete request" }).waitFor();
  // A reload finds the tap again, with what passed last and what passes from then on.
  await tab.page.reload();
  await tab.page.getByText("Watching: connect clients to the tap").waitFor();
  await tab.row({ conn: "#1", dir: "out", head: "! HO", summary: "Incomplete request" }).waitFor();
  await client(tap.port, ["LIST\r\n"]);
  await tab.row({ conn: "#2", dir: "in", head: "OK", summary: "0 channels" }).waitFor();
});

test("a page that is opened after the client ran shows what the tap still has, and says how much came before", async () => {
  const small = await startTap(server, ["--backlog", "4K"]);
  try {
    await client(small.port, Array(200).fill("LIST\r\n"));
    await client(small.port, ["LIST\r\n"]);
    await tab.page.goto(small.page);
    await tab.page.getByText(/^\d+ frames \(\d+ KiB\) passed before what the tap still has$/).waitFor();
    await tab.row({ conn: "#2", head: /^closed$/ }).waitFor();
    await tab.page.locator("#frames").press("Home");
    await tab.row({ conn: "#1", summary: "passed before the watcher came" }).first().waitFor();
    const broken = await tab.page.locator("#frames .row.fault, #frames .row.skipped").count();
    assert.equal(broken, 0, "no frame is cut in two");
  } finally {
    await small.stop();
  }
});

test("a capture that is opened after something else is as if nothing had been there", async () => {
  await watching();
  const asked = Array(40).fill("LIST\r\n");
  await client(tap.port, asked);
  await client(tap.port, asked);
  await tab.row({ conn: "#2", head: /^closed$/ }).waitFor();
  const rows = await tab.rowCount();
  const everything = await exported({ Format: "jsonl" });
  for (const round of [1, 2]) {
    await open("rows.jsonl", everything, "Rows that the inspector exported");
    await tab.page.getByText(`rows.jsonl: `).first().waitFor();
    await tab.shows(rows);
    // The list stands at its top, and its rows and connections are numbered from 1.
    const first = tab.rows.first();
    assert.equal(await first.getAttribute("data-number"), "1", `round ${round}`);
    assert.equal((await tab.cell(first, "conn")).trim(), "#1");
    await tab.filter("conn==1 && dir==out", 40);
    await tab.filter("", rows);
    const chips = tab.page.getByRole("list", { name: "Connections" }).getByRole("listitem");
    assert.deepEqual((await chips.allTextContents()).map((text) => text.trim()), ["#1", "#2"]);
    // Nothing comes, so there is no rate, and nothing to pause.
    const status = await tab.page.locator("footer.status").textContent();
    assert.match(status, /2 connections/);
    assert.doesNotMatch(status, /\/s/);
    assert.equal(await tab.page.getByRole("button", { name: "Live" }).count(), 0);
    assert.equal(await tab.page.locator("button.new").count(), 0);
  }
  // Live traffic is numbered on.
  await tab.page.getByRole("button", { name: "Tap" }).click();
  await client(tap.port, ["LIST\r\n"]);
  // The tap still has the two that were there.
  await tab.row({ conn: "#5", head: /^closed$/ }).waitFor();
  await tab.page.getByRole("button", { name: "Live" }).waitFor();
});

test("the preview of a file reads as it was written", async () => {
  await watching();
  const { page } = tab;
  await page.getByRole("button", { name: "Open…" }).click();
  const text = 'MESSAGE\r\n{"username": "Jürgen", "message_content": "日本 🙂"}';
  await page.getByLabel("File", { exact: true }).setInputFiles({ name: "f", mimeType: "text/plain", buffer: Buffer.from(text) });
  await page.locator("pre.sample").waitFor();
  assert.equal(await page.locator("pre.sample").textContent(), text.replace("\r\n", "\\r\\n"));
});

/** Choose a file in the dialog, look at the preview, and open it. */
async function open(name, bytes, words) {
  const { page } = tab;
  await page.getByRole("button", { name: "Open…" }).click();
  await page.getByLabel("File", { exact: true }).setInputFiles({ name, mimeType: "application/octet-stream", buffer: bytes });
  await page.getByText(words).waitFor();
  await page.getByRole("button", { name: "Open", exact: true }).click();
}

/** The rows that carry bytes, as they are shown. */
async function shown() {
  const rows = [];
  for (const row of await tab.rows.all()) {
    const [dir, head, length, summary] = await Promise.all(
      ["dir", "head", "len", "summary"].map((name) => tab.cell(row, name)),
    );
    if (length.trim() !== "" && length.trim() !== "0") rows.push([dir, head, length, summary].map((text) => text.trim()).join("|"));
  }
  return rows;
}

/** Choose what is exported, and take the file. */
async function exported(choices) {
  await tab.page.getByRole("button", { name: "Export" }).click();
  for (const [label, value] of Object.entries(choices)) {
    await tab.page.getByLabel(label, { exact: true }).selectOption(value);
  }
  const coming = tab.page.waitForEvent("download");
  await tab.page.getByRole("button", { name: "Download" }).click();
  const bytes = await readFile(await (await coming).path());
  await tab.page.keyboard.press("Escape");
  return bytes;
}

test("an export opens again as the same rows", async () => {
  await watching();
  await client(tap.port, ["LIST\r\n", hosting(1), hosting('"1"')]);
  await tab.row({ head: /^closed$/ }).waitFor();
  const rows = await shown();
  assert.equal(rows.length, 6);
  for (const format of ["pcapng", "jsonl"]) {
    const bytes = await exported({ Format: format });
    await open(`rows.${format}`, bytes, format === "pcapng" ? "A pcapng file" : "Rows that the inspector exported");
    await tab.page.getByText(`rows.${format}: `).first().waitFor();
    await tab.row({ head: "REQUEST_ERROR" }).first().waitFor();
    assert.deepEqual(await shown(), rows, format);
  }
});

test("of a capture that was opened, each connection can be exported by itself", async () => {
  await watching();
  const asked = ["LIST\r\n", hosting(1)];
  await client(tap.port, asked);
  await client(tap.port, [hosting(2)]);
  await tab.row({ conn: "#2", head: /^closed$/ }).waitFor();
  const everything = await exported({ Format: "jsonl" });
  await open("two.jsonl", everything, "Rows that the inspector exported");
  await tab.page.getByText("two.jsonl: ").first().waitFor();
  const bytes = await exported({ Format: "bin", Connection: "1", Direction: "out" });
  assert.equal(bytes.toString(), asked.join(""));
  assert.equal((await exported({ Format: "bin", Connection: "2", Direction: "out" })).toString(), hosting(2));
  assert.match((await exported({ Format: "test", Connection: "1" })).toString(), /HOST/);
});

test("a dump is pasted, looked at and opened", async () => {
  await watching();
  await tab.page.evaluate(() => {
    const data = new DataTransfer();
    data.setData("text/plain", "00000000: 4c49 5354 0d0a 5049 4e47 0d0a            LIST..PING..\n");
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
  });
  await tab.page.getByText("12 bytes in a hex dump, what a client sent").waitFor();
  await tab.page.getByRole("button", { name: "Open", exact: true }).click();
  await tab.row({ dir: "out", head: "PING", summary: "Unknown command" }).waitFor();
});

test("a file that is broken is refused with its place, and the page goes on", async () => {
  await watching();
  const header = Buffer.from("d4c3b2a1020004000000000000000000ffff000065000000", "hex");
  const record = Buffer.alloc(16, 0xff);
  await open("broken.pcap", Buffer.concat([header, record]), "A pcap file");
  await tab.page.getByText("broken.pcap cannot be read: at byte 24").first().waitFor();
  await open("good.bin", Buffer.from("LIST\r\n"), "6 raw bytes, what a client sent");
  // A file that cannot be read takes no numbers.
  await tab.row({ conn: /^\s*#1\s*$/, dir: "out", head: "LIST" }).waitFor();
});

test("a capture of 100 MB is read while its first rows are looked at", async (context) => {
  await watching();
  const folder = await mkdtemp(path.join(tmpdir(), "chanwire-e2e-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const name = path.join(folder, "large.pcap");
  await writeFile(name, capture100());
  const { page } = tab;
  await page.getByRole("button", { name: "Open…" }).click();
  await page.getByLabel("File", { exact: true }).setInputFiles(name);
  await page.getByText("A pcap file").waitFor();
  const times = page.evaluate(async () => {
    const button = [...document.querySelectorAll("button")].find((found) => found.textContent === "Open");
    const frames = () => Number(document.querySelector("#frames").getAttribute("aria-rowcount")) - 1;
    button.click();
    const start = performance.now();
    const next = () => new Promise((resolve) => requestAnimationFrame(resolve));
    while (frames() < 10) await next();
    const first = performance.now() - start;
    const reading = document.querySelector("progress") !== null;
    while (document.querySelector("progress") !== null) await next();
    return { first, reading, done: performance.now() - start, rows: frames() };
  });
  const { first, reading, done, rows } = await times;
  console.log(`100 MB: first rows after ${Math.round(first)} ms, done after ${Math.round(done)} ms, ${rows} rows`);
  assert.ok(rows > 1_000_000, `${rows} rows`);
  assert.ok(reading, "there were rows to look at before all was read");
});
