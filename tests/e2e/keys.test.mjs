// Keys in each place of the page, and actions on the selected frame.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eachTest } from "./kit.mjs";

let tab;

eachTest(async ({ server, newTab }) => {
  tab = await newTab();
  await tab.open(server.page);
  await tab.connect();
});

/** A request and its answer. */
async function list() {
  await tab.form("LIST");
  await tab.send(6);
  await tab.row({ dir: "in", head: "OK" }).first().waitFor();
}

/** All that was asked before is answered, by the engine too: a filter is in force only after it. */
async function settled() {
  const rows = await tab.rowCount();
  await tab.filter("no > 0", rows);
  await tab.filter("", rows);
}

test("Space opens what it is pressed on and pauses the picture everywhere else", async () => {
  const live = tab.page.getByRole("button", { name: "Live" });
  const faults = tab.page.locator(".faults");
  await faults.locator("summary").focus();
  await tab.page.keyboard.press("Space");
  await tab.until(() => document.querySelector(".faults")?.open);
  assert.equal(await live.count(), 1);
  await tab.page.getByRole("checkbox", { name: /bare LF/ }).focus();
  await tab.page.keyboard.press("Space");
  assert.equal(await tab.page.getByRole("checkbox", { name: /bare LF/ }).isChecked(), true);
  assert.equal(await live.count(), 1);
  await tab.grid.focus();
  await tab.page.keyboard.press("Space");
  await tab.page.getByRole("button", { name: "Paused" }).waitFor();
});

test("in an open menu or panel no letter does anything to the frame", async () => {
  await list();
  await tab.choose(tab.row({ dir: "out", head: "LIST" }));
  await tab.page.getByRole("treeitem", { name: /command/ }).waitFor();
  const rows = await tab.rowCount();
  for (const [button, inside] of [
    ["Load", tab.page.getByRole("menuitem").first()],
    ["Copy", tab.page.getByRole("menuitem", { name: "Hex dump" })],
    ["Export", tab.page.getByRole("button", { name: "Download" })],
  ]) {
    await tab.page.getByRole("button", { name: button, exact: true }).click();
    await inside.focus();
    for (const key of ["r", "e", "m", "b", "?"]) await tab.page.keyboard.press(key);
    assert.equal(await inside.isVisible(), true);
    await tab.page.keyboard.press("Escape");
  }
  await settled();
  assert.equal(await tab.rowCount(), rows);
  assert.equal(await tab.grid.locator(".marked").count(), 0);
  assert.equal(await tab.page.getByRole("dialog", { name: "Help" }).count(), 0);
});

test("a frame is edited, marked and sent again by the row that is selected, however fast the keys come", async () => {
  await list();
  await tab.sendRaw("PING\\r\\n");
  await tab.row({ head: "! REQUEST_ERROR" }).waitFor();
  await tab.choose(tab.row({ head: "PING" }));
  await tab.page.getByRole("treeitem", { name: /PING/ }).waitFor();
  // No time passes between the keys, so that nothing of the next frame can have come.
  await tab.page.evaluate(() => {
    const grid = document.querySelector("#frames");
    grid.focus();
    for (const key of ["j", "m", "e"])
      grid.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  });
  await tab.until(() => document.querySelector("#compose-raw")?.value.startsWith("REQUEST_ERROR"));
  assert.equal(await tab.cell(tab.grid.locator(".marked"), "head"), "! REQUEST_ERROR");
});

test("a frame is sent again on its own connection, and on another only with a word about it", async () => {
  await list();
  await tab.connect();
  await tab.page.getByRole("button", { name: "Send on #2" }).waitFor();
  await tab.choose(tab.row({ conn: "#1", head: "LIST" }));
  await tab.page.keyboard.press("r");
  await tab.row({ conn: "#1", dir: "in", head: "OK" }).nth(1).waitFor();
  assert.equal(await tab.row({ conn: "#2", head: "LIST" }).count(), 0);

  await tab.page.getByRole("button", { name: "Disconnect connection 1" }).click();
  await tab.row({ conn: "#1", head: /^closed$/ }).waitFor();
  await tab.page.keyboard.press("r");
  await tab.row({ conn: "#2", dir: "in", head: "OK" }).waitFor();
  await tab.page.locator(".status", { hasText: "is sent again on #2: #1 takes nothing any more" }).waitFor();
});

test("a round trip is the connection's own, also when the page is busy meanwhile", async () => {
  await list();
  const busy = 600;
  await tab.page.evaluate((ms) => {
    const send = [...document.querySelectorAll("button")].find(({ textContent }) => /^\s*Send/.test(textContent));
    send.click();
    // The click's own work is done by then, and the answer waits for who has no time.
    setTimeout(() => {
      const from = performance.now();
      while (performance.now() - from < ms);
    }, 1);
  }, busy);
  const answer = tab.row({ dir: "in", head: "OK" }).nth(1);
  await answer.waitFor();
  const shown = await tab.cell(answer, "rtt");
  assert.match(shown, /ms$/);
  assert.ok(parseFloat(shown) < busy / 2, shown);
});

