/** The bridge: one WebSocket of the server's own HTTP side carries one TCP connection. */

import { parseControl, type FromBridge, type TapInfo, type ToBridge } from "./control";
import { knock, TOKEN_REFUSED, type Outcome } from "./knock";
import type { Link, LinkEvents, Source, Step, Target } from "./source";

/** What is needed of a `WebSocket`. */
export interface SocketLike {
  binaryType: BinaryType;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  addEventListener(type: "open", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: { code: number; reason: string }) => void): void;
}

/** The bridge's bound on one message. */
const LARGEST_WRITE = 1024 * 1024;
/** Credit is given back in steps of this size: a quarter of what the bridge starts with. */
const CREDIT_STEP = 256 * 1024;

/** In words, what a WebSocket's close code says. */
export function closeReason(code: number, reason: string): string {
  if (reason !== "") return reason;
  if (code === 1006) return "the bridge is gone (is chanwire serve still running?)";
  return `the bridge closed the connection (code ${code})`;
}

export class BridgeSource implements Source {
  readonly #token: string;
  readonly #dial: () => SocketLike;
  readonly #refused: () => void;
  readonly #now: () => number;
  readonly #tapped: (tap: TapInfo) => void;

  /** `refused` is called when the bridge does not accept the token, `tapped` when it is a tap's. */
  constructor(
    token: string,
    dial: () => SocketLike,
    refused: () => void,
    now: () => number = () => performance.now(),
    tapped: (tap: TapInfo) => void = () => undefined,
  ) {
    this.#token = token;
    this.#dial = dial;
    this.#refused = refused;
    this.#now = now;
    this.#tapped = tapped;
  }

