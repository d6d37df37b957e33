/** The engine's module, in a piece of script of its own. */

import * as wasm from "../wasm/chanwire_wasm";
import address from "../wasm/chanwire_wasm_bg.wasm?url";
import { Compiled } from "./compiled";

const compiled = new Compiled(address);

/** Fetches it, so that the engine can be loaded when the server is gone. */
export function prefetch(): void {
  compiled.prefetch();
}

export async function load(): Promise<typeof wasm> {
  // Not by `init`, which keeps its first instance for ever, and all the memory of it.
  wasm.initSync({ module: await compiled.get() });
  return wasm;
}
