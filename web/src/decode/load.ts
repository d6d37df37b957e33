/** The engine's module, in a piece of script of its own. */

import init, * as wasm from "../wasm/chanwire_wasm";
import address from "../wasm/chanwire_wasm_bg.wasm?url";

export async function load(): Promise<typeof wasm> {
  await init({ module_or_path: address });
  return wasm;
}
