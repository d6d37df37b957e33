/** Messages between the page and the sandbox's worker. Times are milliseconds since the sandbox was made. */

import type { Step } from "../source/source";
import type {
  Due,
  Problem,
  SandboxEvent,
  SandboxState,
  Scenario,
  Setting,
  StoreMode,
} from "../wasm/chanwire_sandbox";

/** A sandbox is made anew for each play and each change of settings: each has a number of its own. */
export type ToSandbox =
  | { readonly type: "start"; readonly life: number; readonly values: Readonly<Record<string, string>> }
  /** The running server gets other settings. */
  | { readonly type: "reconfigure"; readonly values: Readonly<Record<string, string>> }
  | { readonly type: "play"; readonly life: number; readonly name: string; readonly seed: number }
  /** A client connects; `call` is the page's own number for it until it is told the connection's. */
  | { readonly type: "connect"; readonly call: number; readonly address: string }
  | { readonly type: "send"; readonly connection: number; readonly steps: readonly Step[] }
  | { readonly type: "close"; readonly connection: number }
  | { readonly type: "reading"; readonly connection: number; readonly on: boolean }
  | { readonly type: "store"; readonly mode: StoreMode }
  /** Time jumps so far ahead. */
  | { readonly type: "skip"; readonly ms: number }
  /** Asks for the problems of these settings. */
  | { readonly type: "judge"; readonly values: Readonly<Record<string, string>> };

export type FromSandbox =
  | {
      readonly type: "ready";
      readonly scenarios: readonly Scenario[];
      readonly settings: readonly Setting[];
    }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "connected"; readonly life: number; readonly call: number; readonly connection: number }
  | { readonly type: "refused"; readonly life: number; readonly call: number; readonly message: string }
  /** Nothing of what a client was told to send is sent. */
  /** None of these steps is sent; `ended` says whether the end was one of them. */
  | {
      readonly type: "unsent";
      readonly life: number;
      readonly connection: number;
      readonly message: string;
      readonly ended: boolean;
    }
  | { readonly type: "events"; readonly life: number; readonly events: readonly SandboxEvent[] }
  | { readonly type: "state"; readonly life: number; readonly state: SandboxState }
  | { readonly type: "judged"; readonly problems: readonly Problem[] };

export type { Due, Problem, SandboxEvent, SandboxState, Scenario, Setting, StoreMode };
