// Windows that are low, narrow or in forced colours: everything can be reached and read.

import assert from "node:assert/strict";
import { test } from "node:test";
import { artifact, eachTest } from "./kit.mjs";

let server;
let newTab;

eachTest(
  (started) => {
    ({ server, newTab } = started);
  },
  { sharedServer: true },
);

/** The parts of the page, each of which must have some room that no other takes. */
const PARTS = ["header.toolbar", "search.queries", ".above", ".below", "footer.status"];

/** The boxes of the page's parts, by the document and not by the window. */
function boxes(tab, parts) {
  return tab.page.evaluate(
    (names) =>
      names.map((name) => {
        const { top, bottom, height } = document.querySelector(name).getBoundingClientRect();
        return { name, top: top + scrollY, bottom: bottom + scrollY, height };
      }),
    parts,
  );
}

async function isWhole(tab, parts = PARTS) {
  const all = await boxes(tab, parts);
  for (const [at, box] of all.entries()) {
    if (at > 0) assert.ok(box.top >= all[at - 1].bottom - 1, `${box.name} lies over ${all[at - 1].name}`);
  }
  const of = (name) => all.find((box) => box.name === name).height;
  assert.ok(of(".above") >= 120 && of(".below") >= 190, JSON.stringify(all));
  const { reachable, needed } = await tab.page.evaluate(() => ({
    reachable: document.scrollingElement.scrollHeight,
    needed: document.querySelector("footer.status").getBoundingClientRect().bottom + scrollY,
  }));
  assert.ok(needed <= reachable + 1, `${needed} of ${reachable} pixels can be scrolled to`);
}

/** `overview` and `sandbox` take room too. */
for (const [width, height] of [[1440, 900], [1024, 700], [720, 450], [600, 380]]) {
  test(`at ${width} by ${height} every part has room, in the sandbox too`, async () => {
    const tab = await newTab({ viewport: { width, height } });
    await tab.open(server.page);
    await tab.connect();
    await tab.form("LIST");
    await tab.send(6);
    await tab.choose(tab.row({ dir: "in", head: "OK" }));
    await isWhole(tab);
    await tab.page.screenshot({ path: await artifact(`layout-${width}x${height}.png`), fullPage: true });
    await tab.page.getByRole("button", { name: "Sandbox" }).click();
    await tab.page.locator("section.sandbox, .sandbox").first().waitFor();
    await isWhole(tab);
    await tab.page.screenshot({ path: await artifact(`layout-sandbox-${width}x${height}.png`), fullPage: true });
    // The last line of Details can be brought into the window.
    const status = tab.page.locator("footer.status");
    await status.scrollIntoViewIfNeeded();
    const { y } = await status.boundingBox();
    assert.ok(y >= 0 && y < height, `the status line is at ${y}`);
  });
}

test("in forced colours the selection can be read, and what is drawn in colour is there", async () => {
  const tab = await newTab({ forcedColors: "active", colorScheme: "dark" });
  await tab.open(server.page);
  await tab.connect();
  await tab.form("LIST");
  await tab.send(6);
  await tab.choose(tab.row({ dir: "in", head: "OK" }));
  await tab.page.screenshot({ path: await artifact("layout-forced-colours.png") });
  const colours = await tab.page.evaluate(() => {
    const of = (name, pseudo) => {
      const element = document.querySelector(name);
      const { color, backgroundColor } = getComputedStyle(element, pseudo);
      return { color, back: backgroundColor };
    };
    return {
      cell: of("#frames .selected .summary"),
      row: of("#frames .selected"),
      page: getComputedStyle(document.querySelector("#frames")).backgroundColor,
      bar: of(".read-start", "::before").back,
    };
  });
  assert.notEqual(colours.cell.color, colours.row.back, "the selected row's text is of the colour of its background");
  assert.notEqual(colours.bar, "rgba(0, 0, 0, 0)", "the bars between reads are not drawn");
  const key = tab.page.locator(".key .frames");
  await key.waitFor();
  const back = await key.evaluate((element) => getComputedStyle(element, "::before").backgroundColor);
  assert.doesNotMatch(back, /, 0\)$/, "the legend has no colour");
});

test("while a filter is wrong the rows of the last one are dimmed", async () => {
  const tab = await newTab();
  await tab.open(server.page);
  await tab.connect();
  await tab.filter("conn==1", 1);
  const colours = () => tab.page.locator(".list .scroller").evaluate((element) => getComputedStyle(element).filter);
  assert.equal(await colours(), "none");
  await tab.page.getByRole("combobox", { name: "Filter" }).fill("cmd==host");
  await tab.page.getByText("it is spelled HOST").first().waitFor();
  assert.equal(await colours(), "grayscale(1)");
  await tab.page.getByRole("combobox", { name: "Filter" }).fill("");
  await tab.page.locator(".list:not(.stale)").waitFor();
  assert.equal(await colours(), "none");
});

test("the reason why a request cannot be sent is shown", async () => {
  const tab = await newTab();
  await tab.open(server.page);
  await tab.connect();
  const foot = tab.page.locator(".pane-foot .hint");
  await tab.form("MESSAGE");
  await tab.until(() => document.querySelector(".pane-foot .hint").textContent === "Fill in username, message_content first.");
  await tab.form("MESSAGE", { username: " ann" });
  await tab.until(() => document.querySelector(".pane-foot .hint").textContent === "Correct the marked fields first.");
  assert.equal(await tab.page.locator('.compose [aria-invalid="true"]').count(), 1);
  await tab.form("MESSAGE", { username: "ann", message_content: "hi" });
  await tab.until(() => document.querySelector(".pane-foot .hint").textContent === "");
  assert.equal(await foot.textContent(), "");
});
