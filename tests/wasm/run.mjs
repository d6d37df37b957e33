// Runs a test binary that was built for wasm32-wasip1, as cargo's runner for that target: the same tests as anywhere
// else, on a machine whose `usize` has 32 bits. Before it runs, it must import nothing but WASI.
// Use: CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings …/tests/wasm/run.mjs" cargo test --target wasm32-wasip1 …

import { readFileSync } from "node:fs";
import { argv, env, exit } from "node:process";
import { fileURLToPath } from "node:url";
import { WASI } from "node:wasi";

const [path, ...rest] = argv.slice(2);
const module = new WebAssembly.Module(readFileSync(path));

const foreign = WebAssembly.Module.imports(module).filter((entry) => entry.module !== "wasi_snapshot_preview1");
if (foreign.length > 0) {
  const names = foreign.map((entry) => `${entry.module}.${entry.name}`).join(", ");
  console.error(`${path} imports ${names}: something in it expects an environment that a module does not have`);
  exit(1);
}

// It sees the project and nothing else. insta would ask cargo where that is, and a module can start no cargo.
const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const wasi = new WASI({
  version: "preview1",
  args: [path, ...rest],
  env: {
    RUST_BACKTRACE: env.RUST_BACKTRACE ?? "0",
    INSTA_WORKSPACE_ROOT: root,
    INSTA_UPDATE: "no",
    ...(env.CHANWIRE_FEWER && { CHANWIRE_FEWER: env.CHANWIRE_FEWER }),
  },
  preopens: { [root]: root },
  returnOnExit: true,
});
// Node 20 crashes now and then in its garbage collector where a module calls WASI itself, and not where it calls a
// function of JavaScript.
const imports = Object.entries(wasi.wasiImport).map(([name, call]) => [name, (...values) => call(...values)]);
const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: Object.fromEntries(imports) });
exit(wasi.start(instance));
