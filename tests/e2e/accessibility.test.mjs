import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { eachTest } from "./kit.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let server;
let newTab;
let tab;

eachTest((started) => {
  ({ server, newTab } = started);
});

/** A page with frames, a fault, and one of them selected. */
async function withTraffic() {
  await tab.open(server.page);
  await tab.connect();
  await tab.sendRaw("LIST\\r\\nPING\\r\\nLIST\\n");
  await tab.row({ dir: "in", head: "! REQUEST_ERROR" }).nth(1).waitFor();
  await tab.choose(tab.row({ dir: "in", head: "OK" }));
  await tab.page.locator(".hex .t1").first().waitFor({ state: "attached" });
}

async function violations() {
  // Run by the debugger, not by the page: the page's own policy lets no foreign script in.
  await tab.page.evaluate(AXE);
  const { violations: found } = await tab.page.evaluate(() => window.axe.run());
  return found.map(
    ({ id, nodes }) =>
      `${id}: ${nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ""}`).join(" | ")}`,
  );
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1440, 1024, 600]) {
    test(`axe finds nothing in ${colorScheme} at ${width} pixels`, async () => {
      tab = await newTab({ colorScheme, viewport: { width, height: 900 } });
      const { page } = tab;
      await tab.open(server.page);
      if (width === 600) await page.getByRole("tab", { name: "Compose" }).click();
      await tab.connect();
      await tab.sendRaw("LIST\\r\\nPING\\r\\nLIST\\n");
      await tab.row({ dir: "in", head: "! REQUEST_ERROR" }).nth(1).waitFor();
      await tab.choose(tab.row({ dir: "out", head: "! LIST" }));
      await page.locator(".node.bad").first().waitFor();
      if (width === 600) await page.getByRole("tab", { name: "Bytes" }).click();
      await page.locator(".hex .fault-byte").first().waitFor();
      assert.deepEqual(await violations(), []);

      await page.getByRole("tab", { name: "Stream" }).click();
      await page.locator(".said").first().waitFor();
      await page.getByRole("tab", { name: "Statistics" }).click();
      await page.getByRole("combobox", { name: "Highlight" }).fill("err");
      await page.getByRole("combobox", { name: "Filter" }).fill("cmd==");
      await page.getByRole("listbox", { name: /^Filter/ }).getByRole("option").first().waitFor();
      await page.locator(".query.wrong").waitFor();
      await tab.grid.locator(".lit").first().waitFor();
      assert.deepEqual(await violations(), []);

      await page.keyboard.press("Escape");
      await page.getByRole("tab", { name: "Text" }).click();
      await page.getByRole("button", { name: "Export" }).click();
      await page.getByLabel("Format", { exact: true }).waitFor();
      assert.deepEqual(await violations(), []);
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Help" }).click();
      await page.getByRole("dialog", { name: "Help" }).waitFor();
      assert.deepEqual(await violations(), []);
    });
  }
}

test("the list is a named grid that knows its size and is one tab stop", async () => {
  tab = await newTab();
  await withTraffic();
  assert.equal(await tab.grid.getAttribute("aria-label"), "Frames");
  const shown = await tab.rows.filter({ visible: true }).count();
  assert.equal(await tab.rowCount(), shown);
  assert.ok(shown >= 7, `${shown} rows`);
  assert.equal(await tab.grid.getAttribute("aria-colcount"), "9");
  assert.equal(await tab.grid.getByRole("columnheader").count(), 9);
  assert.equal(await tab.grid.getAttribute("tabindex"), "0");
  assert.equal(await tab.grid.locator("[tabindex], button, a, input").count(), 0);

  const selected = tab.grid.locator('[aria-selected="true"]');
  assert.equal(await selected.count(), 1);
  assert.equal(await tab.grid.getAttribute("aria-activedescendant"), await selected.getAttribute("id"));
  assert.equal(
    Number(await selected.getAttribute("aria-rowindex")),
    Number(await selected.getAttribute("data-number")) + 1,
  );
  // Direction is a word, not only a colour.
  assert.equal(await tab.cell(selected, "dir"), "← in");
});

test("the filter is a combobox, the timeline a slider, each pane a named region", async () => {
  tab = await newTab();
  await withTraffic();
  for (const name of ["Filter", "Highlight"]) {
    const field = tab.page.getByRole("combobox", { name });
    assert.equal(await field.getAttribute("aria-autocomplete"), "list");
    assert.equal(await field.getAttribute("aria-expanded"), "false");
    const list = tab.page.locator(`#${await field.getAttribute("aria-controls")}`);
    assert.equal(await list.getAttribute("role"), "listbox");
    assert.ok(await list.getAttribute("aria-label"));
  }
  const timeline = tab.page.getByRole("slider", { name: /^Timeline/ });
  await tab.until(() => Number(document.querySelector(".chart")?.getAttribute("aria-valuemax")) > 0);
  assert.match(await timeline.getAttribute("aria-valuetext"), /^\d+\.\d{6} s · \d+ frames? in /);
  for (const name of ["Traffic", "Overview", "Details", "Bytes", "Compose"]) {
    assert.equal(await tab.page.getByRole("region", { name }).count(), 1, name);
  }
  const stream = tab.page.getByRole("tab", { name: "Stream" });
  await stream.click();
  assert.equal(await stream.getAttribute("aria-selected"), "true");
  const said = tab.page.getByRole("listbox", { name: /both ways$/ });
  const active = await said.getAttribute("aria-activedescendant");
  assert.equal(await tab.page.locator(`#${active}`).getAttribute("aria-selected"), "true");
});

