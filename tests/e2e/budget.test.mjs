// What the page costs before anybody has done anything with it, as it comes over the wire.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eachTest, firstLoad, FIRST_LOAD } from "./kit.mjs";

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
  const { files, script, everything } = await firstLoad(tab, server);
  const list = files.map(({ url, size }) => `${String(size).padStart(8)} ${url.pathname}`).join("\n");
  console.log(list);
  for (const { url } of files) assert.equal(url.origin, server.origin);
  assert.ok(script > 0 && files.some(({ url }) => url.pathname.endsWith(".wasm")), list);
  assert.ok(script <= FIRST_LOAD.script, `first JavaScript: ${script} bytes\n${list}`);
  assert.ok(everything <= FIRST_LOAD.everything, `everything: ${everything} bytes\n${list}`);
});
