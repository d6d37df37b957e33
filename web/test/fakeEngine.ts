/** A worker that keeps rows in an array and does what the real one promises, a step at a time. */

import type { WorkerLike } from "../src/decode/client";
import type { FromWorker, ListRow, Question, Questions, Status, ToWorker } from "../src/decode/messages";

type Filter = (row: ListRow) => boolean;

export function listRow(number: number, part: Partial<ListRow> = {}): ListRow {
  return {
    number,
    connection: 1,
    direction: number % 2 === 0 ? "in" : "out",
    kind: "frame",
    push: false,
    bad: false,
    marked: false,
    highlighted: false,
    time: number,
    delta: 1,
    head: number % 2 === 0 ? "OK" : "LIST",
    rtt: undefined,
    pair: undefined,
    length: 6,
    summary: `row ${number}`,
    ...part,
  };
}

export class FakeEngine implements WorkerLike {
  /** Everything that the page sent, questions too. */
  readonly got: ToWorker[] = [];
  /** Rows that a new filter looks at in one step; the others wait for `step`. */
  scanned = Infinity;
  #rows: ListRow[] = [];
  #next = 1;
  #dropped = 0;
  #filter: Filter = () => true;
  #highlight: Filter | undefined;
  #marked = new Set<number>();
  #epoch = 1;
  /** Rows of the view and how many were dropped from its front. */
  #view: ListRow[] = [];
  #gone = 0;
  #unscanned: ListRow[] = [];
  #frozen: { view: ListRow[]; gone: number } | undefined;
  #look: Extract<ToWorker, { type: "look" }> | undefined;
  #listeners: ((event: MessageEvent<FromWorker>) => void)[] = [];
  #outbox: FromWorker[] = [];

  postMessage(message: unknown): void {
    const asked = message as ToWorker;
    this.got.push(asked);
    switch (asked.type) {
      case "look":
        this.#look = asked;
        this.#window();
        break;
      case "pause":
        this.#frozen = asked.paused ? { view: [...this.#view], gone: this.#gone } : undefined;
        this.#tell();
        break;
      case "mark":
        if (asked.on) this.#marked.add(asked.number);
        else this.#marked.delete(asked.number);
        this.#tell();
        break;
      case "clear":
        this.#rows = [];
        this.#dropped = 0;
        this.#renew();
        break;
      case "ask":
        this.#outbox.push({ type: "answer", id: asked.id, answer: this.#answer(asked.question, asked.ask) });
        break;
    }
  }

  addEventListener(type: "message" | "error", listener: (event: never) => void): void {
    if (type === "message") this.#listeners.push(listener as (event: MessageEvent<FromWorker>) => void);
  }

