import assert from "node:assert/strict";
import { test } from "node:test";
import { eachTest } from "./kit.mjs";

let server;
let newTab;
let tab;

eachTest(async (started) => {
  ({ server, newTab } = started);
  tab = await newTab();
  await tab.open(server.page);
  await tab.connect();
});

/** Eight rows after the first: three LIST, one PING, three OK and one REQUEST_ERROR. */
async function traffic() {
  await tab.sendRaw("LIST\\r\\nLIST\\r\\nPING\\r\\nLIST\\r\\n");
  await tab.shows(9);
}

const field = (name) => tab.page.getByRole("combobox", { name });

test("a mistake has a caret, and the last result stays", async () => {
  await traffic();
  await tab.filter("status==OK", 3);
  assert.equal(await tab.page.getByTestId("counts").textContent(), "3 of 9");

  await field("Filter").fill("status==OK && rtt>");
  await tab.page.locator(".query.wrong .why", { hasText: "^" }).waitFor();
  assert.equal(await field("Filter").getAttribute("aria-invalid"), "true");
  assert.match(await tab.page.locator("#filter-mistake").textContent(), /at character 19$/);
  assert.equal(await tab.rowCount(), 3);
  // The caret stands under the place of the mistake: right after the text.
  const [mark, input] = [
    await tab.page.locator(".mistake").boundingBox(),
    await field("Filter").boundingBox(),
  ];
  const character = await tab.page.locator(".mistake").evaluate((element) => element.getBoundingClientRect().width);
  assert.ok(Math.abs(mark.x - (input.x + 8 + 18 * character)) < 2, `${mark.x} ${input.x} ${character}`);

  await field("Filter").fill("status==OK && rtt>0ms");
  await tab.page.locator(".query.wrong").waitFor({ state: "detached" });
  await tab.shows(3);
});

test("completions are offered: fields, and values that were seen", async () => {
  await traffic();
  const filter = field("Filter");
  await filter.focus();
  assert.equal(await filter.getAttribute("aria-expanded"), "false");
  await filter.pressSequentially("sta");
  const options = tab.page.getByRole("listbox", { name: /^Filter/ });
  await options.getByRole("option", { name: /^status/ }).waitFor();
  assert.equal(await filter.getAttribute("aria-expanded"), "true");
  await tab.page.keyboard.press("ArrowDown");
  const active = await filter.getAttribute("aria-activedescendant");
  assert.equal(await tab.page.locator(`#${active}`).getAttribute("aria-selected"), "true");
  await tab.page.keyboard.press("Enter");
  assert.equal((await filter.inputValue()).trim(), "status");

  await filter.fill("status==");
  await options.getByRole("option", { name: /^REQUEST_ERROR/ }).click();
  await tab.shows(1);
  assert.equal(await filter.inputValue(), "status==REQUEST_ERROR");
  assert.equal(await tab.page.evaluate(() => document.activeElement.id), "filter");
  await filter.fill("d");
  await options.getByRole("option").first().waitFor();
  await tab.page.keyboard.press("Escape");
  await options.waitFor({ state: "hidden" });
  // Tab always moves on.
  await tab.page.keyboard.press("Tab");
  assert.notEqual(await tab.page.evaluate(() => document.activeElement.id), "filter");
});

test("a completion of an older text is not put into a newer one", async () => {
  await traffic();
  const filter = field("Filter");
  await filter.focus();
  await filter.pressSequentially("sta");
  const options = tab.page.getByRole("listbox", { name: /^Filter/ });
  const option = options.getByRole("option", { name: /^status/ });
  await option.waitFor();
  // Nothing can be offered anew between the two.
  await option.evaluate((option) => {
    const input = document.querySelector("#filter");
    input.value = "status==";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    option.click();
  });
  // The new completions have come, so the click has been handled.
  await options.getByRole("option", { name: /^REQUEST_ERROR/ }).waitFor();
  assert.equal(await filter.inputValue(), "status==");
});

test("a highlight marks rows and hides none", async () => {
  await traffic();
  await field("Highlight").fill("status==OK");
  await tab.page.getByTestId("highlights").filter({ hasText: "3" }).waitFor();
  assert.equal(await tab.rowCount(), 9);
  assert.equal(await tab.grid.locator(".lit").count(), 3);
  const next = tab.page.getByRole("button", { name: "Next highlighted row" });
  const stops = [];
  for (let i = 0; i < 3; i += 1) {
    await next.click();
    await tab.until((before) => {
      const number = document.querySelector("#frames .selected.lit")?.dataset.number;
      return number !== undefined && number !== before;
    }, stops.at(-1)?.toString());
    stops.push(await tab.selected());
  }
  assert.deepEqual([...stops].sort((a, b) => a - b), stops);
  await tab.page.getByRole("button", { name: "Previous highlighted row" }).click();
  await tab.untilSelected(stops[1]);
});

