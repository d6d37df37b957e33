// Runs a test binary that was built for wasm32-wasip1, as cargo's runner for that target: the same tests as anywhere
// else, on a machine whose `usize` has 32 bits. Before it runs, it must import nothing but WASI.
// Use: CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings …/tests/wasm/run.mjs" cargo test --target wasm32-wasip1 …

import { readFileSync } from "node:fs";
import { argv, cwd, env, exit } from "node:process";
import { WASI } from "node:wasi";

const [path, ...rest] = argv.slice(2);
const module = new WebAssembly.Module(readFileSync(path));

const foreign = WebAssembly.Module.imports(module).filter((entry) => entry.module !== "wasi_snapshot_preview1");
if (foreign.length > 0) {
  const names = foreign.map((entry) => `${entry.module}.${entry.name}`).join(", ");
  console.error(`${path} imports ${names}: something in it expects an environment that a module does not have`);
  exit(1);
}

// cargo starts it in the package's folder; the committed corpus and the protocol's page are read by absolute paths.
const root = new URL("../..", import.meta.url).pathname;
const wasi = new WASI({
  version: "preview1",
  args: [path, ...rest],
  env: { RUST_BACKTRACE: env.RUST_BACKTRACE ?? "0", PWD: cwd() },
  preopens: { [root]: root },
  returnOnExit: true,
});
const instance = new WebAssembly.Instance(module, wasi.getImportObject());
exit(wasi.start(instance));
