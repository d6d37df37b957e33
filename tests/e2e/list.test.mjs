import assert from "node:assert/strict";
import { test } from "node:test";
import { eachTest } from "./kit.mjs";

let server;
let tab;

eachTest(async (started) => {
  server = started.server;
  tab = await started.newTab();
  await tab.open(server.page);
  await tab.connect();
  await tab.shows(1);
});

/** So many requests and as many answers, after the row that says that the connection is open. */
async function lists(count) {
  const before = await tab.rowCount();
  await tab.sendRaw("LIST\\r\\n".repeat(count));
  await tab.shows(before + 2 * count);
}

test("following stops where a frame was selected, and goes on at the end", async () => {
  await lists(100);
  await tab.grid.locator('[data-number="201"]').waitFor();
  const chosen = tab.grid.locator('[data-number="196"]');
  await tab.choose(chosen);
  const place = await tab.placeOf(196);
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  const waiting = tab.page.getByRole("button", { name: "▼ 200 new" });
  await waiting.waitFor();
  assert.equal(await tab.placeOf(196), place);
  assert.equal(await tab.selected(), 196);

  await waiting.click();
  await tab.grid.locator('[data-number="401"]').waitFor();
  await waiting.waitFor({ state: "detached" });
});

test("scrolling up stops following, scrolling down again goes on", async () => {
  await lists(500);
  await tab.grid.locator('[data-number="1001"]').waitFor();
  await tab.grid.hover();
  await tab.page.mouse.wheel(0, -3000);
  await tab.until(() => Number(document.querySelector("#frames [data-number]")?.dataset.number) < 900);
  const before = await tab.rows.first().getAttribute("data-number");
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  await tab.page.getByRole("button", { name: "▼ 1,000 new" }).waitFor();
  assert.equal(await tab.rows.first().getAttribute("data-number"), before);
  await tab.grid.hover();
  await tab.page.mouse.wheel(0, 100_000);
  await tab.grid.locator('[data-number="2001"]').waitFor();
  await tab.page.getByRole("button", { name: /new$/ }).waitFor({ state: "detached" });
});

test("pause freezes the view while the capture goes on", async () => {
  await lists(1);
  await tab.page.getByRole("button", { name: "Live" }).click();
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  await tab.until(() => document.querySelector(".held")?.textContent === "2 held");
  assert.equal(await tab.rowCount(), 3);
  await tab.page.getByRole("button", { name: "Paused" }).click();
  await tab.shows(5);
});

test("clear forgets the rows and gives their memory back", async () => {
  await lists(5000);
  const memory = () =>
    tab.page.locator(".status .memory").evaluate(({ dataset }) => Number(dataset.bytes));
  const full = await memory();
  await tab.page.getByRole("button", { name: "Clear" }).click();
  await tab.shows(0);
  await tab.until(
    (before) => Number(document.querySelector(".status .memory")?.dataset.bytes) < before / 2,
    full,
  );
  assert.equal(await tab.rows.count(), 0);
  // Numbers go on: what was written down of a frame is never another frame.
  await tab.page.getByRole("button", { name: /^Send/ }).click();
  await tab.untilRows(2);
  assert.ok(Number(await tab.rows.first().getAttribute("data-number")) > 10_001);
});

