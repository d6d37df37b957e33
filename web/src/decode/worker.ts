/** The decoder's worker: loads the wasm module, then hands every message to the engine. */

import init, * as wasm from "../wasm/chanwire_wasm";
import wasmAddress from "../wasm/chanwire_wasm_bg.wasm?url";
import { Engine } from "./engine";
import type { FromWorker, ToWorker } from "./messages";

const post = (message: FromWorker, transfer: Transferable[] = []) => self.postMessage(message, { transfer });

// Messages that arrive while the module loads wait here.
const waiting: ToWorker[] = [];
let engine: Engine | undefined;
self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (engine === undefined) waiting.push(data);
  else engine.handle(data);
};

try {
  await init({ module_or_path: wasmAddress });
  engine = new Engine(wasm, {
    post,
    later: (run, ms) => setTimeout(run, ms),
    now: () => performance.now(),
    wall: () => Date.now(),
  });
  waiting.splice(0).forEach((message) => engine?.handle(message));
} catch (error) {
  post({ type: "failed", message: String(error) });
}
