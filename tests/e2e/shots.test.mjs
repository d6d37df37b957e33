// The page with real traffic in it, for people to look at. The files stay in `artifacts`.

import assert from "node:assert/strict";
import { connect } from "node:net";
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

/** Another client says something in a channel. */
function say(text) {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, "127.0.0.1", () => socket.end(text));
    socket.on("error", reject);
    socket.on("data", () => undefined);
    socket.on("close", resolve);
  });
}

/** A morning's work with a server: what is right, what is wrong, what comes unasked. */
async function traffic(tab) {
  const arrived = tab.page.locator(".arriving:empty");
  await tab.connect();
  await tab.form("LIST");
  await tab.send(6);
  const host = `{"channel_name": "general", "peer_server_ip": "127.0.0.1", "peer_server_port": ${server.port}}`;
  const lines = [
    `HOST\\r\\n${host}`,
    'JOIN\\r\\n{"channel_name": "general"}',
    "LIST\\r\\nLIST\\r\\nPING\\r\\n{}",
    'MESSAGE\\r\\n{"username": "ann", "message_content": "Grüße 🙂 an alle"}',
    'MESSAGE\\r\\n{"username": "ann", "channel_name": "gaming", "message_content": "hi"}',
    `MESSAGE\\r\\n{"username": "bob", "message_content": "${"a long story that goes on and on, ".repeat(40)}"}`,
    'HOST\\r\\n{"channel_name": 5}',
    "LIST\\n",
    "LI",
    "ST\\r\\n",
  ];
  for (const raw of lines) {
    await tab.sendRaw(raw);
    if (raw !== "LI") await arrived.waitFor({ state: "attached" });
  }
  for (let i = 0; i < 30; i += 1) {
    await say(`MESSAGE\r\n{"username": "carol", "message_content": "number ${i}"}`);
  }
  await tab.row({ dir: "← push", summary: "number 29" }).waitFor();
  await tab.sendRaw("LIST\\r\\n".repeat(40));
  await tab.sendRaw('MESSAGE\\r\\n{"username": "dan\\xe2\\x80\\xae", "message_content": "<b>tabs</b>\\\\tand more"}'.replaceAll("\\xe2\\x80\\xae", "\u202e"));
  await tab.sendRaw("HO?T\\r\\n");
  // After what does not look like the protocol the server ends its half; the page ends its own.
  await tab.row({ conn: "#1", head: "half-closed" }).waitFor();
  await tab.page.getByRole("button", { name: "End sending on connection 1" }).click();
  await tab.row({ conn: "#1", head: /^closed$/ }).waitFor();
  await tab.connect();
  await tab.sendRaw("LIST\\r\\nHO");
  await tab.row({ conn: "#2", dir: "in", head: "OK" }).waitFor();
}

/**
 * Returns elements that do not fit: a page that is wider than the window, and a control whose words are cut off or
 * that stands beyond the window's edge.
 */
function misfits() {
  const found = [];
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) found.push(`the page is ${scrollWidth} pixels wide, the window ${clientWidth}`);
  for (const element of document.querySelectorAll("button, select, summary, input, h2, h3, label")) {
    if (!element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    const name = element.outerHTML.replace(/\s+/g, " ").slice(0, 100);
    // Inline elements have no width of their own, and text for screen readers has a pixel.
    const isCut = element.matches("button, summary, h2, h3") && element.scrollWidth > element.clientWidth;
    if (isCut && element.clientWidth > 1) found.push(`${name} has ${element.scrollWidth} of ${element.clientWidth}`);
    // Elements that scroll may hold hidden parts.
    const scroller = element.closest(".scroller, .pane-body, .popover, .overview");
    if (scroller === null && (box.right > clientWidth + 0.5 || box.left < -0.5)) {
      found.push(`${name} reaches from ${box.left} to ${box.right}`);
    }
  }
  return found;
}

const SIZES = [
  [1440, 900],
  [1024, 768],
  [600, 900],
];

test("shots of the page", async () => {
  const tab = await newTab();
  await tab.open(server.page);
  await traffic(tab);
  const all = await tab.rowCount();
  const highlight = tab.page.getByRole("combobox", { name: "Highlight" });
  const filter = tab.page.getByRole("combobox", { name: "Filter" });
  for (const scheme of ["light", "dark"]) {
    await tab.page.emulateMedia({ colorScheme: scheme });
    for (const [width, height] of SIZES) {
      await tab.page.setViewportSize({ width, height });
      const narrow = width < 900;
      const shot = async (what) => {
        await tab.page.screenshot({ path: await artifact(`${scheme}-${width}-${what}.png`) });
        assert.deepEqual(await tab.page.evaluate(misfits), [], `${scheme}, ${width} pixels, ${what}`);
      };
      const pane = async (name) => {
        if (narrow) await tab.page.getByRole("tab", { name, exact: true }).click();
      };

      // A fault, in its bytes and in Details.
      await highlight.fill("");
      await filter.fill("");
      await tab.shows(all);
      await tab.grid.focus();
      await tab.page.getByRole("tab", { name: "Chart" }).click();
      await tab.choose(tab.row({ dir: "out", head: "! HO" }));
      await pane("Bytes");
      await tab.page.getByRole("tab", { name: "Hex" }).click();
      await tab.page.locator(".hex .fault-byte").first().waitFor();
      await pane("Details");
      await tab.page.locator(".node.bad").first().waitFor();
      await shot("fault");

      // Highlighted, a long frame, the conversation around it.
      await highlight.fill("push || status==REQUEST_ERROR");
      await tab.grid.focus();
      await filter.fill('text contains "a long story"');
      await tab.choose(tab.row({ dir: "out", summary: "a long story" }));
      await filter.fill("");
      await tab.shows(all);
      await tab.grid.focus();
      await tab.grid.locator(".lit").nth(1).waitFor();
      await shot("highlight");
      await pane("Bytes");
      await tab.page.getByRole("tab", { name: "Stream" }).click();
      await tab.page.locator(".said[aria-selected=true]").waitFor();
      await shot("stream");

      // A mistake, and what fits.
      await tab.page.getByRole("tab", { name: "Statistics" }).click();
      await tab.page.getByRole("row", { name: /^command MESSAGE/ }).waitFor();
      await filter.fill("dir==in && status=");
      await tab.page.locator(".query.wrong").waitFor();
      await shot("mistake");
      await tab.page.keyboard.press("Escape");
      await tab.grid.focus();
    }
  }
  await tab.page.getByRole("button", { name: "Help" }).click();
  await tab.page.getByRole("dialog", { name: "Help" }).waitFor();
  await tab.page.screenshot({ path: await artifact("help.png") });
  assert.deepEqual(await tab.page.evaluate(misfits), []);
});
