/** Control messages of the bridge. They are checked, for the page may be newer or older than the server. */

import type { Target } from "./source";

/** A tap, by where its clients connect and the server that they reach. */
export interface TapInfo {
  readonly listen: string;
  readonly to: string;
}

export type FromBridge =
  | {
      readonly type: "welcome";
      readonly version: string;
      readonly targets: readonly Target[];
      readonly tap?: TapInfo;
    }
  | {
      readonly type: "watching";
      /** Traffic before the first event: connections that were over, and the frames and bytes of all connections. */
      readonly connections: number;
      readonly frames: number;
      readonly bytes: number;
    }
  | { readonly type: "opened"; readonly local: string; readonly remote: string; readonly after: number }
  | { readonly type: "read"; readonly at: number }
  | { readonly type: "wrote"; readonly bytes: number; readonly at: number }
  | { readonly type: "waited"; readonly at: number }
  | { readonly type: "ended"; readonly at: number }
  | { readonly type: "eof" }
  | { readonly type: "closed"; readonly reason: string };

export type ToBridge =
  | { readonly type: "token"; readonly token: string }
  | { readonly type: "connect"; readonly target: string; readonly report: boolean }
  | { readonly type: "watch" }
  | { readonly type: "wait"; readonly ms: number }
  | { readonly type: "eof" }
  | { readonly type: "reset" }
  | { readonly type: "credit"; readonly bytes: number };

function text(value: unknown): value is string {
  return typeof value === "string";
}

function amount(value: unknown): value is number {
  return typeof value === "number" && value >= 0;
}

function target(value: unknown): Target | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id, address, channel } = value as Record<string, unknown>;
  if (!text(id) || !text(address)) return undefined;
  return text(channel) ? { id, address, channel } : { id, address };
}

function tap(value: unknown): TapInfo | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { listen, to } = value as Record<string, unknown>;
  return text(listen) && text(to) ? { listen, to } : undefined;
}

/** Returns the message, or undefined if it is none that this page understands. */
export function parseControl(data: string): FromBridge | undefined {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const message = value as Record<string, unknown>;
  switch (message["type"]) {
    case "welcome": {
      const { version, targets } = message;
      if (!text(version) || !Array.isArray(targets)) return undefined;
      const known = targets.map(target).filter((entry) => entry !== undefined);
      if (known.length !== targets.length) return undefined;
      const tapped = tap(message["tap"]);
      return { type: "welcome", version, targets: known, ...(tapped && { tap: tapped }) };
    }
    case "watching": {
      const { connections, frames, bytes } = message;
      return amount(connections) && amount(frames) && amount(bytes)
        ? { type: "watching", connections, frames, bytes }
        : undefined;
    }
    case "opened": {
      const { local, remote, after } = message;
      return text(local) && text(remote) && amount(after)
        ? { type: "opened", local, remote, after }
        : undefined;
    }
    case "read": {
      const { at } = message;
      return amount(at) ? { type: "read", at } : undefined;
    }
    case "wrote": {
      const { bytes, at } = message;
      return amount(bytes) && amount(at) ? { type: "wrote", bytes, at } : undefined;
    }
    case "waited":
    case "ended": {
      const { type, at } = message;
      return amount(at) ? { type, at } : undefined;
    }
    case "eof":
      return { type: "eof" };
    case "closed": {
      const { reason } = message;
      return text(reason) ? { type: "closed", reason } : undefined;
    }
    default:
      return undefined;
  }
}
