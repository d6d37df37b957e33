/** The sandbox's worker: loads the wasm module, then hands every message to the runner. */

import init, * as wasm from "../wasm/chanwire_sandbox";
import wasmAddress from "../wasm/chanwire_sandbox_bg.wasm?url";
import type { FromSandbox, ToSandbox } from "./messages";
import { SandboxRunner } from "./runner";

const post = (message: FromSandbox) => self.postMessage(message);

// Messages that arrive while the module loads wait here.
const waiting: ToSandbox[] = [];
let runner: SandboxRunner | undefined;

function handle(message: ToSandbox): void {
  try {
    runner?.handle(message);
  } catch (error) {
    post({ type: "failed", message: String(error) });
  }
}

self.onmessage = ({ data }: MessageEvent<ToSandbox>) => {
  if (runner === undefined) waiting.push(data);
  else handle(data);
};

try {
  await init({ module_or_path: wasmAddress });
  runner = new SandboxRunner(wasm, post, {
    now: () => performance.now(),
    wall: () => Date.now() / 1000,
    later: (run, ms) => {
      const timer = setTimeout(() => {
        try {
          run();
        } catch (error) {
          post({ type: "failed", message: String(error) });
        }
      }, ms);
      return () => clearTimeout(timer);
    },
  });
  waiting.splice(0).forEach(handle);
} catch (error) {
  post({ type: "failed", message: String(error) });
}
