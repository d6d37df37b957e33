/** The decoder's worker: loads the small module, and the engine's when there is something to record. */

import initCompose, * as compose from "../wasm/chanwire_compose";
import composeAddress from "../wasm/chanwire_compose_bg.wasm?url";
import { Front } from "./front";
import type { FromWorker, ToWorker } from "./messages";

const post = (message: FromWorker, transfer: Transferable[] = []) => self.postMessage(message, { transfer });

// Messages that arrive while the module loads wait here.
const waiting: ToWorker[] = [];
let front: Front | undefined;
self.onmessage = ({ data }: MessageEvent<ToWorker | "prefetch">) => {
  if (data === "prefetch") void prefetch();
  else if (front === undefined) waiting.push(data);
  else front.handle(data);
};

/**
 * Prefetches the engine, because the server may be gone by the time that it is needed. A failure is reported when it
 * is loaded.
 */
async function prefetch(): Promise<void> {
  try {
    (await import("./load")).prefetch();
  } catch {
    return;
  }
}

try {
  await initCompose({ module_or_path: composeAddress });
  const around = {
    post,
    later: (run: () => void, ms: number) => setTimeout(run, ms),
    now: () => performance.now(),
  };
  front = new Front(compose, around, async () => (await import("./load")).load());
  waiting.splice(0).forEach((message) => front?.handle(message));
} catch (error) {
  post({ type: "failed", message: String(error) });
}
