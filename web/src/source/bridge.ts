/** The bridge: one WebSocket of the server's own HTTP side carries one TCP connection. */

import { parseControl, type FromBridge, type TapInfo, type ToBridge } from "./control";
import { isRefusal, authenticate, type Outcome } from "./authenticate";
import { Outgoing } from "./outgoing";
import type { Link, LinkEvents, Source, Step, Target } from "./source";

/** The members of a `WebSocket` that are needed. */
export interface SocketLike {
  binaryType: BinaryType;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  addEventListener(type: "open", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: { code: number; reason: string }) => void): void;
}

/** Credit is given back in steps of this size: a quarter of what the bridge starts with. */
const CREDIT_STEP = 256 * 1024;

/** Describes a WebSocket's close code in words. */
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
    return authenticate((outcome) => this.#ask(outcome), this.#refused);
  }

  #ask({ resolve, reject, closed }: Outcome<readonly Target[]>): void {
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
    socket.addEventListener("close", ({ code, reason }) => closed(code, closeReason(code, reason)));
  }

  connect(target: Target, events: LinkEvents): Link {
    return new BridgeLink(this.#dial(), this.#token, target.id, events, this.#refused, this.#now);
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
  readonly #outgoing = new Outgoing((step) => this.#give(step));

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
      if (isRefusal(code)) refused();
    });
  }

  get writable(): boolean {
    return this.#state === "open" && !this.#ended;
  }

  send(steps: readonly Step[]): void {
    if (!this.writable) return;
    // Nothing can be sent after these.
    const last = steps.findIndex((step) => "end" in step || "reset" in step);
    const refusal = this.#outgoing.take(last < 0 ? steps : steps.slice(0, last + 1));
    if (refusal !== undefined) this.#events.refused(refusal);
    else if (last >= 0) this.#ended = true;
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

  /**
   * Converts a time of the bridge, which counts from when the connection was made. That was shortly after the page
   * asked: so no event is reported later than it happened, and intervals are exact, however busy the page is.
   */
  #pageTime(at: number): number {
    return this.#opened + at;
  }

  #give(step: Step): void {
    if ("bytes" in step) this.#socket.send(step.bytes);
    else if ("wait" in step) send(this.#socket, { type: "wait", ms: step.wait });
    else if ("end" in step) send(this.#socket, { type: "eof" });
    else {
      this.#reset = true;
      send(this.#socket, { type: "reset" });
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
      const time = this.#pageTime(message.at);
      for (const part of this.#outgoing.wrote(message.bytes)) this.#events.bytes("out", part, time);
    } else if (message?.type === "waited" && this.#state === "open") {
      this.#outgoing.waited();
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
