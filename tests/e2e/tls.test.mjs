// The page by TLS, in a real browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { openTab, startBrowser, startServer, startTap } from "./kit.mjs";

/** The options that name a new certificate and its key, and the certificate's file. */
async function makePair(t) {
  const directory = await mkdtemp(path.join(tmpdir(), "chanwire-tls-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const [certificate, key] = ["page.crt", "page.key"].map((name) => path.join(directory, name));
  const make = ["tls", "new", "--name", "127.0.0.1", "--certificate", certificate, "--key", key];
  execFileSync(process.env.CHANWIRE_BIN, make);
  return { pair: ["--tls-certificate", certificate, "--tls-key", key], certificate };
}

test("the page is served by TLS, and carries a connection", async (t) => {
  const { pair } = await makePair(t);
  const server = await startServer([...pair, "--http-tls", "required"]);
  t.after(() => server.stop());
  assert.match(server.page, /^https:/);

  const browser = await startBrowser();
  t.after(() => browser.close());
  // No authority has signed the certificate.
  const tab = await openTab(browser, { ignoreHTTPSErrors: true });
  await tab.open(server.page);
  await tab.connect();
  await tab.sendRaw("LIST\\r\\n");
  await tab.row({ dir: "in", head: "OK" }).waitFor();
  await tab.finish();
});

test("the page reaches a listener that requires TLS, and through a tap a server by TLS", async (t) => {
  const { pair, certificate } = await makePair(t);
  const server = await startServer([...pair, "--tls-mode", "required"]);
  t.after(() => server.stop());
  const address = `tls://127.0.0.1:${server.port}`;
  const trusting = await startTap(address, ["--tls-ca", certificate]);
  t.after(() => trusting.stop());
  const strict = await startTap(address);
  t.after(() => strict.stop());
  const browser = await startBrowser();
  t.after(() => browser.close());

  for (const { page } of [server, trusting]) {
    const tab = await openTab(browser);
    await tab.page.goto(page);
    await tab.page.getByRole("button", { name: "Bridge" }).click();
    await tab.ready();
    assert.equal(await tab.page.locator("#target option").textContent(), address);
    await tab.connect();
    await tab.sendRaw("HELLO\\r\\n{}");
    await tab.choose(tab.row({ dir: "in", head: "OK" }));
    await tab.page.getByRole("tab", { name: "Text" }).click();
    await tab.page.locator("#bytes-mode-panel", { hasText: '"encrypted": true' }).waitFor();
    // The end of sending passes as TLS's own, and the server ends its stream, too.
    await tab.page.getByRole("button", { name: /^End sending/ }).click();
    await tab.row({ head: /^closed$/, summary: "the server closed the connection" }).waitFor();
    await tab.finish();
  }

  const tab = await openTab(browser);
  await tab.page.goto(strict.page);
  await tab.page.getByRole("button", { name: "Bridge" }).click();
  await tab.ready();
  await tab.page.getByRole("button", { name: "Connect", exact: true }).click();
  // It is told which key the server has, and what to do.
  await tab.page.getByText(/cannot connect to tls:.*--tls-pin sha256/).first().waitFor();
  await tab.finish();
});
