// Passwords and tokens: in no view of the page, in no copy, and in no export unless that is asked for.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { eachTest } from "./kit.mjs";

const PASSWORD = "correct-horse-battery";
const TOKEN = "cwt_staple-of-the-test";
const SECRETS = [PASSWORD, TOKEN];

let tab;

eachTest(async ({ server, newTab }) => {
  tab = await newTab();
  await tab.open(server.page);
  await tab.connect();
});

/** Asserts that none of the secrets is in a text, nor as hexadecimal digits. */
function holdsNone(text, where) {
  const digits = text.replaceAll(/[^0-9a-f]/gi, "").toLowerCase();
  for (const secret of SECRETS) {
    assert.ok(!text.includes(secret), `${where} has ${secret}`);
    assert.ok(!digits.includes(Buffer.from(secret).toString("hex")), `${where} has ${secret} in hexadecimal`);
  }
}

const pageText = () => tab.page.evaluate(() => document.body.innerText + document.body.innerHTML);

async function download() {
  const coming = tab.page.waitForEvent("download");
  await tab.page.getByRole("button", { name: "Download" }).click();
  return readFile(await (await coming).path());
}

/** Signs in twice, by a password and by a token, and gives both rows. */
async function signIn() {
  await tab.sendRaw(`AUTH\\r\\n{"account": "ann", "password": "${PASSWORD}"}AUTH\\r\\n{"token": "${TOKEN}"}`);
  const rows = tab.row({ dir: "out", head: "AUTH" });
  await tab.untilRows(5);
  assert.equal(await rows.count(), 2);
  // What was typed is no longer there.
  await tab.raw("LIST\\r\\n");
  return [rows.first(), rows.last()];
}

test("secrets are in no row, no view of a frame and no copy", async () => {
  await tab.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  for (const row of await signIn()) {
    await tab.choose(row);
    await tab.page.getByRole("treeitem", { name: /\*{8}/ }).first().waitFor();
    for (const view of ["Hex", "Text", "Stream"]) {
      await tab.page.getByRole("tab", { name: view }).click();
      await tab.page.locator("#bytes-mode-panel", { hasText: "*" }).waitFor();
      holdsNone(await pageText(), view);
    }
    await tab.page.getByRole("tab", { name: "Hex" }).click();
    for (const copy of ["Hex dump", "Text with escapes", "Payload as JSON", "Command line"]) {
      await tab.page.evaluate(() => navigator.clipboard.writeText(""));
      await tab.page.getByRole("button", { name: "Copy" }).click();
      await tab.page.getByRole("menuitem", { name: copy }).click();
      await tab.until(async () => (await navigator.clipboard.readText()) !== "");
      const copied = await tab.page.evaluate(() => navigator.clipboard.readText());
      assert.match(copied, copy === "Hex dump" ? /2a 2a 2a/ : /\*{3}/, copy);
      holdsNone(copied, copy);
    }
  }
  const kept = await tab.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  holdsNone(kept, "the browser's storage");
});

test("secrets are exported only where that is asked for", async () => {
  await signIn();
  await tab.page.getByRole("button", { name: "Export" }).click();
  const formats = await tab.page.getByLabel("Format", { exact: true }).locator("option").evaluateAll((options) =>
    options.map((option) => option.value),
  );
  assert.ok(formats.length >= 4, formats.join(" "));
  const asked = tab.page.getByLabel("With passwords and tokens");
  for (const format of formats) {
    await tab.page.getByLabel("Format", { exact: true }).selectOption(format);
    const scope = tab.page.getByLabel("What", { exact: true });
    if ((await scope.count()) > 0) await scope.selectOption("all");
    assert.equal(await asked.isChecked(), false, format);
    const masked = await download();
    assert.ok(masked.length > 0, format);
    holdsNone(masked.toString("latin1"), format);
    await asked.check();
    const whole = (await download()).toString("latin1");
    assert.ok(SECRETS.every((secret) => whole.includes(secret)), `${format} lacks the secrets that were asked for`);
    await asked.uncheck();
  }
});