test("rates and errors are announced, never each frame", async () => {
  tab = await newTab();
  await tab.open(server.page);
  await tab.connect();
  await tab.page.evaluate(() => {
    window.announced = [];
    const live = document.querySelector('[role="status"][aria-live="polite"].unseen');
    new MutationObserver(() => window.announced.push(live.textContent)).observe(live, {
      characterData: true,
      childList: true,
      subtree: true,
    });
  });
  await tab.sendRaw("PING\\r\\n".repeat(500));
  await tab.untilRows(1001);
  await tab.until(() => window.announced.some((text) => /rows? with errors$/.test(text)));
  const announced = await tab.page.evaluate(() => window.announced);
  assert.ok(announced.length <= 3, announced.join("; "));
});

test("the bytes are a named grid whose cells can be pointed to", async () => {
  tab = await newTab();
  await withTraffic();
  const bytes = tab.page.getByRole("grid", { name: /^Bytes of frame \d+$/ });
  assert.equal(await bytes.getAttribute("tabindex"), "0");
  assert.ok(Number(await bytes.getAttribute("aria-rowcount")) >= 1);
  const active = await bytes.getAttribute("aria-activedescendant");
  assert.equal(await bytes.locator(`#${active}`).getAttribute("role"), "gridcell");
});

/**
 * Why somebody who looks does not see that the focused element has the focus; nothing if it is seen: within the window,
 * with an outline, its own or one that lies over it.
 */
function unseen() {
  const element = document.activeElement;
  const name = element.outerHTML.slice(0, 120);
  if (element === document.body) return undefined;
  if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return `${name} is hidden`;
  const box = element.getBoundingClientRect();
  const isWithin = box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight;
  if (!isWithin || box.width * box.height === 0) return `${name} is outside of the window`;
  const isDrawn = [null, "::before", "::after"].some((part) => {
    const { outlineStyle, outlineWidth, borderTopWidth, content } = getComputedStyle(element, part);
    if (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) return part === null || content !== "none";
    return part !== null && content !== "none" && parseFloat(borderTopWidth) > 0;
  });
  return isDrawn ? undefined : `nothing is drawn around ${name}`;
}

