/** Which way bytes go, seen from the client: requests go out, answers and pushes come in. */
export type Direction = "out" | "in";

/** How the sandbox's store behaves. */
export type StoreMode = "works" | "fails-once" | "fails-once-but-keeps" | "fails" | "stalls";

/** What a client of the sandbox did or saw. Its strings are made here and safe to show; its bytes are not. */
export type Happening =
  | { type: "opened"; local: string; remote: string }
  | { type: "bytes"; direction: Direction; bytes: Uint8Array<ArrayBuffer> }
  | { type: "ended"; direction: Direction }
  | { type: "closed"; reason: string; bad: boolean };

export interface SandboxEvent {
  /** Milliseconds since the sandbox was made. */
  time: number;
  connection: number;
  event: Happening;
}

/** Something that stands still until time passes. */
export interface Due {
  /** Milliseconds since the sandbox was made. */
  at: number;
  /** Whose it is, if it is one connection's. */
  connection?: number;
  /** In words that complete "… is due". */
  what: string;
}

export interface SandboxState {
  /** Milliseconds since the sandbox was made. */
  now: number;
  due?: Due;
  store: StoreMode;
  /** Commits and reads that wait for the store. */
  waiting: number;
  /** Channels that are stored. */
  channels: number;
  /** Messages that are stored. */
  messages: number;
  /** Connections whose clients do not read. */
  deaf: number[];
}

export interface Scenario {
  name: string;
  /** What happens, in a sentence. */
  about: string;
  /** Whether the name is an error's. */
  is_error: boolean;
}

export interface Setting {
  name: string;
  /** What it is, in words. */
  about: string;
  least: number;
  most: number;
  default: number;
}

/** What is wrong with what was typed. */
export interface Problem {
  field?: string;
  message: string;
}
