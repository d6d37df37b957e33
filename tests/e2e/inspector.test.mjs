import assert from "node:assert/strict";
import { test } from "node:test";
import { eachTest } from "./kit.mjs";

let server;
let tab;

eachTest(async (started) => {
  server = started.server;
  tab = await started.newTab();
});

const HOST = (port) =>
  `{"channel_name": "test_channel", "peer_server_ip": "127.0.0.1", "peer_server_port": ${port}}`;

/** Register a channel at the server itself, so that MESSAGE has somewhere to go. */
async function hostHere() {
  await tab.form("HOST", {
    channel_name: "test_channel",
    peer_server_ip: "127.0.0.1",
    peer_server_port: server.port,
  });
  await tab.send(`HOST\r\n${HOST(server.port)}`.length);
  await tab.row({ head: "OK", summary: "test_channel" }).waitFor();
}

test("a link connects to nothing by itself, and its token leaves the address bar", async () => {
  await tab.open(server.page);
  assert.equal(tab.page.url(), `${server.origin}/`);
  assert.equal(await tab.page.evaluate(() => sessionStorage.getItem("chanwire.token")), server.token);
  assert.match(await tab.page.getByLabel("Target").innerText(), new RegExp(`127\\.0\\.0\\.1:${server.port}`));
  assert.equal(await tab.page.locator(".connections li").count(), 0);
  assert.equal(await tab.rowCount(), 0);

  await tab.page.reload();
  await tab.ready();
});

test("without a token the page asks for it, and again when it is refused", async () => {
  await tab.page.goto(server.origin);
  const token = tab.page.getByRole("textbox", { name: "Token" });
  await token.fill("nothing like a token");
  await tab.page.keyboard.press("Enter");
  await tab.page.getByText("This holds no token").waitFor();
  await token.fill("0".repeat(32));
  await tab.page.keyboard.press("Enter");
  await tab.page.getByText("The bridge refused the token").waitFor();
  await token.fill(server.page);
  await tab.page.keyboard.press("Enter");
  await tab.ready();
  await tab.page.getByRole("dialog").waitFor({ state: "detached" });
});

test("each command is composed, sent, answered and shown with its round trip", async () => {
  await tab.open(server.page);
  await tab.connect();

  await tab.form("LIST");
  await tab.send(6);
  await tab.row({ dir: "out", head: "LIST" }).waitFor();
  const listed = tab.row({ dir: "in", head: "OK" }).first();
  await listed.waitFor();

  await hostHere();
  await tab.form("MESSAGE", { username: "user1", message_content: "Hello, World!" });
  const message = `MESSAGE\r\n{"username": "user1", "message_content": "Hello, World!"}`;
  await tab.send(message.length);
  const delivered = tab.row({ dir: "in", head: "OK", summary: "delivered" });
  await delivered.waitFor();

  const sent = tab.row({ dir: "out", head: "MESSAGE", summary: "Hello, World!" });
  assert.equal(await tab.cell(sent, "len"), String(message.length));
  const answers = await tab.row({ dir: "in", head: "OK" }).all();
  assert.equal(answers.length, 3);
  for (const answer of answers) assert.match(await tab.cell(answer, "rtt"), /^\d+(\.\d+)? ms$/);
  assert.equal(await tab.cell(sent, "rtt"), `↘${await tab.cell(delivered, "no")}`);
  assert.equal(await tab.grid.locator(".bad").count(), 0);

  // From the answer to its request by key, and from there back.
  await tab.choose(delivered);
  await tab.page.getByRole("treeitem", { name: /timestamp/ }).waitFor();
  await tab.page.keyboard.press("p");
  await tab.page.getByRole("treeitem", { name: /message_content.*Hello, World!/ }).waitFor();
  assert.equal(await tab.cell(tab.grid.locator(".selected"), "head"), "MESSAGE");
});

