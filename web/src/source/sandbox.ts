/** The sandbox: the whole server in a worker of the page, with clients that are played here. */

import type {
  FromSandbox,
  SandboxEvent,
  SandboxState,
  Scenario,
  Setting,
  ToSandbox,
} from "../sandbox/messages";
import {
  holdsEnd,
  type Accept,
  type Link,
  type LinkEvents,
  type Source,
  type Step,
  type Target,
} from "./source";

/** The members of the sandbox's `Worker` that are needed. */
export interface SandboxWorker {
  postMessage(message: ToSandbox): void;
  addEventListener(type: "message", listener: (event: { data: FromSandbox }) => void): void;
  addEventListener(type: "error", listener: (event: { message: string }) => void): void;
}

/** Events of the sandbox beside those of its connections. */
export interface SandboxListener {
  ready(scenarios: readonly Scenario[], settings: readonly Setting[]): void;
  state(state: SandboxState): void;
  judged(problems: Extract<FromSandbox, { type: "judged" }>["problems"]): void;
  /** Reports that a client could not connect. */
  refused(message: string): void;
  failed(message: string): void;
}

/**
 * Clients come from the server's own machine, or from one of these; through a Unix socket, which gives no address rights;
 * or it is the operator, who may do everything.
 */
const ADDRESSES = ["127.0.0.1", "192.168.1.5", "192.0.2.7", "2001:db8::7", "unix", "operator"];

/** The address at which every sandbox listens: with the port of the protocol's examples. */
const SANDBOX_SERVER = "127.0.0.1:22236";

interface Client {
  events: LinkEvents | undefined;
  /** The sandbox's number of the connection, once it is told. */
  connection: number | undefined;
  state: "connecting" | "open" | "closed";
  /** Nothing more can be sent. */
  ended: boolean;
}

export function clientTarget(address: string): Target {
  return { id: address, address: SANDBOX_SERVER, client: address };
}

export class SandboxSource implements Source {
  readonly #worker: SandboxWorker;
  readonly #listener: SandboxListener;
  readonly #now: () => number;
  #accept: Accept | undefined;
  #life = 0;
  /** When the sandbox was made, by the page's clock; what happens in it never comes before what has happened. */
  #origin = 0;
  #latest = 0;
  #calls = new Map<number, Client>();
  #nextCall = 1;
  #clients = new Map<number, Client>();
  #locals = new Map<number, string>();

