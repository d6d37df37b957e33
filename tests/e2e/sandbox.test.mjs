// The sandbox: a whole server in the page, also when the one that served the page is gone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eachTest, startServer } from "./kit.mjs";

const HOST = { channel_name: "general", peer_server_ip: "127.0.0.1", peer_server_port: 22236 };
const HELLO = { username: "user1", message_content: "Hello, World!" };

let server;
let newTab;

eachTest(
  (started) => {
    ({ server, newTab } = started);
  },
  { sharedServer: true },
);

/** A tab whose page has the sandbox at hand. */
async function openSandbox() {
  const tab = await newTab();
  await tab.page.goto(server.page);
  await tab.page.getByRole("button", { name: "Sandbox", exact: true }).click();
  await tab.page.getByRole("region", { name: "Sandbox", exact: true }).waitFor();
  await tab.ready();
  await tab.page.getByLabel("Client from").waitFor();
  return tab;
}

async function connectFrom(tab, address) {
  await tab.page.getByLabel("Client from").selectOption(address);
  await tab.connect();
}

/** Send a command's form on the connection of this number, and wait for an answer that says this. */
async function ask(tab, number, command, values, answer) {
  const on = tab.page.getByLabel("on", { exact: true });
  if ((await on.count()) > 0) await on.selectOption(String(number));
  await tab.form(command, values);
  const send = tab.page.getByRole("button", { name: `Send on #${number}` });
  const rows = tab.row({ conn: `#${number}`, dir: "in", ...answer });
  const before = await rows.count();
  await send.click();
  await rows.nth(before).waitFor();
}

async function play(tab, name) {
  await tab.page.getByRole("button", { name: "Scenarios" }).click();
  await tab.page.getByRole("menuitem", { name: new RegExp(`^${name} `) }).click();
  await tab.page.getByText(`Played ${name}.`).waitFor();
}

test("with the server gone, one client joins and hears the other, and the store fails and comes back", async () => {
  const gone = await startServer();
  const tab = await newTab();
  // They are fetched after everything else, whether or not somebody asks for them.
  const fetched = ["sandbox", "wasm"].map((module) => {
    const file = new RegExp(`chanwire_${module}_bg[^/]*\\.wasm$`);
    return tab.context.waitForEvent("response", (response) => file.test(response.url()));
  });
  await tab.open(gone.page);
  for (const response of await Promise.all(fetched)) await response.finished();
  await gone.stop();
  await tab.page.getByRole("button", { name: "Sandbox", exact: true }).click();
  await connectFrom(tab, "127.0.0.1");
  await ask(tab, 1, "HOST", HOST, { head: "OK", summary: "general" });
  await ask(tab, 1, "JOIN", { channel_name: "general" }, { head: "OK", summary: "joined" });
  await connectFrom(tab, "192.0.2.7");
  await ask(tab, 2, "MESSAGE", HELLO, { head: "OK", summary: "delivered" });
  await tab.row({ conn: "#1", dir: "← push", summary: "Hello, World!" }).waitFor();

  await tab.page.getByLabel("Store").selectOption("fails");
  await ask(tab, 2, "MESSAGE", HELLO, { head: "! SERVER_ERROR", summary: "Database connection failed" });
  await tab.page.getByLabel("Store").selectOption("works");
  await ask(tab, 2, "MESSAGE", HELLO, { head: "OK", summary: "delivered" });
  await tab.row({ conn: "#1", dir: "← push", summary: "general 2" }).waitFor();
  await tab.page.getByText("1 channel, 2 messages").waitFor();
});

test("every error of the protocol is one click away", async () => {
  const tab = await openSandbox();
  await tab.page.getByRole("button", { name: "Scenarios" }).click();
  const group = tab.page.getByRole("menuitem").filter({ has: tab.page.locator("b") });
  const names = await group.locator("b").allInnerTexts();
  await tab.page.keyboard.press("Escape");
  const errors = names.slice(names.indexOf("Malformed command"));
  assert.equal(errors.length, 29);
  for (const error of errors) {
    await tab.page.getByRole("button", { name: "Clear" }).click();
    await tab.shows(0);
    await play(tab, error);
    await tab
      .row({ dir: "in", summary: `${error}: ` })
      .first()
      .waitFor();
  }
});

