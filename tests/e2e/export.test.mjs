import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { openTab, startBrowser, startServer } from "./kit.mjs";

let server;
let browser;
let tab;

before(async () => {
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
});

beforeEach(async () => {
  server = await startServer();
  tab = await openTab(browser);
  await tab.open(server.page);
  await tab.connect();
});

afterEach(async () => {
  try {
    await tab?.finish();
  } finally {
    await server?.stop();
  }
});

/** Press Download and read what came. */
async function download() {
  const coming = tab.page.waitForEvent("download");
  await tab.page.getByRole("button", { name: "Download" }).click();
  const file = await coming;
  return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
}

test("rows are saved in each format", async () => {
  const sent = "LIST\r\nPING\r\nLIST\r\n";
  await tab.sendRaw(sent.replaceAll("\r\n", "\\r\\n"));
  await tab.shows(7);
  await tab.page.getByRole("button", { name: "Export" }).click();

  await tab.page.getByLabel("What", { exact: true }).selectOption("all");
  const all = await download();
  assert.match(all.name, /\.jsonl$/);
  const lines = all.bytes.toString().trimEnd().split("\n");
  for (const line of lines) JSON.parse(line);
  assert.ok(lines.length >= 7, `${lines.length} lines`);

  await tab.page.getByLabel("Format", { exact: true }).selectOption("pcapng");
  const packets = await download();
  assert.match(packets.name, /\.pcapng$/);
  // A section header block, little-endian or big.
  assert.equal(packets.bytes.subarray(0, 4).toString("hex"), "0a0d0d0a");

  await tab.page.getByLabel("Format", { exact: true }).selectOption("bin");
  const out = await download();
  assert.match(out.name, /\.bin$/);
  assert.equal(out.bytes.toString(), sent);
  await tab.page.getByLabel("Direction", { exact: true }).selectOption("in");
  assert.match((await download()).bytes.toString(), /^OK\r\n\{"channels": \[\]\}REQUEST_ERROR\r\n\{.*\}OK\r\n/);

  await tab.page.getByLabel("Format", { exact: true }).selectOption("test");
  assert.ok((await download()).bytes.length > 0);
});

test("what is shown, or one frame, can be saved alone", async () => {
  await tab.sendRaw("LIST\\r\\nPING\\r\\nLIST\\r\\n");
  await tab.filter("cmd==LIST && dir==out", 2);
  await tab.choose(tab.rows.first());
  await tab.page.getByRole("button", { name: "Export" }).click();
  await tab.page.getByLabel("What", { exact: true }).selectOption("view");
  const view = (await download()).bytes.toString();
  await tab.page.getByLabel("What", { exact: true }).selectOption("frame");
  const frame = (await download()).bytes.toString();
  assert.ok(frame.length < view.length, `${frame}\n${view}`);
  assert.doesNotMatch(view, /PING/);
});

test("a frame is copied as a dump, as text, as JSON and as a line that says it again", async () => {
  await tab.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const payload = `{"username": "o'neil 100% \\\\n", "message_content": "ü"}`;
  await tab.sendRaw(`MESSAGE\\r\\n${payload.replaceAll("\\", "\\\\")}`);
  const row = tab.row({ dir: "out", head: "MESSAGE" });
  await row.waitFor();
  await tab.choose(row);
  const clipboard = () => tab.page.evaluate(() => navigator.clipboard.readText());
  const copied = async (name) => {
    await tab.page.evaluate(() => navigator.clipboard.writeText(""));
    await tab.page.getByRole("button", { name: "Copy" }).click();
    await tab.page.getByRole("menuitem", { name }).click();
    await tab.until(async () => (await navigator.clipboard.readText()) !== "");
    return clipboard();
  };
  const said = Buffer.from(`MESSAGE\r\n${payload}`);
  assert.match(await copied("Hex dump"), /^00000000 {2}4d 45 53 53 41 47 45 0d {2}0a 7b /);
  assert.equal(await copied("Payload as JSON"), payload);
  const line = await copied("Command line");
  assert.ok(line.endsWith(` | nc -N 127.0.0.1 ${server.port}`), line);
  assert.deepEqual(execFileSync("sh", ["-c", line.replace(/ \| nc [^|]*$/, "")]), said);
  // And what is copied as text is what Compose reads.
  const text = await copied("Text with escapes");
  await tab.raw(text);
  await tab.page.getByRole("heading", { name: `Will be sent: ${said.length} B` }).waitFor();
});
