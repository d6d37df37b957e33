/** Which way bytes go, seen from the client: requests go out, answers and pushes come in. */
export type Direction = "out" | "in";

/** The behaviour of the sandbox's store. */
export type StoreMode = "works" | "fails-once" | "fails-once-but-keeps" | "fails" | "stalls";

/** An event of a client of the sandbox. Its strings are made here and safe to show; its bytes are not. */
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
  event: string;
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
  paused: number[];
  /** Connections that are not read, until their rate allows the next request. */
  throttled: number[];
}

export interface Scenario {
  name: string;
  /** A description in one sentence. */
  about: string;
  /** Whether the name is an error's. */
  is_error: boolean;
}

export interface Setting {
  name: string;
  /** A description in words. */
  about: string;
  least: number;
  most: number;
  default: number;
}

/** An error in a typed value. */
export interface Problem {
  field?: string;
  message: string;
}
