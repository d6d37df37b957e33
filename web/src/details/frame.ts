/** Gathers what Details and Bytes show of one row. */

import type { DecoderClient } from "../decode/client";
import type { FrameStore } from "../store/store";
import type { LoadedFrame } from "./tree";

export async function loadFrame(
  store: FrameStore,
  decoder: Pick<DecoderClient, "ask">,
  number: number,
  origin: number,
): Promise<LoadedFrame | undefined> {
  const row = store.row(number);
  if (row === undefined) return undefined;
  const bytes = store.bytes(row);
  const end = row.start + row.length;
  const reads = store.reads(row).map((read) => ({
    start: Math.max(read.start, row.start) - row.start,
    end: Math.min(read.end, end) - row.start,
    time: read.time,
    begins: read.start >= row.start,
    ends: read.end <= end,
  }));
  const detail =
    row.kind === "frame" ? await decoder.ask("describe", { direction: row.direction, bytes }) : undefined;
  return { row, bytes, detail, fault: row.fault, reads, time: row.time - origin };
}