test("the form says what the server would say, while it is typed", async () => {
  await tab.open(server.page);
  await tab.connect();
  await tab.form("HOST", {
    channel_name: "test_channel",
    peer_server_ip: "127.0.0.1",
    peer_server_port: 99999,
  });
  const port = tab.page.getByRole("textbox", { name: "peer_server_port" });
  await tab.page.getByText("Field 'peer_server_port' must be an integer from 1 to 65535").waitFor();
  assert.equal(await port.getAttribute("aria-invalid"), "true");
  assert.equal(await tab.page.getByRole("button", { name: /^Send/ }).isDisabled(), true);
  await port.fill("22236");
  await tab.page
    .getByTestId("preview")
    .filter({ hasText: HOST(22236) })
    .waitFor();
  assert.equal(await port.getAttribute("aria-invalid"), "false");
});

const FAULTS = [
  {
    what: "a byte that no command has",
    raw: "HO?T\\r\\n",
    length: 6,
    at: 2,
    byte: "3f",
    error: "Malformed command",
  },
  { what: "a bare line feed", raw: "LIST\\n", length: 5, at: 4, byte: "0a", error: "Malformed command" },
  {
    what: "a payload that is no JSON",
    raw: 'HOST\\r\\n{"channel_name" "x"}',
    length: 26,
    at: 22,
    byte: "22",
    error: "Invalid payload",
  },
];

for (const { what, raw, length, at, byte, error } of FAULTS) {
  test(`${what} is boxed at its offset`, async () => {
    await tab.open(server.page);
    await tab.connect();
    await tab.raw(raw);
    await tab.page.locator(".verdicts .bad", { hasText: error }).first().waitFor();
    await tab.send(length);

    const fault = tab.row({ dir: "out", head: "!" }).first();
    await fault.waitFor();
    assert.match(await tab.cell(fault, "summary"), new RegExp(error));
    const answer = tab.row({ dir: "in", head: "! REQUEST_ERROR" }).first();
    await answer.waitFor();
    assert.match(await tab.cell(answer, "rtt"), /ms$/);

    await tab.choose(fault);
    const boxed = tab.page.locator(".hex .b.fault-byte");
    await boxed.waitFor();
    assert.equal(await boxed.count(), 1);
    assert.equal(await boxed.getAttribute("data-at"), String(at));
    assert.equal(await boxed.textContent(), byte);
    await tab.page.getByRole("treeitem", { name: new RegExp(`fault.*${error} at byte ${at}`) }).waitFor();

    await tab.page.getByRole("tab", { name: "Text" }).click();
    await tab.page.locator(".text .fault-byte").waitFor();
  });
}

test("reads and writes are not frames: borders show where each began", async () => {
  await tab.open(server.page);
  await tab.connect();
  await tab.sendRaw("LI");
  await tab.page.locator(".status .arriving", { hasText: "unfinished, 2 B" }).waitFor();
  assert.equal(await tab.row({ dir: "out" }).count(), 0);
  await tab.sendRaw("ST\\r\\nLIST\\r\\n");
  await tab.row({ dir: "in", head: "OK" }).nth(1).waitFor();
  await tab.choose(tab.row({ dir: "out", head: "LIST" }));
  await tab.page.locator('.hex .b.read-start[data-at="2"]').waitFor();
  assert.equal(await tab.page.locator(".hex .b.read-start").count(), 2);
  assert.equal(
    await tab.page.locator(".hex .b.read-end").count(),
    1,
    "the second write goes on after the frame",
  );
});

