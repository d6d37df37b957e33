/** The engine's module, in a piece of script of its own. */

import init, * as wasm from "../wasm/chanwire_wasm";
import address from "../wasm/chanwire_wasm_bg.wasm?url";
import { Compiled } from "./compiled";

const compiled = new Compiled(address);

/** Fetch it, so that the engine can be loaded when the server is gone. */
export function prefetch(): void {
  compiled.prefetch();
}

export async function load(): Promise<typeof wasm> {
  await init({ module_or_path: await compiled.get() });
  return wasm;
}
