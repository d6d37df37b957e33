import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { eachTest } from "./kit.mjs";

let server;
let tab;

eachTest(async (started) => {
  server = started.server;
  tab = await started.newTab();
  await tab.open(server.page);
  await tab.connect();
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
});

const REPOSITORY = path.join(import.meta.dirname, "../..");

/** Run the files of a folder with the project's recorded connections; gives what was printed, and whether all is well. */
async function runRecorded(folder) {
  // As `make test` builds it, so that it is there already.
  const args = ["test", "--locked", "--quiet", "--workspace", "--exclude", "chanwire-bindgen"];
  args.push("--features", "chanwire-tests/binary", "--test", "recorded", "every_recorded_connection");
  const options = { cwd: REPOSITORY, env: { ...process.env, CHANWIRE_RECORDED: folder }, maxBuffer: 2 ** 26 };
  const run = promisify(execFile)(process.env.CARGO ?? "cargo", args, options);
  return run.then(
    ({ stdout }) => ({ passed: true, said: stdout }),
    (error) => ({ passed: false, said: `${error.stdout}${error.stderr}` }),
  );
}

/** Put the row's connection into a folder, as a test. */
async function recordInto(folder, connection) {
  await tab.page.getByRole("button", { name: "Export" }).click();
  await tab.page.getByLabel("Format", { exact: true }).selectOption("test");
  const which = tab.page.getByLabel("Connection", { exact: true });
  if ((await which.count()) > 0) await which.selectOption(connection);
  const { name, bytes } = await download();
  await tab.page.keyboard.press("Escape");
  assert.match(name, /\.jsonl$/);
  const file = path.join(folder, `${connection}-${name}`);
  await writeFile(file, bytes);
  return file;
}

test("traffic of a server and of the sandbox is saved as a test of the project", async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), "chanwire-e2e-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const hosting = `{"channel_name": "general", "peer_server_ip": "127.0.0.1", "peer_server_port": ${server.port}}`;
  await tab.sendRaw(`HOST\\r\\n${hosting}`);
  await tab.sendRaw('JOIN\\r\\n{"channel_name": "general"}MESSAGE\\r\\n{"username": "user1", "message_content": "Grüße 🙂"}');
  await tab.row({ dir: "← push", summary: "Grüße" }).waitFor();
  await tab.sendRaw("PING\\r\\n{}LIST\\nLIST\\r\\n\\t HO?T and more");
  await tab.row({ conn: "#1", head: "half-closed" }).waitFor();
  await tab.shows(await tab.rowCount());
  const fromServer = await recordInto(folder, "1");

  await tab.page.getByRole("button", { name: "Sandbox", exact: true }).click();
  await tab.page.getByRole("button", { name: "Scenarios" }).click();
  await tab.page.getByRole("menuitem", { name: /^Database connection failed / }).click();
  const failed = tab.row({ dir: "in", summary: "Database connection failed" }).first();
  await failed.waitFor();
  const number = (await tab.cell(failed, "conn")).trim().slice(1);
  await recordInto(folder, number);

  const good = await runRecorded(folder);
  assert.ok(good.passed, good.said);

  // And they are judged: one whose bytes say something else fails.
  const said = await readFile(fromServer, "utf8");
  for (const [whole, spoiled] of [
    ['"PING\\r\\n"', '"PONG\\r\\n"'],
    ["Grüße", "Grüsse"],
  ]) {
    assert.ok(said.includes(whole), said);
    await writeFile(fromServer, said.replace(whole, spoiled));
    const bad = await runRecorded(folder);
    assert.ok(!bad.passed && bad.said.includes("the decoded and the recorded row differ"), bad.said);
  }
});

test("the rows of the view, or one frame, can be saved alone", async () => {
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

test("a connection that comes while the menu is open can be chosen, and the one that is chosen stays", async () => {
  const { page } = tab;
  await page.getByRole("button", { name: "Export" }).click();
  await page.getByLabel("Format").selectOption("bin");
  const connections = page.getByLabel("Connection", { exact: true });
  await connections.selectOption("1");
  assert.deepEqual(await connections.locator("option").allTextContents(), ["#1"]);
  // By no pointer, which would close the menu.
  await page.evaluate(() => {
    [...document.querySelectorAll("button")].find(({ textContent }) => textContent === "Connect").click();
  });
  await connections.locator("option", { hasText: "#2" }).waitFor({ state: "attached" });
  assert.equal(await connections.inputValue(), "1");
});