  targets(): Promise<readonly Target[]> {
    return knock((outcome) => this.#ask(outcome), this.#refused);
  }

  #ask({ resolve, reject, refuse }: Outcome<readonly Target[]>): void {
    const socket = this.#dial();
    socket.addEventListener("open", () => {
      send(socket, { type: "token", token: this.#token });
    });
    socket.addEventListener("message", ({ data }) => {
      const message = typeof data === "string" ? parseControl(data) : undefined;
      if (message?.type === "welcome") {
        resolve(message.targets);
        if (message.tap !== undefined) this.#tapped(message.tap);
      } else reject(new Error("The bridge did not answer with its targets; reload the page."));
      socket.close(1000);
    });
    socket.addEventListener("close", ({ code, reason }) => {
      const words = closeReason(code, reason);
      if (code === TOKEN_REFUSED) refuse(words);
      else reject(new Error(words));
    });
  }

  connect(target: Target, events: LinkEvents): Link {
    // Whether it is the token that is wrong is found out by asking once more.
    const refused = () => void this.targets().catch(() => undefined);
    return new BridgeLink(this.#dial(), this.#token, target.id, events, refused, this.#now);
  }
}

function send(socket: SocketLike, message: ToBridge): void {
  socket.send(JSON.stringify(message));
}

type State = "dialling" | "greeting" | "connecting" | "open" | "closed";

class BridgeLink implements Link {
  readonly #socket: SocketLike;
  readonly #target: string;
  readonly #events: LinkEvents;
  readonly #now: () => number;
  /** When the page asked for the connection, and when that was made, by the page's clock. */
  #asked = 0;
  #opened = 0;
  /** When the bridge read what comes next. */
  #read = 0;
  #state: State = "dialling";
  #ended = false;
  #peerEnded = false;
  /** We have asked for it to be reset. */
  #reset = false;
  #credit = 0;
  /** Given to the bridge, and not known to have left. */
  #leaving: Uint8Array<ArrayBuffer>[] = [];

  constructor(
    socket: SocketLike,
    token: string,
    target: string,
    events: LinkEvents,
    refused: () => void,
    now: () => number,
  ) {
    this.#socket = socket;
    this.#target = target;
    this.#events = events;
    this.#now = now;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      if (this.#state !== "dialling") return;
      this.#state = "greeting";
      send(socket, { type: "token", token });
    });
    socket.addEventListener("message", ({ data }) => {
      if (this.#state === "closed") return;
      if (data instanceof ArrayBuffer) this.#binary(new Uint8Array(data));
      else if (typeof data === "string") this.#control(parseControl(data));
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.#finish(closeReason(code, reason), true);
      if (code === TOKEN_REFUSED) refused();
    });
  }

  get writable(): boolean {
    return this.#state === "open" && !this.#ended;
  }

  send(steps: readonly Step[]): void {
    for (const step of steps) {
      if (!this.writable) return;
      if ("bytes" in step) this.#write(step.bytes);
      else if ("wait" in step) send(this.#socket, { type: "wait", ms: step.wait });
      else this.#last("end" in step ? "eof" : "reset");
    }
  }

  end(): void {
    this.send([{ end: true }]);
  }

  close(): void {
    if (this.#state === "closed") return;
    this.#socket.close(1000);
    this.#finish("disconnected by the page", false);
  }

  taken(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit < CREDIT_STEP || this.#state !== "open") return;
    send(this.#socket, { type: "credit", bytes: this.#credit });
    this.#credit = 0;
  }

  #write(bytes: Uint8Array<ArrayBuffer>): void {
    for (let at = 0; at < bytes.length; at += LARGEST_WRITE) {
      const part = bytes.slice(at, at + LARGEST_WRITE);
      this.#socket.send(part);
      this.#leaving.push(part);
    }
  }

  /**
   * The bridge counts from when the connection was made. That was its own time after the page asked, and the way there
   * is short: so nothing is told later than it happened, and what lies between two events is exactly as it was, however
   * busy the page is.
   */
  #pageTime(at: number): number {
    return this.#opened + at;
  }

  /** Nothing can be sent after it. */
  #last(type: "eof" | "reset"): void {
    this.#ended = true;
    this.#reset = type === "reset";
    send(this.#socket, { type });
  }

  /** So many bytes left as one write. */
  #wrote(count: number, time: number): void {
    while (count > 0 && this.#leaving.length > 0) {
      const [first] = this.#leaving;
      const part = first.slice(0, count);
      count -= part.length;
      if (part.length === first.length) this.#leaving.shift();
      else this.#leaving[0] = first.slice(part.length);
      this.#events.bytes("out", part, time);
    }
  }

  #binary(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#state === "open") this.#events.bytes("in", bytes, this.#read);
    else this.#misunderstood();
  }

  #control(message: FromBridge | undefined): void {
    if (message?.type === "welcome" && this.#state === "greeting") {
      this.#state = "connecting";
      this.#asked = this.#now();
      send(this.#socket, { type: "connect", target: this.#target, report: true });
    } else if (message?.type === "opened" && this.#state === "connecting") {
      this.#state = "open";
      this.#opened = this.#asked + message.after;
      this.#events.opened(message.local, message.remote, this.#opened);
    } else if (message?.type === "read" && this.#state === "open") {
      this.#read = this.#pageTime(message.at);
    } else if (message?.type === "wrote" && this.#state === "open") {
      this.#wrote(message.bytes, this.#pageTime(message.at));
    } else if (message?.type === "ended" && this.#state === "open") {
      this.#events.ended("out", this.#pageTime(message.at));
    } else if (message?.type === "eof" && this.#state === "open") {
      this.#peerEnded = true;
      this.#events.ended("in", this.#read);
    } else if (message?.type === "closed" && this.#state !== "greeting") {
      // A connection that is closed in order shuts its sending half down first; a reset or a refusal does not.
      this.#finish(message.reason, !this.#peerEnded && !this.#reset);
    } else {
      this.#misunderstood();
    }
  }

  #misunderstood(): void {
    this.#socket.close(1000);
    this.#finish("the bridge said something that this page does not understand; reload the page", true);
  }

  #finish(reason: string, bad: boolean): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#events.closed(reason, bad);
  }
}
