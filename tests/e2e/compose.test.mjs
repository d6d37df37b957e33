// Compose: requests, their fault plans and their rows, over the bridge, to the real server.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { eachTest } from "./kit.mjs";

let server;
let tab;

eachTest(
  async (started) => {
    server = started.server;
    tab = await started.newTab();
    await tab.open(server.page);
  },
  { sharedServer: true },
);

/** The bytes at which a border is drawn before a read or write of the frame that is shown. */
function starts() {
  return tab.page.locator(".hex .b.read-start").evaluateAll((cells) => cells.map((cell) => Number(cell.dataset.at)));
}

async function faults(fields) {
  const summary = tab.page.locator(".faults summary");
  if (!(await tab.page.locator(".faults").evaluate((details) => details.open))) await summary.click();
  for (const [label, text] of Object.entries(fields)) await tab.page.getByLabel(label).fill(text);
}

test("a plan leaves as separate writes, each when it was due", async () => {
  await tab.connect();
  await tab.form("LIST");
  await faults({ "Cut at": "2+300, 4" });
  const preview = tab.page.getByTestId("preview");
  await preview.locator(".piece").nth(2).waitFor();
  assert.deepEqual(await preview.locator(".piece, .between").allInnerTexts(), ["LI", "300 ms", "ST", "\\r\\n"]);
  await tab.page.getByRole("heading", { name: "Will be sent: 6 B in 3 writes" }).waitFor();
  await tab.page.getByRole("button", { name: /^Send/ }).click();

  // The first write is shown when it has left, and the rest has not.
  await tab.page.locator(".status .arriving", { hasText: "unfinished, 2 B" }).waitFor();
  await tab.row({ dir: "in", head: "OK" }).waitFor();
  await tab.choose(tab.row({ dir: "out", head: "LIST" }));
  await tab.page.locator('.hex .b.read-start[data-at="4"]').waitFor();
  assert.deepEqual(await starts(), [0, 2, 4]);
});

test("megabytes of requests are answered while their answers are read", async () => {
  // The server answers one only when the answers before it were taken: neither direction may wait for the other.
  const hosting = (i) =>
    `HOST\r\n{"channel_name": "${`channel ${i} `.padEnd(64, "x")}", "peer_server_ip": "192.0.2.7", "peer_server_port": 1}`;
  const heard = await new Promise((resolve, reject) => {
    let answers = "";
    const socket = connect(server.port, "127.0.0.1");
    socket.on("data", (data) => (answers += data));
    socket.on("error", reject);
    socket.on("close", () => resolve(answers));
    socket.end(Array.from({ length: 20 }, (_, i) => hosting(i)).join(""));
  });
  assert.equal(heard.match(/success/g).length, 20);
  await tab.connect();
  await tab.raw(`LIST\\r\\n${" ".repeat(994)}`);
  await faults({ "Times more": "1000" });
  await tab.page.getByRole("heading", { name: "Will be sent: 1,001,000 B" }).waitFor();
  // At once: what is sent before the first answer is heard stands before all credit.
  const send = tab.page.getByRole("button", { name: /^Send/ });
  await send.evaluate((button) => {
    for (let i = 0; i < 14; i += 1) button.click();
  });
  // A request, an answer and the blanks between, of which the last have not ended; and the row that says that it is open.
  // A busy machine needs a while for 40 MB.
  await tab.untilRows(3 * 14 * 1001, 90_000);
  assert.equal(await tab.page.locator(".connections li.open").count(), 1);
});