test("a field and its bytes are linked both ways, by pointer and by key", async () => {
  await tab.open(server.page);
  await tab.connect();
  await hostHere();
  await tab.choose(tab.row({ dir: "out", head: "HOST" }));

  const field = tab.page.getByRole("treeitem", { name: /peer_server_ip/ });
  await field.hover();
  const highlighted = () =>
    tab.page.locator(".hex .b.hl").evaluateAll((cells) => cells.map((cell) => Number(cell.dataset.at)));
  const start = `HOST\r\n${HOST(server.port)}`.indexOf('"peer_server_ip"');
  const end = start + '"peer_server_ip": "127.0.0.1"'.length;
  assert.deepEqual(
    await highlighted(),
    Array.from({ length: end - start }, (_, i) => start + i),
  );

  const byte = tab.page.locator('.hex .b[data-at="0"]');
  await byte.hover();
  await tab.page.locator(".node.hl", { hasText: "command" }).waitFor();
  assert.deepEqual(await highlighted(), [0, 1, 2, 3]);

  await tab.page.mouse.move(0, 0);
  await tab.page.getByRole("tree").focus();
  await tab.page.keyboard.press("Home");
  for (const label of ["command", "separator", "payload", "channel_name"]) {
    await tab.page.keyboard.press("ArrowDown");
    await tab.page.locator(".node.current", { hasText: label }).waitFor();
  }
  const name = '"channel_name": "test_channel"';
  assert.deepEqual(
    await highlighted(),
    Array.from({ length: name.length }, (_, i) => 7 + i),
  );

  await tab.page.getByRole("grid", { name: /Bytes of frame/ }).focus();
  await tab.page.keyboard.press("Control+Home");
  await tab.page.locator(".node.current", { hasText: "command" }).waitFor();
  for (let i = 0; i < 4; i += 1) await tab.page.keyboard.press("ArrowRight");
  await tab.page.locator(".node.current", { hasText: "separator" }).waitFor();
});

test("several connections, one after another and at once, are numbered; each can be ended", async () => {
  await tab.open(server.page);
  await tab.connect();
  await tab.connect();
  await tab.form("LIST");
  await tab.send(6);
  await tab.row({ conn: "#2", dir: "in", head: "OK" }).waitFor();

  await tab.page.getByLabel("on", { exact: true }).selectOption("1");
  await tab.send(6);
  await tab.row({ conn: "#1", dir: "in", head: "OK" }).waitFor();

  // Half-close: the server answers what it has read, and only then is the connection over.
  await tab.page.getByRole("button", { name: "End sending on connection 1" }).click();
  await tab.row({ conn: "#1", head: "half-closed", summary: "the page" }).waitFor();
  await tab.row({ conn: "#1", head: "half-closed", summary: "the server" }).waitFor();
  await tab
    .row({ conn: "#1", head: /^closed$/ })
    .last()
    .waitFor();

  await tab.page.getByRole("button", { name: "Disconnect connection 2" }).click();
  await tab.row({ conn: "#2", head: /^closed$/, summary: "disconnected by the page" }).waitFor();
  await tab.connect();
  await tab.row({ conn: "#3", head: "connected" }).waitFor();
});

test("a frame cut short by the end of the stream is a fault", async () => {
  await tab.open(server.page);
  await tab.connect();
  await tab.sendRaw('MESSAGE\\r\\n{"username": "us');
  await tab.page.getByRole("button", { name: "End sending on connection 1" }).click();
  await tab.row({ dir: "out", head: "! MESSAGE", summary: "Incomplete request" }).waitFor();
  await tab.row({ dir: "in", head: "! REQUEST_ERROR", summary: "Incomplete request" }).waitFor();
});

test("a larger answer arrives whole, beyond the credit that the bridge starts with", async () => {
  await tab.open(server.page);
  await tab.connect();
  await hostHere();
  const lists = 20_000;
  await tab.sendRaw("LIST\\r\\n".repeat(lists));
  await tab.untilRows(2 * lists + 3);
  const answers = await tab.page.locator(".status").innerText();
  assert.match(answers, /40,003 rows/);
});

test("the page tells when the server is gone", async () => {
  await tab.open(server.page);
  // All of the page is there by then, what is loaded lazily too.
  await tab.page.waitForLoadState("networkidle");
  await tab.connect();
  await server.stop();
  await tab.row({ head: "! closed", summary: "the server is stopping" }).waitFor();
  await tab.page.locator(".connections li.closed").waitFor();
  server = undefined;
});

