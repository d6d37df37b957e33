/** The modules that the page loads, for tests in node. */

import { readFileSync } from "node:fs";
import * as compose from "../src/wasm/chanwire_compose";
import * as sandbox from "../src/wasm/chanwire_sandbox";
import * as wasm from "../src/wasm/chanwire_wasm";

const read = (name: string) => readFileSync(new URL(`../src/wasm/${name}_bg.wasm`, import.meta.url));

compose.initSync({ module: read("chanwire_compose") });
wasm.initSync({ module: read("chanwire_wasm") });
sandbox.initSync({ module: read("chanwire_sandbox") });

export { compose, sandbox, wasm };
