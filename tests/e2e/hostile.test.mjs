// A hostile peer's text is shown, all of it, and does nothing: every test ends with a check that the page's policy
// was never hit and nothing was logged on its console.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { eachTest } from "./kit.mjs";

let server;
let tab;

eachTest(async (started) => {
  server = started.server;
  tab = await started.newTab();
  await tab.open(server.page);
  await tab.connect();
});

/** Say something to the server past the page, and wait for so many answers. */
function say(bytes, answers) {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, "127.0.0.1");
    let heard = "";
    socket.on("data", (data) => {
      heard += data;
      if ((heard.match(/^OK\r\n|\}OK\r\n/g) ?? []).length >= answers) socket.end();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(heard));
    socket.write(bytes);
  });
}

/** Look at the selected frame in every way there is. */
async function lookAtAll() {
  for (const way of ["Text", "Stream", "Hex"]) {
    await tab.page.getByRole("tab", { name: way }).click();
    await tab.page.locator("#bytes-mode-panel :is(.hex .b, .text span, .said)").first().waitFor();
  }
}

const MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>";

test("markup, bidi and zero-width characters", async () => {
  const name = `<b>ann</b>`;
  const content = `${MARKUP}\u202e\u200bgnp.exe {{7*7}} \${7*7} javascript:alert(3)`;
  await tab.form("HOST", {
    channel_name: `<i>${"x"}</i>`,
    peer_server_ip: "127.0.0.1",
    peer_server_port: server.port,
  });
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  await tab.row({ dir: "in", head: "OK" }).waitFor();
  await tab.form("MESSAGE", { username: name, message_content: content });
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  const sent = tab.row({ dir: "out", head: "MESSAGE" });
  await sent.waitFor();
  const summary = await tab.cell(sent, "summary");
  assert.match(summary, /<b>ann<\/b>/);
  assert.match(summary, /\\u\{202e\}\\u\{200b\}gnp/);
  assert.doesNotMatch(summary, /\u202e|\u200b/);

  await tab.choose(sent);
  const item = tab.page.getByRole("treeitem", { name: /message_content/ });
  await item.waitFor();
  assert.deepEqual(await item.locator(".mark").allTextContents(), ["\\u{202e}", "\\u{200b}"]);
  await lookAtAll();

  // Values that were seen are offered as text too.
  const filter = tab.page.getByRole("combobox", { name: "Filter" });
  await filter.fill("json.username==");
  await tab.page.getByRole("option", { name: /<b>ann<\/b>/ }).click();
  await tab.shows(1);
  assert.equal(await tab.page.locator("img, script:not([src]), b b, i i, .tree b, .tree i").count(), 0);
});

test("an answer of one line of a megabyte", async () => {
  const channels = 4300;
  const long = "ü".repeat(50);
  const hosts = Array.from(
    { length: channels },
    (_, i) =>
      `HOST\r\n{"channel_name": "${long}${i}", "peer_server_ip": "peer-${"x".repeat(50)}.example", "peer_server_port": 22240}`,
  );
  await say(hosts.join(""), channels);
  await tab.sendRaw("LIST\\r\\n");
  const answer = tab.row({ dir: "in", head: "OK" });
  await answer.waitFor();
  const length = Number((await tab.cell(answer, "len")).replaceAll(",", ""));
  assert.ok(length > 1_000_000, `${length} bytes`);
  assert.ok((await tab.cell(answer, "summary")).length < 1000);

  await tab.choose(answer);
  await tab.page.getByRole("treeitem", { name: /channels/ }).waitFor();
  // Values beyond the list are counted.
  await tab.page.getByRole("treeitem", { name: /more, not listed here/ }).first().waitFor({ state: "attached" });
  await lookAtAll();
  await tab.page.getByRole("grid", { name: /^Bytes of frame/ }).focus();
  await tab.page.keyboard.press("Control+End");
  await tab.page.locator("#byte-status", { hasText: `byte ${length - 1} is 0x7d` }).waitFor();
  await tab.page.getByRole("tab", { name: "Text" }).click();
  await tab.page.getByRole("button", { name: /^Show more/ }).click();
  await tab.page.getByRole("button", { name: /^Show more/ }).waitFor();
});

test("JSON sixty levels deep", async () => {
  const deep = `${'{"a":['.repeat(30)}1${"]}".repeat(30)}`;
  const payload = `{"username": "ann", "message_content": "hi", "deep": ${deep}}`;
  await tab.sendRaw(`MESSAGE\\r\\n${payload}`);
  const sent = tab.row({ dir: "out", head: "MESSAGE" });
  await sent.waitFor();
  assert.doesNotMatch((await sent.getAttribute("class")) ?? "", /bad/);
  await tab.choose(sent);
  await tab.page.locator('[role="treeitem"][aria-level="62"]').waitFor({ state: "attached" });
  await tab.page.getByRole("tree").focus();
  await tab.page.keyboard.press("End");
  await tab.page.locator(".node.current").waitFor();
  await lookAtAll();
});

test("escapes of half a character, and NUL as an escape and as a byte", async () => {
  // The escape is the payload's own; a backslash is typed twice.
  await tab.sendRaw('MESSAGE\\r\\n{"username": "\\\\ud800x", "message_content": "a"}');
  const half = tab.row({ dir: "out", head: "! MESSAGE", summary: "Invalid payload" });
  await half.waitFor();
  await tab.choose(half);
  await tab.page.locator(".hex .fault-byte").first().waitFor();
  await lookAtAll();

  await tab.sendRaw('MESSAGE\\r\\n{"username": "ann", "message_content": "a\\\\u0000\\\\ufeffb"}');
  const nul = tab.row({ dir: "out", head: "MESSAGE", summary: "\\u{0}" });
  await nul.waitFor();
  await tab.choose(nul);
  await tab.page.getByRole("treeitem", { name: /message_content.*a\\u\{0\}\\u\{feff\}b/ }).waitFor();

  await tab.raw("LI\\x00ST\\r\\n");
  await tab.send(7);
  const fault = tab.row({ dir: "out", head: "!", summary: "Malformed command" }).last();
  await fault.waitFor();
  await tab.choose(fault);
  await tab.page.locator('.hex .b.fault-byte[data-at="2"]').waitFor();
  await lookAtAll();
});

test("bytes that are no UTF-8, in a command and in a payload", async () => {
  await tab.raw('MESSAGE\\r\\n{"username": "\\xff\\xfe", "message_content": "\\xed\\xa0\\x80"}');
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  const sent = tab.row({ dir: "out", head: "! MESSAGE" });
  await sent.waitFor();
  await tab.choose(sent);
  await tab.page.getByRole("tab", { name: "Text" }).click();
  await tab.page.locator(".text .mark", { hasText: "\\xff" }).first().waitFor();
  await lookAtAll();
});
