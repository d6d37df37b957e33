/** The sandbox's worker: fetches the wasm module, and at the first message hands that and every other to the runner. */

import { Compiled } from "../decode/compiled";
import init, * as wasm from "../wasm/chanwire_sandbox";
import wasmAddress from "../wasm/chanwire_sandbox_bg.wasm?url";
import type { FromSandbox, ToSandbox } from "./messages";
import { SandboxRunner } from "./runner";

const post = (message: FromSandbox) => self.postMessage(message);

const compiled = new Compiled(wasmAddress);
compiled.prefetch();

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
  if (runner !== undefined) handle(data);
  else if (waiting.push(data) === 1) void start();
};

async function start(): Promise<void> {
  try {
    await init({ module_or_path: await compiled.get() });
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
    waiting.length = 0;
    post({ type: "failed", message: String(error) });
  }
}
