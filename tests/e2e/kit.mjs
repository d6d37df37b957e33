// Starts the real program and a real browser, and knows the page's parts by what a person sees of them.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach } from "node:test";
import { chromium } from "playwright-core";

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const ARTIFACTS = path.join(import.meta.dirname, "artifacts");

/** Waiting for a condition ends here: what has not come by then does not come. */
const WAIT_LIMIT = 15_000;

export async function artifact(name) {
  await mkdir(ARTIFACTS, { recursive: true });
  return path.join(ARTIFACTS, name);
}

/** The program, once its banner matches all of these; gives what they found, and how to stop it. */
async function start(args, patterns) {
  const binary = process.env.CHANWIRE_BIN;
  assert.ok(binary, "set CHANWIRE_BIN to the path that `make build` prints");
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const gone = new Promise((resolve) => child.once("exit", resolve));
  const found = await new Promise((resolve, reject) => {
    const read = (chunk) => {
      said += chunk;
      const found = patterns.map((pattern) => pattern.exec(said)?.[1]);
      if (found.every((text) => text !== undefined)) resolve(found);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", (chunk) => (said += chunk));
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`chanwire ${args[0]} ended before it was ready:\n${said}`)));
  });
  return {
    found,
    log: () => said,
    async stop() {
      child.kill("SIGTERM");
      await gone;
    },
  };
}

