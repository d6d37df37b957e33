// The real memory of the tab: that of its process, as the system reports it, and not the page's own count.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { CHROMIUM, openTab, startServer } from "./kit.mjs";

const MEBIBYTE = 1024 * 1024;
const CAPTURE = 100 * MEBIBYTE;

let server;
let browser;
let folder;

before(async () => {
  // With this flag, unused memory is collected on request and not some time later.
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--js-flags=--expose-gc"] });
  server = await startServer();
  folder = await mkdtemp(path.join(tmpdir(), "chanwire-memory-"));
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

/** The largest of the browser's processes that show pages, in bytes. */
async function rendererMemory() {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const renderers = processInfo.filter(({ type }) => type === "renderer");
  const sizes = await Promise.all(
    renderers.map(async ({ id }) => {
      const status = await readFile(`/proc/${id}/status`, "utf8").catch(() => "");
      return 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
    }),
  );
  return Math.max(...sizes);
}

test("a clear gives the memory of a large capture back to the system", async () => {
  const tab = await openTab(browser);
  const { page } = tab;
  await tab.open(server.page);
  const message = `MESSAGE\r\n{"username": "ann", "message_content": "${"x".repeat(4000)}"}`;
  const file = path.join(folder, "large.bin");
  await writeFile(file, message.repeat(Math.ceil(CAPTURE / message.length)));
  const empty = await rendererMemory();

  await page.getByRole("button", { name: "Open…" }).click();
  await page.getByLabel("File", { exact: true }).setInputFiles(file);
  await page.getByText("raw bytes, what a client sent").waitFor();
  await page.getByRole("button", { name: "Open", exact: true }).click();
  const heap = () => page.locator(".status .memory").evaluate(({ dataset }) => Number(dataset.heap));
  await tab.until((least) => Number(document.querySelector(".status .memory")?.dataset.bytes) > least, CAPTURE);
  await page.locator(".reading progress").waitFor({ state: "detached" });
  const full = await rendererMemory();
  assert.ok(full - empty > CAPTURE * 0.9, `${empty} to ${full} bytes`);
  assert.ok((await heap()) > CAPTURE);

  await page.getByRole("button", { name: "Clear" }).click();
  await tab.shows(0);
  await tab.until((most) => Number(document.querySelector(".status .memory")?.dataset.heap) < most, 16 * MEBIBYTE);
  // The garbage of the worker is its own, and the system gets it back a moment later.
  const until = performance.now() + 30_000;
  let now = full;
  while (now > empty + CAPTURE * 0.3 && performance.now() < until) {
    await Promise.all([page, ...page.workers()].map((isolate) => isolate.evaluate(() => globalThis.gc())));
    now = await rendererMemory();
  }
  console.log(
    `renderer: ${[empty, full, now].map((bytes) => Math.round(bytes / MEBIBYTE)).join(", ")} MiB (empty, full, cleared)`,
  );
  assert.ok(now <= empty + CAPTURE * 0.3, `${empty}, ${full}, then ${now} bytes`);
  await tab.finish();
});