test("changing and clearing a filter keeps the selected frame where it is", async () => {
  // Requests and answers of both kinds in turn, so that there are neighbours of either on both sides.
  await tab.sendRaw("LIST\\r\\nPING\\r\\n".repeat(1000));
  await tab.shows(4001);
  await tab.grid.focus();
  await tab.page.keyboard.press("Home");
  for (let i = 0; i < 40; i += 1) await tab.page.keyboard.press("PageDown");
  await tab.until(() => Number(document.querySelector("#frames .selected")?.dataset.number) > 500);
  for (let i = 0; i < 4; i += 1) await tab.page.keyboard.press("k");
  const chosen = await tab.selected();
  const head = await tab.cell(tab.grid.locator(".selected"), "head");
  const kinds = ['dir==out && text contains "LIST"', 'dir==out && text contains "PING"'];
  const [same, other] = head === "LIST" ? kinds : kinds.reverse();
  const place = await tab.placeOf(chosen);

  await tab.filter(same, 1000);
  await tab.untilSelected(chosen);
  assert.equal(await tab.placeOf(chosen), place, "with a filter");
  await tab.page.getByRole("combobox", { name: "Filter" }).fill(`${same} && no>${chosen - 100}`);
  await tab.until(() => Number(document.querySelector("#frames")?.getAttribute("aria-rowcount")) < 1001);
  await tab.untilSelected(chosen);
  assert.equal(await tab.placeOf(chosen), place, "with another filter");
  await tab.filter(other, 1000);
  await tab.until(() => document.querySelector("#frames .selected") === null);
  const heir = (await tab.rows.evaluateAll((rows) => rows.map(({ dataset }) => Number(dataset.number)))).find(
    (number) => number > chosen,
  );
  assert.equal(await tab.placeOf(heir), place, "the next one stands for the one that is filtered out");
  await tab.filter("", 4001);
  await tab.untilSelected(chosen);
  assert.equal(await tab.placeOf(chosen), place, "without a filter");
});

test("text is found in frames, one after another and round at the end", async () => {
  for (const content of ["first <b>", "second", "third <b>"]) {
    await tab.sendRaw(`MESSAGE\\r\\n{"username": "ann", "message_content": "${content}"}`);
    await tab.row({ dir: "out", summary: content }).waitFor();
  }
  await tab.grid.focus();
  await tab.page.keyboard.press("Control+f");
  await tab.page.getByLabel("Find", { exact: true }).fill("<b>");
  await tab.page.keyboard.press("Enter");
  const found = tab.grid.locator(".selected .summary");
  await found.filter({ hasText: "first" }).waitFor();
  await tab.page.keyboard.press("Enter");
  await found.filter({ hasText: "third" }).waitFor();
  await tab.page.keyboard.press("Enter");
  await found.filter({ hasText: "first" }).waitFor();
  await tab.page.keyboard.press("Shift+Enter");
  await found.filter({ hasText: "third" }).waitFor();
  await tab.page.getByLabel("Find", { exact: true }).fill("nothing of the kind");
  await tab.page.keyboard.press("Enter");
  await tab.page.locator("#find-result", { hasText: "not found" }).waitFor();
  await tab.page.keyboard.press("Escape");
  await tab.page.getByLabel("Find", { exact: true }).waitFor({ state: "detached" });
  assert.equal(await tab.page.evaluate(() => document.activeElement.id), "frames");
});

test("a marked frame is found again", async () => {
  await lists(200);
  await tab.choose(tab.grid.locator('[data-number="399"]'));
  await tab.page.keyboard.press("m");
  await tab.grid.locator(".marked .no", { hasText: "◆399" }).waitFor();
  await tab.grid.focus();
  await tab.page.keyboard.press("Home");
  await tab.untilSelected(1);
  await tab.page.keyboard.press("Shift+M");
  await tab.untilSelected(399);
  await tab.page.keyboard.press("m");
  await tab.until(() => document.querySelector("#frames .marked") === null);
});

test("a frame is sent again, and edited in Compose", async () => {
  await lists(1);
  await tab.choose(tab.row({ dir: "out", head: "LIST" }));
  await tab.page.keyboard.press("r");
  await tab.row({ dir: "in", head: "OK" }).nth(1).waitFor();
  await tab.grid.focus();
  await tab.page.keyboard.press("e");
  await tab.page.getByRole("heading", { name: "Will be sent: 6 B" }).waitFor();
});

test("the memory for what is captured is chosen, and kept from one visit to the next", async () => {
  const { page } = tab;
  const memory = page.getByRole("button", { name: /memory for what is captured/ });
  await memory.filter({ hasText: "of 1 GiB" }).click();
  await page.getByLabel("Memory for what is captured", { exact: true }).selectOption("64");
  await page.keyboard.press("Escape");
  await memory.filter({ hasText: "of 64 MiB" }).waitFor();
  await page.reload();
  await tab.ready();
  await memory.filter({ hasText: "of 64 MiB" }).waitFor();
  // It is in force as soon as there is something to hold.
  await tab.connect();
  await tab.until(() => document.querySelector(".status .memory")?.dataset.limit === String(64 * 1024 * 1024));
});
