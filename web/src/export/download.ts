/** Saves what the worker exports, part by part, as one file of the browser's. */

import type { DecoderClient } from "../decode/client";
import type { Questions } from "../decode/messages";

export type ExportAsk = Omit<Questions["export"]["ask"], "cursor">;

/** More than this is not kept together in a tab; the rest of a capture can be exported through a filter. */
const MAX_BYTES = 1024 * 1024 * 1024;

export interface Exported {
  readonly name: string;
  readonly file: Blob;
}

/** Asks for all parts; reports the bytes so far to `progress`; an aborted signal ends it. */
export async function gather(
  decoder: Pick<DecoderClient, "ask">,
  ask: ExportAsk,
  progress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Exported> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  let cursor: number | undefined;
  for (;;) {
    const part = await decoder.ask("export", { ...ask, ...(cursor !== undefined && { cursor }) });
    signal.throwIfAborted();
    parts.push(part.bytes);
    size += part.bytes.length;
    progress(size);
    if (size > MAX_BYTES) throw new Error("this is more than 1 GiB: export less of it, through a filter");
    cursor = part.next;
    if (cursor === undefined) {
      return { name: part.name, file: new Blob(parts, { type: "application/octet-stream" }) };
    }
  }
}

/** Hands a file to the browser's downloads. */
export function save({ name, file }: Exported): void {
  const address = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The download has its own hold on the file by then.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