const PAGE = /inspector at (https?:\/\/\S+#token=[0-9a-f]{32})/;

const portOf = (address) => Number(address.slice(address.lastIndexOf(":") + 1));

/** `chanwire serve` on ports of its own, with an empty data directory. */
export async function startServer(more = []) {
  const data = await mkdtemp(path.join(tmpdir(), "chanwire-e2e-"));
  const args = ["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--metrics", "off", "--data-dir", data, ...more];
  const { found, log, stop } = await start(args, [/listening on (\S+:\d+)/, PAGE]);
  const [listener, page] = found;
  return {
    page,
    token: page.split("#token=")[1],
    origin: new URL(page).origin,
    port: portOf(listener),
    log,
    async stop() {
      await stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

/** `chanwire tap` in front of a server, or of an address, on ports of its own. */
export async function startTap(server, args = []) {
  const to = typeof server === "string" ? server : `127.0.0.1:${server.port}`;
  const { found, stop } = await start(
    ["tap", "--listen", "127.0.0.1:0", "--to", to, ...args],
    [/listening on (\S+:\d+)/, PAGE],
  );
  return { page: found[1], port: portOf(found[0]), stop };
}

export async function startBrowser() {
  assert.ok(
    existsSync(CHROMIUM),
    `${CHROMIUM} is missing: run 'apt-get update && apt-get install -y --no-install-recommends chromium' as root`,
  );
  return chromium.launch({ executablePath: CHROMIUM });
}

/**
 * Sets up the tests of a file: one browser, and each test a server of its own unless they share one. `begin` is given
 * the server and how to open tabs; when a test is over, nothing may have gone wrong in any of its tabs.
 */
export function eachTest(begin, { sharedServer = false, end = () => undefined } = {}) {
  let browser;
  let server;
  let tabs = [];
  const newTab = async (options) => {
    const tab = await openTab(browser, options);
    tabs.push(tab);
    return tab;
  };
  before(async () => {
    browser = await startBrowser();
    if (sharedServer) server = await startServer();
  });
  after(async () => {
    await browser?.close();
    if (sharedServer) await server?.stop();
  });
  beforeEach(async () => {
    if (!sharedServer) server = await startServer();
    await begin({ server, newTab });
  });
  afterEach(async () => {
    const opened = tabs;
    tabs = [];
    try {
      for (const tab of opened) await tab.finish();
    } finally {
      await end();
      if (!sharedServer) await server?.stop();
    }
  });
}

/** A tab of its own that remembers everything that went wrong in it. */
export async function openTab(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_LIMIT);
  const problems = [];
  page.on("pageerror", (error) => problems.push(`error: ${error}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`console: ${message.text()}`);
  });
  page.on("requestfailed", (request) => {
    // A request that is still on its way when a page is left is no failure.
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") problems.push(`request failed: ${request.url()} ${why}`);
  });
  await page.exposeFunction("reportViolation", (text) => problems.push(text));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      window.reportViolation(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  return new Inspector(page, context, problems);
}

/** The budget of the page itself on the wire, in bytes. */
export const FIRST_LOAD = { script: 80_000, everything: 250_000 };

/** Returns whether a file belongs to the engine or the sandbox; all others are of the page itself. */
async function isLater(response) {
  const { pathname } = new URL(response.url());
  if (/chanwire_(wasm|sandbox)_bg|\/load-/.test(pathname)) return true;
  return pathname.includes("/worker-") && (await response.text()).includes("chanwire_sandbox_bg");
}

/**
 * Opens the page and weighs what came, as it came over the wire: the scripts that the document names, the page itself,
 * and what it fetches when it is idle.
 */
export async function firstLoad(tab, server) {
  const responses = [];
  tab.context.on("response", (response) => responses.push(response));
  await tab.open(server.page);
  await tab.page.waitForLoadState("networkidle");
  const files = await Promise.all(
    responses.map(async (response) => ({
      url: new URL(response.url()),
      // The encoding and length that the server announced.
      size: Number(await response.headerValue("content-length")),
      encoding: await response.headerValue("content-encoding"),
      whole: (await response.body()).length,
      later: await isLater(response),
    })),
  );
  // The document's own files come first; everything else is asked for by them.
  const document = await (await fetch(server.origin)).text();
  const sum = (which) => files.filter(which).reduce((total, { size }) => total + size, 0);
  return {
    files,
    script: sum(({ url }) => url.pathname.endsWith(".js") && document.includes(url.pathname)),
    first: sum(({ later }) => !later),
    later: sum(({ later }) => later),
  };
}

/** The page, by what it shows. */
export class Inspector {
  constructor(page, context, problems) {
    this.page = page;
    this.context = context;
    this.problems = problems;
  }

  /** Nothing went wrong in the tab; then it is closed. */
  async finish() {
    await this.context.close();
    assert.deepEqual(this.problems, []);
  }

  get grid() {
    return this.page.getByRole("grid", { name: "Frames" });
  }

  get rows() {
    return this.grid.locator("[data-number]");
  }

  async open(address) {
    await this.page.goto(address);
    await this.ready();
  }

  /** The token was accepted, for there are targets, and the decoder runs, for it has told its version. */
  async ready() {
    await this.page.getByRole("button", { name: "Connect", exact: true }).waitFor();
    await this.page.locator(".status .version").waitFor({ state: "attached" });
    await this.grid.waitFor();
  }

  async connect() {
    const open = this.page.locator(".connections li.open");
    const before = await open.count();
    await this.page.getByRole("button", { name: "Connect", exact: true }).click();
    await open.nth(before).waitFor();
  }

  /** The row whose cells contain these texts; the last one if there are several. */
  row(cells) {
    return Object.entries(cells).reduce(
      (rows, [cell, text]) => rows.filter({ has: this.page.locator(`.cell.${cell}`, { hasText: text }) }),
      this.rows,
    );
  }

  async cell(row, name) {
    return (await row.locator(`.cell.${name}`).textContent()) ?? "";
  }

  /** Select a row, by a cell that is no link. */
  async choose(row) {
    const number = await row.first().getAttribute("data-number");
    // Elements of the list are used again for other rows: where it moves under the pointer, click once more.
    for (let tries = 0; tries < 5; tries += 1) {
      await this.grid.locator(`[data-number="${number}"] .cell.head`).click();
      const isSelected = this.untilSelected(number, WAIT_LIMIT / 5);
      if (await isSelected.then(() => true, () => false)) return;
    }
    assert.fail(`row ${number} cannot be selected`);
  }

  async form(command, values = {}) {
    await this.page.getByRole("tab", { name: "Form" }).click();
    await this.page.getByLabel("Command").selectOption(command);
    for (const [field, value] of Object.entries(values)) {
      await this.page.getByRole("textbox", { name: field, exact: true }).fill(String(value));
    }
  }

  async raw(text) {
    await this.page.getByRole("tab", { name: "Raw" }).click();
    await this.page.getByLabel("Raw bytes").fill(text);
  }

  /** Send what Compose shows, once it shows `bytes` bytes to be sent. */
  async send(bytes) {
    await this.page.getByRole("heading", { name: `Will be sent: ${bytes} B` }).waitFor();
    await this.page.getByRole("button", { name: /^Send/ }).click();
  }

  async sendRaw(text) {
    await this.raw(text);
    // Each of the escapes that the tests use stands for one byte.
    await this.send(Buffer.byteLength(text.replace(/\\[\\rnt]/g, " ")).toLocaleString("en"));
  }

  /** The number of rows that the grid says it has, its head not counted. */
  async rowCount() {
    return Number(await this.grid.getAttribute("aria-rowcount")) - 1;
  }

  /** Type a filter and wait until the list shows so many rows. */
  async filter(text, shown) {
    await this.page.getByRole("combobox", { name: "Filter" }).fill(text);
    await this.shows(shown);
  }

  /** Wait until the list has so many rows and all of them were looked at. */
  async shows(count) {
    await this.until(
      (wanted) =>
        document.querySelector("#frames")?.getAttribute("aria-rowcount") === String(wanted + 1) &&
        document.querySelector(".outcome progress") === null,
      count,
    );
  }

  /** Number of the selected row, 0 if none can be seen. */
  async selected() {
    const rows = this.grid.locator(".selected");
    return (await rows.count()) === 1 ? Number(await rows.getAttribute("data-number")) : 0;
  }

  async untilSelected(number, timeout = WAIT_LIMIT) {
    await this.until(
      (wanted) => document.querySelector("#frames .selected")?.dataset.number === String(wanted),
      number,
      timeout,
    );
  }

  /** Pixels from the window's upper edge to a row. */
  async placeOf(number) {
    return (await this.grid.locator(`[data-number="${number}"]`).boundingBox()).y;
  }

  /** Wait until `test` holds in the page. */
  async until(test, argument, timeout = WAIT_LIMIT) {
    await this.page.waitForFunction(test, argument, { timeout });
  }

  async untilRows(count, timeout = WAIT_LIMIT) {
    await this.until(
      (wanted) => Number(document.querySelector("#frames")?.getAttribute("aria-rowcount")) - 1 >= wanted,
      count,
      timeout,
    );
  }
}
