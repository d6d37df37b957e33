/** The modules that the page loads, for tests in node. */

import * as compose from "../src/wasm/chanwire_compose";
import composeModule from "../src/wasm/chanwire_compose_bg.wasm?url&inline";
import * as sandbox from "../src/wasm/chanwire_sandbox";
import sandboxModule from "../src/wasm/chanwire_sandbox_bg.wasm?url&inline";
import * as wasm from "../src/wasm/chanwire_wasm";
import wasmModule from "../src/wasm/chanwire_wasm_bg.wasm?url&inline";

/** The bytes of a data URL. */
function bytes(url: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (character) => character.charCodeAt(0));
}

compose.initSync({ module: bytes(composeModule) });
wasm.initSync({ module: bytes(wasmModule) });
sandbox.initSync({ module: bytes(sandboxModule) });

export { compose, sandbox, wasm };
