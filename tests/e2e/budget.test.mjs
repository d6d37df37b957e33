// What a visit to the page costs, as it comes over the wire: first the page itself, and then, once it is there and idle,
// what it keeps at hand for when the server is gone.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openTab, startBrowser, startServer } from "./kit.mjs";

const FIRST_SCRIPT = 80_000;
const FIRST = 250_000;
/** The engine that records and decodes, and the sandbox. */
const LATER = 520_000;

let server;
let browser;

before(async () => {
  browser = await startBrowser();
  server = await startServer();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** What belongs to the engine and to the sandbox; everything else is of the page itself. */
async function isLater(response) {
  const { pathname } = new URL(response.url());
  if (/chanwire_(wasm|sandbox)_bg|\/load-/.test(pathname)) return true;
  return pathname.includes("/worker-") && (await response.text()).includes("chanwire_sandbox_bg");
}

test("the first load stays within its budget, so does what is fetched later, and all comes from one origin", async () => {
  const tab = await openTab(browser);
  const responses = [];
  tab.context.on("response", (response) => responses.push(response));
  await tab.open(server.page);
  await tab.page.waitForLoadState("networkidle");
  const loaded = await Promise.all(
    responses.map(async (response) => ({
      url: new URL(response.url()),
      // What the server said that it sends: as it was encoded.
      size: Number(await response.headerValue("content-length")),
      encoding: await response.headerValue("content-encoding"),
      whole: (await response.body()).length,
      later: await isLater(response),
    })),
  );
  await tab.finish();
  const list = loaded
    .map(({ url, size, later }) => `${String(size).padStart(8)} ${later ? "later" : "first"} ${url.pathname}`)
    .join("\n");
  console.log(list);

  for (const { url, size, encoding, whole } of loaded) {
    assert.equal(url.origin, server.origin);
    assert.ok(size > 0 && size <= whole, `${url.pathname}: ${size} of ${whole} bytes`);
    if (/\.(js|css|wasm)$/.test(url.pathname)) assert.equal(encoding, "gzip", url.pathname);
  }
  const sum = (some) => some.reduce((total, { size }) => total + size, 0);
  const [first, later] = [loaded.filter((file) => !file.later), loaded.filter((file) => file.later)];
  // What the document itself names comes first; everything else is asked for by it.
  const document = await (await fetch(server.origin)).text();
  const scripts = first.filter(({ url }) => url.pathname.endsWith(".js") && document.includes(url.pathname));
  assert.ok(scripts.length > 0 && first.some(({ url }) => url.pathname.endsWith(".wasm")), list);
  assert.ok(sum(scripts) <= FIRST_SCRIPT, `first JavaScript: ${sum(scripts)} bytes\n${list}`);
  assert.ok(sum(first) <= FIRST, `first: ${sum(first)} bytes\n${list}`);
  assert.ok(later.length === 4 && sum(later) <= LATER, `later: ${sum(later)} bytes\n${list}`);
  // Nothing of the page waits for what is not needed yet.
  const lastFirst = loaded.findLastIndex((file) => !file.later);
  assert.ok(lastFirst < loaded.findIndex((file) => file.later), list);
});