/** Tab until `matches` holds for the focused element; at every stop on the way one sees where one is. */
async function tabTo(description, matches, argument) {
  for (let stop = 0; stop < 60; stop += 1) {
    await tab.page.keyboard.press("Tab");
    assert.equal(await tab.page.evaluate(unseen), undefined);
    if (await tab.page.evaluate(matches, argument)) return;
  }
  assert.fail(`Tab never reached ${description}`);
}

const named = (name) => document.activeElement.textContent.trim() === name;
const opens = (id) => document.activeElement.getAttribute("popovertarget") === id;
const labelled = (text) => document.activeElement.labels?.[0]?.textContent.trim().startsWith(text) === true;

/** Escape closes what is open first, then leaves the field for the list. */
async function escapeToList() {
  for (let presses = 0; presses < 3; presses += 1) {
    await tab.page.keyboard.press("Escape");
    if (await tab.page.evaluate(() => document.activeElement.id === "frames")) return;
  }
  assert.fail("Escape does not lead to the list");
}

test("everything can be done by keyboard alone", async () => {
  tab = await newTab();
  const { page } = tab;
  await tab.open(server.page);
  await tabTo("Connect", () => document.activeElement.textContent === "Connect");
  await page.keyboard.press("Enter");
  await page.locator(".connections li.open").waitFor();

  await tabTo("the command", () => document.activeElement.id === "compose-command");
  await page.keyboard.type("LI");
  await page.getByTestId("preview").filter({ hasText: "LIST" }).waitFor();
  await page.keyboard.press("Control+Enter");
  await tab.row({ dir: "in", head: "OK" }).waitFor();
  await page.keyboard.press("Control+Enter");
  await tab.row({ dir: "in", head: "OK" }).nth(1).waitFor();

  // F7 and F8 work from here; letters and Space belong to the field.
  await page.keyboard.press("F7");
  const last = await tab.rowCount();
  await tab.untilSelected(last);
  await page.keyboard.press("F7");
  await tab.untilSelected(last - 1);
  await page.keyboard.press("F8");
  await tab.untilSelected(last);

  await tabTo("the list", () => document.activeElement.id === "frames");
  await page.keyboard.press("Home");
  await tab.untilSelected(1);
  await page.keyboard.press("j");
  await page.keyboard.press("ArrowDown");
  await tab.untilSelected(3);
  await page.keyboard.press("k");
  await tab.untilSelected(2);
  // From the request to its answer, and back.
  await page.keyboard.press("p");
  await tab.untilSelected(3);
  await page.keyboard.press("p");
  await tab.untilSelected(2);
  await page.keyboard.press("End");
  await tab.untilSelected(last);
  await page.keyboard.press(" ");
  await page.getByRole("button", { name: "Paused" }).waitFor();
  await page.keyboard.press(" ");
  await page.getByRole("button", { name: "Live" }).waitFor();

  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Help" }).waitFor();
  await page.keyboard.press("Escape");
  // By its element: it has no role any more as soon as it is hidden, and takes keys until it is gone.
  await page.locator("dialog").waitFor({ state: "detached" });

  // Filter, completion, highlight, search and mark, all without the pointer.
  await page.keyboard.press("/");
  await tab.until(() => document.activeElement.id === "filter");
  await page.keyboard.type("cmd==LI");
  await page.getByRole("listbox", { name: /^Filter/ }).getByRole("option", { name: /^LIST/ }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await tab.shows(4);
  await escapeToList();
  await page.keyboard.press("End");
  await page.keyboard.press("m");
  await tab.grid.locator(".marked.selected").waitFor();
  await page.keyboard.press("Home");
  await page.keyboard.press("Shift+M");
  await tab.grid.locator(".marked.selected").waitFor();
  await page.keyboard.press("Control+f");
  await page.keyboard.type("channels");
  await page.keyboard.press("Enter");
  await tab.grid.locator(".selected .dir", { hasText: "in" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await tab.shows(last);
  await escapeToList();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  await tab.untilSelected(2);

  // Sent again, and edited in Compose.
  await page.keyboard.press("r");
  await tab.row({ dir: "in", head: "OK" }).nth(2).waitFor();
  await page.keyboard.press("e");
  await tab.until(() => document.activeElement.closest(".compose") !== null);
  await page.keyboard.press("F8");
  await tab.untilSelected(3);

  await tabTo("the export", () => document.activeElement.getAttribute("popovertarget") === "export");
  await page.keyboard.press("Enter");
  await page.getByLabel("Format").waitFor();
  await tab.until(() => document.activeElement.id === "export-format");
  await page.keyboard.press("Escape");

  await tabTo("the parts", () => document.activeElement.getAttribute("role") === "tree");
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  await page.locator(".node.current", { hasText: "status" }).waitFor();
  await tabTo("the bytes", () => document.activeElement.classList.contains("hex"));
  await page.keyboard.press("ArrowRight");
  await page.locator("#byte-status", { hasText: "byte 1 is 0x4b" }).waitFor();

  // A splitter is a control of its own.
  await tabTo("the splitter", () => document.activeElement.getAttribute("aria-label") === "Width of Bytes");
  const before = await page.locator(":focus").getAttribute("aria-valuenow");
  await page.keyboard.press("ArrowRight");
  assert.equal(Number(await page.locator(":focus").getAttribute("aria-valuenow")), Number(before) + 2);
});

test("and so can the sandbox, fault plans, profiles, the overview, files and captures", async () => {
  tab = await newTab();
  const { page } = tab;
  await page.goto(server.page);
  await page.getByRole("button", { name: "Sandbox", exact: true }).waitFor();
  await tabTo("the sandbox", named, "Sandbox");
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Sandbox", exact: true }).waitFor();
  await tab.ready();
  await tabTo("Connect", named, "Connect");
  await page.keyboard.press("Enter");
  await page.locator(".connections li.open").waitFor();
  await tabTo("the scenarios", opens, "scenarios");
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem").first().waitFor();
  await page.keyboard.press("End");
  const last = await page.locator(":focus b").innerText();
  await page.keyboard.press("Enter");
  await page.getByText(`Played ${last}.`).waitFor();
  await tabTo("the store", labelled, "Store");
  await page.keyboard.press("f");
  assert.equal(await page.getByLabel("Store").inputValue(), "fails");
  await page.keyboard.press("w");
  await tabTo("Start over", named, "Start over");
  await page.keyboard.press("Enter");
  await page.locator(".connections li.open").waitFor({ state: "detached" });
  await tabTo("Connect", named, "Connect");
  await page.keyboard.press("Enter");
  await page.locator(".connections li.open").waitFor();

  // A plan with a fault, and the client's end.
  await tabTo("the command", () => document.activeElement.id === "compose-command");
  await page.keyboard.type("LI");
  await tabTo("the faults", () => document.activeElement.matches(".faults summary"));
  await page.keyboard.press("Enter");
  await tabTo("where to cut", labelled, "Cut at");
  await page.keyboard.type("2");
  await page.getByTestId("preview").locator(".piece").nth(1).waitFor();
  await tabTo("Send", () => document.activeElement.textContent.trim().startsWith("Send"));
  const before = await tab.rowCount();
  await page.keyboard.press("Enter");
  await tab.shows(before + 2);

  // A filter is kept under a name, left, and taken again.
  await page.keyboard.press("Escape");
  await tabTo("the list", () => document.activeElement.id === "frames");
  await page.keyboard.press("/");
  await page.keyboard.type("status==OK");
  await tabTo("the profiles", () => document.activeElement.textContent.trim().startsWith("Profiles"));
  await page.keyboard.press("Enter");
  await tabTo("the profile's name", labelled, "Keep the present ones as");
  await page.keyboard.type("answers");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Forget answers" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await escapeToList();
  await tabTo("the profiles", () => document.activeElement.textContent.trim().startsWith("Profiles"));
  await page.keyboard.press("Enter");
  await tabTo("the profile", () => document.activeElement.matches(".use"));
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#filter").inputValue(), "status==OK");
  await page.keyboard.press("/");
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await escapeToList();

  // A range of times, the table, the statistics.
  await tabTo("the timeline", () => document.activeElement.getAttribute("role") === "slider");
  await page.keyboard.press("Home");
  await page.keyboard.press("Shift+End");
  await page.locator(".outcome .range").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".outcome .range").waitFor({ state: "detached" });
  await tabTo("the overview's ways", named, "Chart");
  await page.keyboard.press("ArrowRight");
  await page.getByRole("tab", { name: "Table", selected: true }).waitFor();
  await page.keyboard.press("ArrowRight");
  await page.getByRole("row", { name: /^command LIST/ }).waitFor();

  // Captured rows are saved, and another source is opened.
  await tabTo("the export", opens, "export");
  await page.keyboard.press("Enter");
  await tabTo("the download", named, "Download");
  const coming = page.waitForEvent("download");
  await page.keyboard.press("Enter");
  assert.match((await coming).suggestedFilename(), /\.jsonl$/);
  await page.keyboard.press("Escape");
  await tabTo("Open", named, "Open…");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await tabTo("where to paste", () => document.activeElement.tagName === "TEXTAREA");
  await page.keyboard.type("4c49 5354 0d0a 5049 4e47 0d0a");
  await tabTo("the preview", named, "Look at it");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Open", exact: true }).waitFor();
  if (!(await page.evaluate(named, "Open"))) await tabTo("the opening", named, "Open");
  await page.keyboard.press("Enter");
  await tab.row({ dir: "out", head: "PING", summary: "Unknown command" }).waitFor();
});

test("pane sizes are kept from one visit to the next", async () => {
  tab = await newTab();
  await tab.open(server.page);
  const splitter = tab.page.getByRole("separator", { name: "Height of the list" });
  await splitter.focus();
  await tab.page.keyboard.press("ArrowUp");
  const moved = await splitter.getAttribute("aria-valuenow");
  await tab.page.reload();
  await tab.ready();
  assert.equal(await splitter.getAttribute("aria-valuenow"), moved);
});

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing in the sandbox and in a fault plan, in ${colorScheme}`, async () => {
    tab = await newTab({ colorScheme });
    const { page } = tab;
    await page.goto(server.page);
    await page.getByRole("button", { name: "Sandbox", exact: true }).click();
    await tab.ready();
    await page.getByRole("button", { name: "Scenarios" }).click();
    await page.getByRole("menuitem").first().waitFor();
    assert.deepEqual(await violations(), []);
    await page.getByRole("menuitem", { name: /^Database connection failed / }).click();
    await tab.row({ head: "! SERVER_ERROR" }).first().waitFor();
    await page.getByLabel("Store").selectOption("fails");
    await page.getByRole("button", { name: "Limits" }).click();
    await page.getByLabel("largest payload, bytes").fill("many");
    await page.getByText("'many' must be").waitFor();
    assert.deepEqual(await violations(), []);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Clients" }).click();
    await page.getByLabel("reads").first().waitFor();
    assert.deepEqual(await violations(), []);
    await page.keyboard.press("Escape");

    await tab.form("LIST");
    await page.locator(".faults summary").click();
    await page.getByLabel("Cut at").fill("2+500, 90");
    await page.getByText("Nothing can be cut at 90").waitFor();
    assert.deepEqual(await violations(), []);
    await page.getByLabel("Cut at").fill("2+500");
    await page.getByTestId("preview").locator(".between").waitFor();
    await page.getByRole("button", { name: "Load" }).click();
    await page.getByRole("menuitem", { name: "HOST", exact: true }).waitFor();
    assert.deepEqual(await violations(), []);
  });
}