test("the stream shows what comes after it was opened, and does not move", async () => {
  await list();
  await tab.choose(tab.row({ dir: "out", head: "LIST" }));
  await tab.page.getByRole("tab", { name: "Stream" }).click();
  const said = tab.page.locator(".said");
  await said.nth(1).waitFor();
  const before = await said.count();
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  await said.nth(before + 1).waitFor();
  assert.equal(await tab.page.locator(".said[aria-selected=true]").count(), 1);
});

test("the hex grid has as many rows as it says, also where lines are short", async () => {
  await tab.sendRaw("LIST\\r\\n".repeat(40) + 'MESSAGE\\r\\n{"username": "ann", "message_content": "0123456789012345678901234567890"}');
  await tab.filter("dir==out && cmd==MESSAGE", 1);
  await tab.choose(tab.row({ head: "MESSAGE" }));
  const hex = tab.page.getByRole("grid", { name: /Bytes of frame/ });
  const length = Number(await tab.cell(tab.grid.locator(".selected"), "len"));
  for (const [width, columns] of [[1440, 16], [1000, 8]]) {
    await tab.page.setViewportSize({ width, height: 900 });
    await tab.until(
      (wanted) => document.querySelector(".hex .line")?.querySelectorAll(".b").length === wanted,
      columns,
    );
    await tab.until(
      (wanted) => document.querySelector(".hex")?.getAttribute("aria-rowcount") === String(wanted),
      Math.ceil(length / columns),
    );
    assert.equal(await hex.locator(".line").count() <= Math.ceil(length / columns), true);
  }
});

test("a clear leaves the picture paused, and it goes on from there", async () => {
  await list();
  await tab.grid.focus();
  await tab.page.keyboard.press("Space");
  await tab.page.getByRole("button", { name: "Clear" }).click();
  await tab.until(() => document.querySelectorAll("#frames [data-number]").length === 0);
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  await tab.page.locator(".status .held", { hasText: "2 held" }).waitFor();
  assert.equal(await tab.rows.count(), 0);
  await tab.page.getByRole("button", { name: "Paused" }).click();
  await tab.rows.nth(1).waitFor();
});

test("a channel that lives elsewhere is given with the command line that reaches it", async () => {
  await tab.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const channel = `it's`;
  const host = `{"channel_name": "${channel}", "peer_server_ip": "192.0.2.7", "peer_server_port": 22240}`;
  await tab.sendRaw(`HOST\\r\\n${host}LIST\\r\\nJOIN\\r\\n{"channel_name": "${channel}"}`);
  const refused = tab.row({ head: "! REQUEST_ERROR", summary: "elsewhere" });
  const command = `chanwire join --server 192.0.2.7:22240 'it'\\''s'`;
  for (const answer of [refused, tab.row({ dir: "in", summary: "1 channel" })]) {
    await tab.choose(answer);
    const node = tab.page.getByRole("treeitem", { name: /reach it by/ });
    await tab.page.locator(".node", { hasText: command }).waitFor();
    await node.getByRole("button", { name: "Copy" }).click();
    await tab.until(async (wanted) => (await navigator.clipboard.readText()) === wanted, command);
    await tab.page.evaluate(() => navigator.clipboard.writeText(""));
  }
});

test("sixteen connections stand in one line, with the one that Compose sends on in sight", async () => {
  const heights = new Set();
  await tab.page.setViewportSize({ width: 1024, height: 768 });
  for (let count = 1; count < 15; count += 1) {
    heights.add((await tab.grid.boundingBox()).y);
    await tab.connect();
  }
  heights.add((await tab.grid.boundingBox()).y);
  assert.equal(heights.size, 1, "the list has moved");
  for (const width of [1440, 1024, 600]) {
    await tab.page.setViewportSize({ width, height: 768 });
    const strip = await tab.page.locator(".connections").boundingBox();
    const current = tab.page.locator(".connections .current");
    const chip = await current.boundingBox();
    assert.ok(strip.height <= 40, `${width}: ${strip.height} px high`);
    assert.ok(chip.y >= strip.y && chip.y + chip.height <= strip.y + strip.height, `${width}: cut`);
    await tab.until(() => {
      const strip = document.querySelector(".connections").getBoundingClientRect();
      const chip = document.querySelector(".connections .current").getBoundingClientRect();
      return chip.left >= strip.left && chip.right <= strip.right + 1;
    });
    assert.equal(await tab.page.evaluate(() => document.documentElement.scrollWidth), width);
  }
});