test("time jumps to what is due, and a client that does not read is too slow", async () => {
  const tab = await openSandbox();
  await connectFrom(tab, "127.0.0.1");
  await tab.sendRaw('MESSAGE\\r\\n{"username": ');
  const due = tab.page.getByRole("button", { name: /^to the end of a request on #1, in / });
  await due.click();
  await tab.row({ dir: "in", summary: "Request timed out" }).waitFor();
  assert.match(await tab.page.getByTestId("sandbox-clock").innerText(), /^2:\d\d\.\d$/);

  // Limits are typed, judged, and in force after a start.
  await tab.page.getByRole("button", { name: "Limits" }).click();
  const pushed = tab.page.getByLabel("pushes that a reader may leave unread, bytes");
  await pushed.fill("many");
  await tab.page.getByText("'many' must be an integer from 0 to 16777216").waitFor();
  await pushed.fill("200");
  await tab.page.getByLabel("bytes that the network holds in each direction").fill("100");
  // As long as it takes to send what it will not read.
  await tab.page.getByLabel("time that a client may take nothing, seconds").fill("3600");
  await tab.page.getByRole("button", { name: "Start with these" }).click();
  await tab.row({ head: "closed", summary: "the sandbox was started anew" }).waitFor();

  await connectFrom(tab, "127.0.0.1");
  await ask(tab, 2, "HOST", HOST, { head: "OK", summary: "general" });
  await ask(tab, 2, "JOIN", { channel_name: "general" }, { head: "OK", summary: "joined" });
  await connectFrom(tab, "192.168.1.5");
  await tab.page.getByRole("button", { name: "Clients" }).click();
  const reads = tab.page.getByRole("listitem").filter({ hasText: "#2" }).getByLabel("reads");
  await reads.uncheck();
  await tab.page.keyboard.press("Escape");
  for (let i = 0; i < 5; i += 1) await ask(tab, 3, "MESSAGE", HELLO, { head: "OK", summary: "delivered" });
  assert.equal(await tab.row({ conn: "#2", dir: "← push" }).count(), 0);
  // The connection before the start had the same address.
  await tab.page.getByRole("button", { name: /^to a read by the client on #2, in / }).waitFor();
  await tab.page.getByRole("button", { name: "Clients" }).click();
  await reads.check();
  await tab.row({ conn: "#2", dir: "in", summary: "Slow consumer" }).waitFor();
  await tab.page.keyboard.press("Escape");

  // From an address that is none nobody connects.
  await tab.page.getByRole("button", { name: "Clients" }).click();
  await tab.page.getByLabel("A client from this IP address").fill("nowhere");
  await tab.page.getByRole("button", { name: "Connect client" }).click();
  await tab.page.getByRole("alert").filter({ hasText: "'nowhere' is no IP address" }).waitFor();
});

test("requests beyond the burst of a rate are answered later, by the sandbox's clock, and none is lost", async () => {
  const tab = await openSandbox();
  await tab.page.getByRole("button", { name: "Limits" }).click();
  await tab.page.getByLabel("units of requests a second on a connection").fill("1");
  await tab.page.getByLabel("units that a connection may use at once").fill("1");
  await tab.page.getByRole("button", { name: "Apply to the running server" }).click();
  await connectFrom(tab, "192.0.2.7");
  // It costs 19 units, so the next request waits for 19 s.
  const large = `HISTORY\\r\\n{"channel_name": "general"${" ".repeat(60_000)}}`;
  await tab.sendRaw(`${large}LIST\\r\\nLIST\\r\\n`);
  await tab.row({ dir: "in", summary: "Channel not found" }).waitFor();
  const due = tab.page.getByRole("button", { name: /^to the end of a pause on #1, in / });
  await due.waitFor();
  const lists = tab.row({ dir: "in", head: "OK" });
  assert.equal(await lists.count(), 0);
  await tab.page.getByRole("button", { name: "Clients" }).click();
  const throttled = tab.page.getByRole("listitem").filter({ hasText: "#1" }).getByText("throttled");
  await throttled.waitFor();

  await due.click();
  await lists.nth(1).waitFor();
  await throttled.waitFor({ state: "detached" });
  const [minutes, seconds] = (await tab.page.getByTestId("sandbox-clock").innerText()).split(":").map(Number);
  assert.ok(minutes * 60 + seconds >= 20, `${minutes}:${seconds}`);
  assert.equal(await lists.count(), 2);
});
