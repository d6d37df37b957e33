/** The worker's side of decoding: one conversation per connection, rows numbered in the order they complete. */

import type * as Wasm from "../wasm/chanwire_wasm";
import { BatchBuilder, DIRECTIONS, transferables, type Direction } from "./batch";
import { describe, faultFrom, verdict } from "./describe";
import type { Arriving, Composed, FromWorker, Question, Questions, ToWorker } from "./messages";

/** What the engine needs of the wasm module. */
export type Module = Pick<typeof Wasm, "Conversation" | "check" | "commands" | "compose" | "version">;

export type Post = (message: FromWorker, transfer: Transferable[]) => void;

/** Rows leave at the latest after this time, or when so many wait. */
const FLUSH_MS = 16;
const FLUSH_ROWS = 4096;

interface Open {
  readonly conversation: Wasm.Conversation;
  /** Rows that the conversation has given so far. */
  given: number;
  /** Sent rows that may still be answered: place in the conversation, and row number. */
  unanswered: { place: number; number: number }[];
  /** Received bytes decoded and not yet told. */
  taken: number;
  touched: boolean;
}

export class Engine {
  readonly #wasm: Module;
  readonly #post: Post;
  readonly #later: (run: () => void, ms: number) => void;
  readonly #builder = new BatchBuilder();
  #open = new Map<number, Open>();
  #closed: number[] = [];
  #scheduled = false;

  constructor(wasm: Module, post: Post, later: (run: () => void, ms: number) => void) {
    this.#wasm = wasm;
    this.#post = post;
    this.#later = later;
    post({ type: "ready", version: wasm.version(), forms: wasm.commands() }, []);
  }

  handle(message: ToWorker): void {
    switch (message.type) {
      case "open":
        this.#open.set(message.connection, {
          conversation: new this.#wasm.Conversation(),
          given: 0,
          unanswered: [],
          taken: 0,
          touched: false,
        });
        return;
      case "bytes":
        this.#bytes(message.connection, message.direction, message.time, message.bytes);
        break;
      case "end":
        this.#end(message.connection, message.direction, message.time);
        break;
      case "note":
        this.#builder.push({
          kind: "note",
          direction: "in",
          push: false,
          bad: message.bad,
          connection: message.connection,
          time: message.time,
          start: 0,
          end: 0,
          head: message.head,
          summary: message.text,
          rtt: NaN,
          pair: 0,
        });
        break;
      case "close":
        for (const direction of DIRECTIONS) this.#end(message.connection, direction, message.time);
        this.#close(message.connection);
        break;
      case "ask":
        this.#answer(message.id, message.question, message.ask);
        return;
    }
    this.#schedule();
  }

  flush(): void {
    const taken: [number, number][] = [];
    const arriving: Arriving[] = [];
    for (const [connection, open] of this.#open) {
      if (open.taken > 0) taken.push([connection, open.taken]);
      open.taken = 0;
      for (const direction of DIRECTIONS) {
        const partial = open.conversation.partial(direction);
        if (partial === undefined) continue;
        const { head, state, span } = partial;
        arriving.push({ connection, direction, start: span.start, end: span.end, head, state });
      }
    }
    const batch = this.#builder.take();
    const closed = this.#closed;
    this.#closed = [];
    this.#post({ type: "rows", batch, taken, arriving, closed }, transferables(batch));
  }

  #bytes(connection: number, direction: Direction, time: number, bytes: Uint8Array): void {
    const open = this.#open.get(connection);
    if (open === undefined) return;
    this.#rows(connection, open, time, open.conversation.feed(direction, time, bytes));
    if (direction === "in") open.taken += bytes.length;
  }

  #end(connection: number, direction: Direction, time: number): void {
    const open = this.#open.get(connection);
    if (open !== undefined) this.#rows(connection, open, time, open.conversation.finish(direction, time));
  }

  #close(connection: number): void {
    this.#open.get(connection)?.conversation.free();
    this.#open.delete(connection);
    this.#closed.push(connection);
  }

  #rows(connection: number, open: Open, time: number, rows: readonly Wasm.Row[]): void {
    for (const row of rows) {
      const number = this.#builder.push({
        kind: row.kind,
        direction: row.direction,
        push: row.push,
        bad: row.fault !== undefined || (row.status !== undefined && row.status !== "OK"),
        connection,
        time,
        start: row.span.start,
        end: row.span.end,
        head: row.head,
        summary: row.summary,
        rtt: row.rtt ?? NaN,
        pair: row.pair === undefined ? 0 : this.#request(open, row.pair),
        // Fields are decoded again when a frame is looked at; what is wrong depends on what stood before it.
        ...(row.fault && { fault: faultFrom(row.fault, row.span.start) }),
      });
      if (row.direction === "out") open.unanswered.push({ place: open.given, number });
      open.given += 1;
    }
  }

  /** Row number of the request at `place`. Answers come in request order, so what stands before it is done with. */
  #request(open: Open, place: number): number {
    const index = open.unanswered.findIndex((request) => request.place === place);
    if (index < 0) return 0;
    const { number } = open.unanswered[index];
    open.unanswered.splice(0, index + 1);
    return number;
  }

  #schedule(): void {
    if (this.#builder.waiting >= FLUSH_ROWS) {
      this.flush();
      return;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#later(() => {
      this.#scheduled = false;
      this.flush();
    }, FLUSH_MS);
  }

  #answer(id: number, question: Question, ask: unknown): void {
    try {
      this.#post({ type: "answer", id, answer: this.#reply(question, ask) }, []);
    } catch (error) {
      this.#post({ type: "refused", id, message: String(error) }, []);
    }
  }

  #reply(question: Question, ask: unknown): Questions[Question]["answer"] {
    switch (question) {
      case "describe": {
        const { direction, bytes } = ask as Questions["describe"]["ask"];
        const conversation = new this.#wasm.Conversation();
        try {
          const [row] = conversation.feed(direction, 0, bytes);
          return row === undefined || row.span.end !== bytes.length ? undefined : describe(row);
        } finally {
          conversation.free();
        }
      }
      case "compose": {
        const { command, values } = ask as Questions["compose"]["ask"];
        return this.#wasm.compose(command, { ...values }) as Composed;
      }
      case "check": {
        const { bytes } = ask as Questions["check"]["ask"];
        return this.#wasm.check(bytes).map(verdict);
      }
    }
  }
}