  /** Rows are captured. */
  add(count: number, part: (number: number) => Partial<ListRow> = () => ({})): void {
    for (let i = 0; i < count; i += 1) {
      const row = listRow(this.#next, part(this.#next));
      this.#next += 1;
      this.#rows.push(row);
      if (this.#unscanned.length > 0) this.#unscanned.push(row);
      else if (this.#filter(row)) this.#view.push(row);
    }
    this.#tell();
  }

  /** The oldest rows are dropped. */
  drop(count: number): void {
    const first = this.#rows[count]?.number ?? this.#next;
    this.#dropped += Math.min(count, this.#rows.length);
    this.#rows = this.#rows.filter(({ number }) => number >= first);
    this.#unscanned = this.#unscanned.filter(({ number }) => number >= first);
    const before = this.#view.length;
    this.#view = this.#view.filter(({ number }) => number >= first);
    this.#gone += before - this.#view.length;
    this.#tell();
  }

  /** Look at more rows for the filter. */
  step(count: number): void {
    const looked = this.#unscanned.splice(0, count);
    this.#view.push(...looked.filter((row) => this.#filter(row)));
    this.#tell();
  }

  /** Hand over what has been said, and what is said while it is taken. */
  async settle(): Promise<void> {
    for (let round = 0; round < 50; round += 1) {
      const said = this.#outbox.splice(0);
      for (const data of said)
        for (const listener of this.#listeners) listener({ data } as MessageEvent<FromWorker>);
      await Promise.resolve();
      await Promise.resolve();
    }
  }

  #shown(): { view: ListRow[]; gone: number } {
    return this.#frozen ?? { view: this.#view, gone: this.#gone };
  }

  #renew(): void {
    this.#epoch += 1;
    this.#gone = 0;
    this.#view = [];
    this.#unscanned = [...this.#rows];
    this.step(this.scanned);
  }

  #tell(): void {
    const { view, gone } = this.#shown();
    const waiting = this.#unscanned.length;
    const total = this.#rows.length;
    const status: Status = {
      epoch: this.#epoch,
      begin: gone,
      end: gone + view.length,
      first: this.#rows[0]?.number ?? this.#next,
      captured: this.#next,
      dropped: this.#dropped,
      bad: this.#rows.filter(({ bad }) => bad).length,
      scanning: waiting > 0 ? { done: total - waiting, total } : undefined,
      highlights: this.#highlight === undefined ? undefined : view.filter(this.#highlight).length,
      memory: total * 100,
      limit: 1e9,
      heap: 0,
      rate: 0,
      taken: [],
      arriving: [],
      added: 0,
      addedBad: 0,
    };
    this.#outbox.push({ type: "status", status });
    this.#window();
  }

  #window(): void {
    const look = this.#look;
    if (look === undefined) return;
    const { view, gone } = this.#shown();
    const start = look.follow ? Math.max(0, view.length - look.count) : Math.max(0, look.position - gone);
    const rows = view.slice(start, start + look.count).map((row) => ({
      ...row,
      marked: this.#marked.has(row.number),
      highlighted: this.#highlight?.(row) ?? false,
    }));
    this.#outbox.push({ type: "window", epoch: this.#epoch, position: start + gone, rows });
  }

  #answer(question: Question, ask: unknown): unknown {
    switch (question) {
      case "filter": {
        const { which, text } = ask as Questions["filter"]["ask"];
        const at = text.indexOf("?");
        if (at >= 0) return { mistake: { at, length: 1, message: "expected a value" } };
        const filter: Filter = ({ head, summary }) => `${head} ${summary}`.includes(text);
        if (which === "highlight") {
          this.#highlight = text === "" ? undefined : filter;
          this.#tell();
        } else {
          this.#filter = filter;
          this.#renew();
        }
        return {};
      }
      case "reset":
        this.#rows = [];
        this.#next = 1;
        this.#dropped = 0;
        this.#frozen = undefined;
        this.#renew();
        return undefined;
      case "frame": {
        const row = this.#rows.find(({ number }) => number === (ask as Questions["frame"]["ask"]).number);
        if (row === undefined) return { json: "null", bytes: new Uint8Array(0) };
        return { json: JSON.stringify({ row, position: 0, reads: [] }), bytes: new Uint8Array(row.length) };
      }
      case "locate": {
        const { number } = ask as Questions["locate"]["ask"];
        const { view, gone } = this.#shown();
        if (view.length === 0) return undefined;
        const after = view.findIndex((row) => row.number >= number);
        const at = after < 0 ? view.length - 1 : after;
        return { epoch: this.#epoch, position: at + gone, exact: view[at].number === number };
      }
      case "step": {
        const { from, by, to } = ask as Questions["step"]["ask"];
        const { view } = this.#shown();
        const wanted = (row: ListRow) => {
          if (to === "highlight") return this.#highlight?.(row) ?? false;
          if (to === "bad") return row.bad;
          return to === "mark" ? this.#marked.has(row.number) : true;
        };
        const ways =
          by > 0
            ? view.filter((row) => row.number > from)
            : view.filter((row) => row.number < from).reverse();
        return ways.find(wanted)?.number;
      }
      default:
        return undefined;
    }
  }
}