  constructor(worker: SandboxWorker, listener: SandboxListener, now: () => number = () => performance.now()) {
    this.#worker = worker;
    this.#listener = listener;
    this.#now = now;
    worker.addEventListener("message", ({ data }) => this.#hear(data));
    worker.addEventListener("error", ({ message }) => {
      listener.failed(message || "the sandbox's script could not be loaded");
    });
  }

  targets(): Promise<readonly Target[]> {
    return Promise.resolve(ADDRESSES.map(clientTarget));
  }

  accept(accept: Accept): void {
    this.#accept = accept;
  }

  connect(target: Target, events: LinkEvents): Link {
    const client: Client = { events, connection: undefined, state: "connecting", ended: false };
    const call = this.#nextCall;
    this.#nextCall += 1;
    this.#calls.set(call, client);
    this.#worker.postMessage({ type: "connect", call, address: target.id });
    return this.#link(client);
  }

  /** Starts an empty server with these settings; the connections to the last one are over. */
  start(values: Readonly<Record<string, string>>): void {
    this.#worker.postMessage({ type: "start", life: this.#begin(), values });
  }

  /** Starts a server in which this scenario is played. */
  play(name: string, seed: number): void {
    this.#worker.postMessage({ type: "play", life: this.#begin(), name, seed });
  }

  /** Controls that need no answer of their own. */
  control(
    message: Extract<ToSandbox, { type: "reading" | "store" | "skip" | "judge" | "reconfigure" }>,
  ): void {
    this.#worker.postMessage(message);
  }

  /** Returns the sandbox's number of the connection whose client is at this address and port. */
  connectionOf(local: string): number | undefined {
    for (const [connection, of] of this.#locals) if (of === local) return connection;
    return undefined;
  }

  /** Returns the address and port of a connection's client. */
  localOf(connection: number): string | undefined {
    return this.#locals.get(connection);
  }

  #begin(): number {
    const time = Math.max(this.#now(), this.#latest);
    for (const client of [...this.#calls.values(), ...this.#clients.values()]) {
      this.#finish(client, "the sandbox was started anew", false, time);
    }
    this.#calls.clear();
    this.#clients.clear();
    this.#locals.clear();
    this.#origin = time;
    this.#life += 1;
    return this.#life;
  }

  #hear(message: FromSandbox): void {
    switch (message.type) {
      case "ready":
        this.#listener.ready(message.scenarios, message.settings);
        return;
      case "failed":
        this.#listener.failed(message.message);
        return;
      case "judged":
        this.#listener.judged(message.problems);
        return;
    }
    // Late messages of the last sandbox are of no use.
    if (message.life !== this.#life) return;
    switch (message.type) {
      case "connected": {
        const client = this.#calls.get(message.call);
        this.#calls.delete(message.call);
        if (client === undefined) return;
        client.connection = message.connection;
        this.#clients.set(message.connection, client);
        if (client.state === "closed")
          this.#worker.postMessage({ type: "close", connection: message.connection });
        return;
      }
      case "refused": {
        const client = this.#calls.get(message.call);
        this.#calls.delete(message.call);
        if (client !== undefined) this.#finish(client, message.message, true);
        this.#listener.refused(message.message);
        return;
      }
      case "unsent": {
        const client = this.#clients.get(message.connection);
        if (client === undefined || client.state === "closed") return;
        // An end that was sent since stands.
        if (message.ended) client.ended = false;
        client.events?.refused(message.message);
        return;
      }
      case "events":
        message.events.forEach((event) => this.#take(event));
        return;
      case "state":
        this.#listener.state(message.state);
    }
  }

  #take({ time, connection, event }: SandboxEvent): void {
    const at = this.#origin + time;
    this.#latest = Math.max(this.#latest, at);
    if (event.type === "opened") {
      this.#locals.set(connection, event.local);
      const client = this.#clients.get(connection) ?? this.#accepted(connection, event.local);
      if (client === undefined || client.state === "closed") return;
      client.state = "open";
      client.events?.opened(event.local, event.remote, at);
      return;
    }
    const client = this.#clients.get(connection);
    if (client === undefined || client.state === "closed") return;
    switch (event.type) {
      case "bytes":
        client.events?.bytes(event.direction, event.bytes, at);
        break;
      case "ended":
        client.events?.ended(event.direction, at);
        break;
      case "closed":
        this.#finish(client, event.reason, event.bad, at);
        break;
    }
  }

  /** Returns the client of an accepted connection; a scenario brings its own. */
  #accepted(connection: number, local: string): Client | undefined {
    if (this.#accept === undefined) return undefined;
    const address = local.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
    // The link is handed over before there is anybody to be told of what happens.
    const client: Client = { events: undefined, connection, state: "connecting", ended: false };
    client.events = this.#accept(clientTarget(address), this.#link(client));
    this.#clients.set(connection, client);
    return client;
  }

  #finish(client: Client, reason: string, bad: boolean, time?: number): void {
    if (client.state === "closed") return;
    client.state = "closed";
    if (client.connection !== undefined) {
      this.#clients.delete(client.connection);
      this.#locals.delete(client.connection);
    }
    client.events?.closed(reason, bad, time);
  }

  #link(client: Client): Link {
    const send = (steps: readonly Step[]) => {
      if (client.state !== "open" || client.ended || client.connection === undefined) return;
      client.ended = holdsEnd(steps);
      this.#worker.postMessage({ type: "send", connection: client.connection, steps });
    };
    const close = () => {
      if (client.state === "closed") return;
      const { connection } = client;
      this.#finish(client, "disconnected by the page", false, Math.max(this.#now(), this.#latest));
      if (connection !== undefined) this.#worker.postMessage({ type: "close", connection });
    };
    return {
      get writable() {
        return client.state === "open" && !client.ended;
      },
      send,
      end: () => send([{ end: true }]),
      close,
      // Bytes that the page has not taken wait in memory: no more of them than the page itself has asked for.
      taken: () => undefined,
    };
  }
}
