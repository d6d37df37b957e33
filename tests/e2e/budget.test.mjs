// What the page costs before anybody has done anything with it, as it comes over the wire.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { eachTest } from "./kit.mjs";

const FIRST_SCRIPT = 80_000;
const EVERYTHING = 250_000;

let server;
let newTab;

eachTest(
  (started) => {
    ({ server, newTab } = started);
  },
  { sharedServer: true },
);

test("the first load stays within its budget and comes from one origin", async () => {
  const tab = await newTab();
  const files = [];
  tab.context.on("response", (response) => {
    files.push(
      response.body().then((body) => ({
        url: new URL(response.url()),
        size: gzipSync(body, { level: 9 }).length,
      })),
    );
  });
  await tab.open(server.page);
  await tab.page.waitForLoadState("networkidle");
  const loaded = await Promise.all(files);
  const list = loaded.map(({ url, size }) => `${String(size).padStart(8)} ${url.pathname}`).join("\n");
  console.log(list);

  for (const { url } of loaded) assert.equal(url.origin, server.origin);
  const sum = (some) => some.reduce((total, { size }) => total + size, 0);
  // What the document itself names comes first; everything else is asked for by it.
  const document = await (await fetch(server.origin)).text();
  const scripts = loaded.filter(({ url }) => url.pathname.endsWith(".js") && document.includes(url.pathname));
  assert.ok(scripts.length > 0 && loaded.some(({ url }) => url.pathname.endsWith(".wasm")), list);
  assert.ok(sum(scripts) <= FIRST_SCRIPT, `first JavaScript: ${sum(scripts)} bytes\n${list}`);
  assert.ok(sum(loaded) <= EVERYTHING, `everything: ${sum(loaded)} bytes\n${list}`);
});
