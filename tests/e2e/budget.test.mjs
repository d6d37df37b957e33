// The bytes of a visit to the page on the wire: first the page itself, and then, once it is there and idle, the
// modules that it prefetches for when the server is gone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eachTest, firstLoad, FIRST_LOAD } from "./kit.mjs";

/**
 * The engine that records and decodes, and the sandbox. The bound guards against a dependency or a table of data that
 * slips into a module unnoticed. Each new command of the protocol adds a few kilobytes.
 */
const LATER = 740_000;

let server;
let newTab;

eachTest(
  (started) => {
    ({ server, newTab } = started);
  },
  { sharedServer: true },
);

test("the first load stays within its budget, so does what is fetched later, and all comes from one origin", async () => {
  const tab = await newTab();
  const { files, script, first, later } = await firstLoad(tab, server);
  const list = files
    .map(({ url, size, later }) => `${String(size).padStart(8)} ${later ? "later" : "first"} ${url.pathname}`)
    .join("\n");
  console.log(list);

  for (const { url, size, encoding, whole } of files) {
    assert.equal(url.origin, server.origin);
    assert.ok(size > 0 && size <= whole, `${url.pathname}: ${size} of ${whole} bytes`);
    if (/\.(js|css|wasm)$/.test(url.pathname)) assert.equal(encoding, "gzip", url.pathname);
  }
  assert.ok(script > 0 && files.some((file) => !file.later && file.url.pathname.endsWith(".wasm")), list);
  assert.ok(script <= FIRST_LOAD.script, `first JavaScript: ${script} bytes\n${list}`);
  assert.ok(first <= FIRST_LOAD.everything, `first: ${first} bytes\n${list}`);
  assert.equal(files.filter((file) => file.later).length, 4, list);
  assert.ok(later <= LATER, `later: ${later} bytes\n${list}`);
  // Nothing of the page waits for what is not needed yet.
  // (The browser asks for the icon when it likes.)
  const lastFirst = files.findLastIndex((file) => !file.later && file.url.pathname !== "/favicon.svg");
  assert.ok(lastFirst < files.findIndex((file) => file.later), list);
});
