/** The decoder's worker: loads the small module, and the engine's when there is something to record. */

import initCompose, * as compose from "../wasm/chanwire_compose";
import composeAddress from "../wasm/chanwire_compose_bg.wasm?url";
import { Front } from "./front";
import type { FromWorker, ToWorker } from "./messages";

/** When the engine is loaded in any case, so that the page is whole also when the server is gone. */
const WHOLE_AFTER_MS = 3000;

const post = (message: FromWorker, transfer: Transferable[] = []) => self.postMessage(message, { transfer });

// Messages that arrive while the module loads wait here.
const waiting: ToWorker[] = [];
let front: Front | undefined;
self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (front === undefined) waiting.push(data);
  else front.handle(data);
};

try {
  await initCompose({ module_or_path: composeAddress });
  const around = {
    post,
    later: (run: () => void, ms: number) => setTimeout(run, ms),
    now: () => performance.now(),
    wall: () => Date.now(),
  };
  front = new Front(compose, around, async () => {
    const { load } = await import("./load");
    return load();
  });
  waiting.splice(0).forEach((message) => front?.handle(message));
  setTimeout(() => front?.wake(), WHOLE_AFTER_MS);
} catch (error) {
  post({ type: "failed", message: String(error) });
}