test("a request cut short and ended is answered by the server as it stands", async () => {
  await tab.connect();
  await tab.form("MESSAGE", { username: "user1", message_content: "Hello" });
  await faults({ "Bytes before the end": "20" });
  await tab.page.locator(".verdicts .bad", { hasText: "Incomplete request" }).waitFor();
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  const answer = tab.row({ dir: "in", head: "! REQUEST_ERROR", summary: "Incomplete request" });
  await answer.waitFor();
  await tab.row({ head: "half-closed", summary: "the page shut down its sending half" }).waitFor();
  await tab.row({ head: "closed", summary: "the server closed the connection: incomplete_request" }).waitFor();
  // Its parts tell the reason, and lead to the protocol's page.
  await tab.choose(tab.row({ head: /^closed$/ }));
  await tab.page.getByRole("treeitem", { name: /incomplete_request/ }).first().waitFor();
  const about = await tab.page.locator(".tree a").getAttribute("href");
  assert.match(about, /core\/PROTOCOL\.md#closing$/);
});

test("a reset is sent, and told from an orderly end", async () => {
  await tab.connect();
  await tab.raw("LIST");
  await tab.page.locator(".faults summary").click();
  await tab.page.getByLabel("Then").selectOption("reset");
  await tab.page.getByTestId("preview").locator(".between", { hasText: "reset" }).waitFor();
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  const closed = tab.row({ head: "closed", summary: "reset by the page" });
  await closed.waitFor();
  assert.equal(await tab.page.locator(".bad", { has: closed }).count(), 0);
});

test("a problem of a plan is shown at its field, and nothing is sent", async () => {
  await tab.connect();
  await tab.form("LIST");
  await faults({ "Cut at": "2, 90" });
  await tab.page.getByText("Nothing can be cut at 90: 6 bytes are sent").waitFor();
  assert.equal(await tab.page.getByLabel("Cut at").getAttribute("aria-invalid"), "true");
  assert.equal(await tab.page.getByRole("button", { name: /^Send/ }).isDisabled(), true);
  await tab.page.getByRole("button", { name: "None", exact: true }).click();
  await tab.send(6);
  await tab.row({ dir: "in", head: "OK" }).waitFor();
});

test("a frame is edited in its form and sent again; what is no request is edited raw", async () => {
  await tab.connect();
  const port = (await tab.page.getByLabel("Target").innerText()).split(":").pop().trim();
  const host = (name) =>
    `HOST\r\n{"channel_name": "${name}", "peer_server_ip": "192.0.2.1", "peer_server_port": ${port}}`;
  await tab.sendRaw(host("first").replaceAll("\r\n", "\\r\\n"));
  const sent = tab.row({ dir: "out", head: "HOST" }).first();
  await sent.waitFor();
  await tab.choose(sent);
  await tab.page.getByRole("treeitem", { name: /channel_name/ }).waitFor();
  await tab.page.keyboard.press("e");
  const name = tab.page.getByRole("textbox", { name: "channel_name", exact: true });
  await name.waitFor();
  assert.equal(await name.inputValue(), "first");
  await name.fill("second");
  await tab.page.keyboard.press("Control+Enter");
  await tab.row({ dir: "in", head: "OK", summary: "second" }).waitFor();

  // The same key sends nothing by itself; r does, whatever the bytes are.
  await tab.sendRaw("PING\\r\\n");
  const ping = tab.row({ dir: "out", head: "! PING" });
  await ping.waitFor();
  await tab.choose(ping);
  await tab.page.locator('.hex .b[data-at="5"]').waitFor();
  await tab.page.keyboard.press("r");
  await tab.row({ dir: "in", summary: "Unknown command 'PING'" }).nth(1).waitFor();
  await tab.page.keyboard.press("e");
  await tab.page.getByLabel("Raw bytes").waitFor();
  assert.equal(await tab.page.getByLabel("Raw bytes").inputValue(), "PING\\r\\n");
});

test("a request comes back with its plan after a reload, and bytes can be written as hexadecimal", async () => {
  await tab.connect();
  await tab.raw("LIST\\r\\n");
  await tab.page.getByLabel("Written as").selectOption("hex");
  assert.equal(await tab.page.getByLabel("Raw bytes").inputValue(), "4c 49 53 54 0d 0a");
  await faults({ "Bytes at a time": "3" });
  await tab.page.getByRole("heading", { name: "Will be sent: 6 B in 2 writes" }).waitFor();
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  await tab.row({ dir: "in", head: "OK" }).waitFor();

  await tab.page.reload();
  await tab.ready();
  await tab.page.getByRole("button", { name: "Load" }).click();
  await tab.page.getByRole("menuitem", { name: /LIST.*1 fault/ }).click();
  await tab.page.getByRole("heading", { name: "Will be sent: 6 B in 2 writes" }).waitFor();
  assert.equal(await tab.page.getByLabel("Command").inputValue(), "LIST");
  await tab.page.getByRole("button", { name: "Load" }).click();
  await tab.page.getByRole("menuitem", { name: "Forget what was sent" }).click();
  await tab.page.getByRole("button", { name: "Load" }).click();
  await tab.page.getByRole("menuitem", { name: "HOST", exact: true }).waitFor();
  assert.equal(await tab.page.getByText("Sent before").count(), 0);
});