test("filters are kept over a reload, and under names", async () => {
  await field("Filter").fill("err");
  await field("Highlight").fill("rtt>50ms");
  await tab.until(() => (localStorage.getItem("chanwire.settings") ?? "").includes("rtt>50ms"));
  await tab.page.getByRole("button", { name: "Profiles" }).click();
  await tab.page.getByLabel("Keep the present ones as").fill("what is <b>wrong</b>");
  await tab.page.keyboard.press("Enter");
  await tab.page.getByRole("button", { name: "what is <b>wrong</b> err rtt>50ms" }).waitFor();
  await tab.page.keyboard.press("Escape");

  await tab.page.reload();
  await tab.ready();
  assert.equal(await field("Filter").inputValue(), "err");
  assert.equal(await field("Highlight").inputValue(), "rtt>50ms");
  await field("Filter").fill("");
  await tab.page.getByRole("button", { name: "Profiles" }).click();
  await tab.page.getByRole("button", { name: /^what is/ }).click();
  assert.equal(await field("Filter").inputValue(), "err");
  await tab.page.getByRole("button", { name: "Profiles" }).click();
  await tab.page.getByRole("button", { name: /^Forget/ }).click();
  await tab.page.getByText("None yet.").waitFor();
});

const LINKED = 'status in (OK, REQUEST_ERROR) && !(text contains "a&b#c")';

test("a link carries filter, highlight and selection, and does nothing else", async () => {
  await traffic();
  await tab.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await tab.choose(tab.row({ head: "! REQUEST_ERROR" }));
  const chosen = await tab.selected();
  await field("Filter").fill(LINKED);
  await tab.shows(4);
  await field("Highlight").fill("err");
  await tab.page.getByTestId("highlights").filter({ hasText: "1" }).waitFor();
  await tab.page.getByRole("button", { name: "Export" }).click();
  await tab.page.getByRole("button", { name: "Copy link" }).click();
  await tab.page.getByText("The link is on the clipboard").waitFor();
  const link = await tab.page.evaluate(() => navigator.clipboard.readText());
  assert.ok(!link.includes(server.token), link);

  const other = await newTab();
  await other.page.goto(`${link}&token=${server.token}`);
  await other.ready();
  assert.equal(other.page.url(), `${server.origin}/`);
  assert.equal(await other.page.locator("#filter").inputValue(), LINKED);
  assert.equal(await other.page.locator("#highlight").inputValue(), "err");
  assert.equal(await other.page.locator(".connections li").count(), 0);
  assert.equal(await other.rowCount(), 0);
  // The frame that it names is selected as soon as there is one of that number.
  await other.connect();
  await other.sendRaw("LIST\\r\\n".repeat(chosen));
  await other.page.getByRole("treeitem", { name: new RegExp(`Frame ${chosen}`) }).waitFor();
});

test("a time range is chosen in the timeline, by pointer and by key, and taken away", async () => {
  const { page } = tab;
  const timeline = page.getByRole("slider", { name: /^Timeline/ });
  await traffic();
  await timeline.locator("canvas").waitFor();
  // The picture reaches to the last row.
  await tab.until(() => {
    const times = [...document.querySelectorAll("#frames [data-number] .time")];
    const last = Math.max(...times.map(({ textContent }) => Number(textContent)));
    return parseFloat(document.querySelector(".readout")?.textContent) > 0.99 * last;
  });
  const box = await timeline.locator(".u-over").boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 1, box.y + box.height / 2, { steps: 5 });
  await page.mouse.up();
  const range = page.locator(".outcome .range");
  await range.waitFor();
  // Connecting happened before the second half; what is drawn to the edge has the last row.
  await tab.until(() => {
    const shown = Number(document.querySelector("#frames").getAttribute("aria-rowcount")) - 1;
    return shown > 0 && shown < 9;
  });
  await tab.grid.locator("[data-number='9']").waitFor();
  await range.getByRole("button", { name: "Show all times" }).click();
  await tab.shows(9);

  await timeline.focus();
  await page.keyboard.press("Home");
  assert.equal(await timeline.getAttribute("aria-valuenow"), "0");
  await page.keyboard.press("Enter");
  await range.waitFor();
  await tab.until(() => {
    const shown = Number(document.querySelector("#frames").getAttribute("aria-rowcount")) - 1;
    return shown > 0 && shown < 9;
  });
  await tab.grid.locator(".head", { hasText: "connected" }).waitFor();
  await page.keyboard.press("Shift+End");
  await tab.shows(9);
  await page.keyboard.press("Escape");
  await range.waitFor({ state: "detached" });
});

test("the timeline is a table too, and commands have statistics", async () => {
  await traffic();
  await tab.page.getByRole("tab", { name: "Table" }).click();
  const times = tab.page.getByRole("group", { name: "Timeline" });
  await times.locator("tbody tr td:nth-child(3)").first().waitFor();
  await tab.until(() => {
    const cells = [...document.querySelectorAll(".overview tbody td:nth-child(3)")];
    return cells.reduce((sum, { textContent }) => sum + Number(textContent), 0) >= 8;
  });
  await tab.page.getByRole("tab", { name: "Statistics" }).click();
  const statistics = tab.page.getByRole("group", { name: "Statistics" });
  const list = statistics.getByRole("row", { name: /^command LIST/ });
  await list.waitFor();
  const cells = await list.getByRole("cell").allTextContents();
  assert.deepEqual(cells.slice(1, 4), ["3", "18", "0"]);
  for (const trip of cells.slice(4)) assert.match(trip, /ms$/);
  const errors = await statistics.getByRole("row", { name: /REQUEST_ERROR/ }).getByRole("cell").allTextContents();
  assert.equal(errors[1], "1");
});
