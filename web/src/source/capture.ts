/** Captures that somebody else made: a file or a paste, read piece by piece in the decoder's worker. */

import type { DecoderClient } from "../decode/client";
import type { CapturePreview, Direction } from "../decode/messages";

/** The number of first bytes that tell the form of a capture. */
const PREVIEW = 64 * 1024;

/** The size of one read: small enough that the first rows are there at once. */
const PIECE = 1024 * 1024;

/** The largest capture. A tab's memory bounds how much of it is held anyway. */
const LARGEST = 4 * 1024 * 1024 * 1024;

export interface CaptureOptions {
  /** Every TCP connection, also those that do not look like the protocol. */
  readonly everything: boolean;
  /** Which direction raw bytes are; told from the bytes where it is not given. */
  readonly direction: Direction | undefined;
}

type Asker = Pick<DecoderClient, "ask">;

/** Returns the form of a capture, by its first bytes. */
export async function previewCapture(decoder: Asker, capture: Blob): Promise<CapturePreview> {
  if (capture.size > LARGEST) throw new Error("it is larger than 4 GiB: cut it, with editcap for example");
  const bytes = new Uint8Array(await capture.slice(0, PREVIEW).arrayBuffer());
  return decoder.ask("preview", { bytes });
}

/**
 * Reads a capture. Reports the part that is done to `progress`. An aborted signal or an error ends it: rows read
 * until then stay. Returns a summary in words.
 */
export async function readCapture(
  decoder: Asker,
  capture: Blob,
  options: CaptureOptions,
  progress: (part: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const { everything, direction } = options;
  await decoder.ask("import", { step: "begin", everything, ...(direction && { direction }) });
  // The next piece is read from the disk while the worker works on this one.
  let next = capture.slice(0, PIECE).arrayBuffer();
  for (let at = 0; at < capture.size; at += PIECE) {
    const bytes = new Uint8Array(await next);
    next = capture.slice(at + PIECE, at + 2 * PIECE).arrayBuffer();
    const { error } = await decoder.ask("import", { step: "bytes", bytes });
    if (error !== undefined) throw new Error(error);
    progress(Math.min(1, (at + bytes.length) / capture.size));
    if (signal.aborted) break;
  }
  const { error, words } = await decoder.ask("import", { step: "end" });
  if (error !== undefined) throw new Error(error);
  return words ?? "";
}
