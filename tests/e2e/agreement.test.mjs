// The decoder in the page and the program's say the same of the same bytes: everything that the fuzzers kept, as either
// direction.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const WASM = path.join(import.meta.dirname, "../../web/src/wasm");
const CORPUS = path.join(import.meta.dirname, "../fuzz/corpus");
const run = promisify(execFile);

const module = await import(path.join(WASM, "chanwire_wasm.js"));
module.initSync({ module: await readFile(path.join(WASM, "chanwire_wasm_bg.wasm")) });

/** The rows that the page's engine makes of a stream. */
function inPage(direction, bytes) {
  const viewer = new module.Viewer(2 ** 24);
  viewer.open(1, "corpus");
  viewer.bytes(1, direction, 0, bytes);
  viewer.end(1, direction, 0);
  const { captured } = JSON.parse(viewer.status());
  const rows = [];
  for (let number = 1; number < captured; number += 1) rows.push(JSON.parse(viewer.describe(number)));
  viewer.free();
  return rows;
}

/** The rows that the program prints. It ends with 3 where something is wrong with them, which is no failure here. */
async function inProgram(direction, file) {
  const which = direction === "out" ? "requests" : "responses";
  const args = ["decode", "--json", "--direction", which, file];
  const { stdout } = await run(process.env.CHANWIRE_BIN, args, { maxBuffer: 2 ** 26 }).catch((error) => {
    assert.equal(error.code, 3, error.stderr);
    return error;
  });
  return stdout.trimEnd() === ""
    ? []
    : stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
}

test("the corpus through both gives the same items", async () => {
  const files = [];
  for (const target of await readdir(CORPUS)) {
    for (const name of await readdir(path.join(CORPUS, target))) files.push(path.join(CORPUS, target, name));
  }
  assert.ok(files.length > 400, `${files.length} files`);
  let rows = 0;
  let faults = 0;
  // As many at a time as it takes to keep the processors busy.
  const queue = files.values();
  const work = async () => {
    for (const file of queue) {
      const bytes = new Uint8Array(await readFile(file));
      for (const direction of ["out", "in"]) {
        const [theirs, ours] = [await inProgram(direction, file), inPage(direction, bytes)];
        assert.deepEqual(ours, theirs, `${file}, ${direction}`);
        rows += ours.length;
        faults += ours.filter((row) => row.fault !== undefined).length;
      }
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  assert.ok(rows > 2000 && faults > 500, `${rows} rows, ${faults} faults`);
});
