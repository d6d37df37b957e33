/** The worker's side: holds the recorded traffic in the wasm module, and answers the page's messages. */

import type * as Wasm from "../wasm/chanwire_wasm";
import type {
  CapturePreview,
  Completions,
  FromWorker,
  ListRow,
  Mistake,
  Question,
  Questions,
  Status,
  StatisticsRow,
  Timeline,
  ToWorker,
} from "./messages";

/** The members of the wasm module that the engine needs. */
export type EngineModule = Pick<
  typeof Wasm,
  "Importer" | "Viewer" | "preview" | "heap" | "__wbg_reset_state"
>;

/** The engine's access to the page, timers and the clock. */
export interface Surroundings {
  post(message: FromWorker, transfer: Transferable[]): void;
  later(run: () => void, ms: number): void;
  /** Milliseconds from any origin. */
  now(): number;
}

/** Changes are posted at the latest after this time. */
const FLUSH_MS = 16;

/** How long a filter may work through held rows before messages are handled again. */
const SLICE_MS = 10;

/** The rate is measured over this time. */
const RATE_MS = 1000;

/** A smaller heap is kept when rows are cleared; a larger one is freed by a new instance of the module. */
const LARGE_HEAP = 16 * 1024 * 1024;

/** Memory for what is recorded, until the page sets another limit. */
const DEFAULT_LIMIT = 1024 * 1024 * 1024;

/** A status as the module gives it. */
interface ModuleStatus extends Omit<
  Status,
  "rate" | "heap" | "taken" | "arriving" | "added" | "addedBad" | "scanning" | "highlights"
> {
  readonly bad_seen: number;
  readonly scanning?: Status["scanning"];
  readonly highlights?: number;
  readonly arriving: readonly (Omit<Status["arriving"][number], "bytes"> & {
    readonly bytes: readonly number[];
  })[];
}

export class Engine {
  readonly #wasm: EngineModule;
  readonly #around: Surroundings;
  #viewer: Wasm.Viewer;
  /** The page's filter, highlight, range and pause. */
  #seen: Seen = { filter: "", highlight: "", range: undefined, paused: false };
  /** The sum of the epochs of earlier viewers, so that the page sees epochs that only grow. */
  #epochs = 0;
  #importer: Wasm.Importer | undefined;
  #look = { position: 0, count: 0, follow: true };
  /** The window as it was last posted, to post only what has changed. */
  #shown = "";
  /** The received bytes of each connection since the last status. */
  #taken = new Map<number, number>();
  /** The time of the next flush, if one is scheduled. */
  #due: number | undefined;
  /** The counts in the last status. */
  #told = { captured: 1, bad: 0 };
  #rate = new Rate();

  constructor(wasm: EngineModule, around: Surroundings) {
    this.#wasm = wasm;
    this.#around = around;
    this.#viewer = new wasm.Viewer(DEFAULT_LIMIT);
  }

  handle(message: ToWorker): void {
    const viewer = this.#viewer;
    switch (message.type) {
      case "open":
        viewer.open(message.connection, message.label);
        break;
      case "bytes": {
        const { connection, direction, time, bytes } = message;
        viewer.bytes(connection, direction, time, bytes);
        if (direction === "in") {
          this.#taken.set(connection, (this.#taken.get(connection) ?? 0) + bytes.length);
        }
        break;
      }
      case "end":
        viewer.end(message.connection, message.direction, message.time);
        break;
      case "note":
        viewer.note(message.connection, message.time, message.head, message.text, message.bad);
        break;
      case "gap": {
        const { connection, direction, time, bytes, frames, paired, text } = message;
        viewer.gap(connection, direction, time, bytes, frames, paired, text);
        break;
      }
      case "close":
        viewer.close(message.connection, message.time);
        break;
      case "limit":
        viewer.setLimit(message.bytes);
        break;
      case "clear":
        this.#clear();
        break;
      case "pause":
        this.#seen = { ...this.#seen, paused: message.paused };
        viewer.pause(message.paused);
        break;
      case "mark":
        viewer.mark(message.number, message.on);
        break;
      case "look":
        this.#look = message;
        this.#postWindow(true);
        return;
      case "ask":
        this.#answer(message.id, message.question, message.ask);
        break;
    }
    this.#schedule(FLUSH_MS);
  }

  /** Reports changes, and goes on with unfinished work. */
  flush(): void {
    // A filter that works through held rows must not delay messages.
    const until = this.#around.now() + SLICE_MS;
    let more = this.#viewer.advance();
    while (more && this.#around.now() < until) more = this.#viewer.advance();
    const status = this.#postStatus();
    this.#postWindow(false, status);
    if (more) this.#schedule(0);
    // Without traffic the rate falls to 0, which must be posted too.
    else if (status.rate > 0) this.#schedule(RATE_MS / 4);
  }

  /**
   * Drops every row and frees their memory. A module's memory never shrinks, so the open connections continue in a new
   * instance of the module. If their state cannot be carried over, the old instance is kept.
   */
  #clear(): void {
    const old = this.#viewer;
    const large = this.#wasm.heap() > LARGE_HEAP && this.#importer === undefined;
    const carried = large ? old.carried() : undefined;
    if (carried === undefined) {
      old.clear();
      return;
    }
    const { epoch, limit } = JSON.parse(old.status()) as ModuleStatus;
    this.#epochs += epoch;
    old.free();
    this.#wasm.__wbg_reset_state();
    this.#see(this.#wasm.Viewer.resumed(limit, carried));
  }

  /** Drops everything but the filter and the highlight: rows and connections are numbered from 1 again. */
  #reset(): void {
    const { epoch, limit } = JSON.parse(this.#viewer.status()) as ModuleStatus;
    this.#epochs += epoch + 1;
    this.#importer?.free();
    this.#importer = undefined;
    this.#viewer.free();
    if (this.#wasm.heap() > LARGE_HEAP) this.#wasm.__wbg_reset_state();
    this.#seen = { ...this.#seen, range: undefined, paused: false };
    this.#see(new this.#wasm.Viewer(limit));
    this.#taken.clear();
    this.#told = { captured: 1, bad: 0 };
    this.#rate = new Rate();
  }

  /** Switches to this viewer, with the page's filter, highlight, range and pause. */
  #see(viewer: Wasm.Viewer): void {
    this.#viewer = viewer;
    const { filter, highlight, range, paused } = this.#seen;
    if (filter !== "") viewer.setFilter(filter);
    if (highlight !== "") viewer.setHighlight(highlight);
    if (range !== undefined) viewer.setRange(range.from, range.to);
    if (paused) viewer.pause(true);
  }

  #schedule(ms: number): void {
    const due = this.#around.now() + ms;
    if (this.#due !== undefined && this.#due <= due) return;
    this.#due = due;
    this.#around.later(() => {
      // An earlier flush may have been scheduled since.
      if (this.#due !== due) return;
      this.#due = undefined;
      this.flush();
    }, ms);
  }

  #status(): ModuleStatus {
    const status = JSON.parse(this.#viewer.status()) as ModuleStatus;
    return { ...status, epoch: this.#epochs + status.epoch };
  }

  #postStatus(): Status {
    const { bad_seen, ...known } = this.#status();
    const added = known.captured - this.#told.captured;
    const addedBad = bad_seen - this.#told.bad;
    this.#told = { captured: known.captured, bad: bad_seen };
    const status: Status = {
      ...known,
      heap: this.#wasm.heap(),
      scanning: known.scanning,
      highlights: known.highlights,
      rate: this.#rate.take(this.#around.now(), known.captured),
      taken: [...this.#taken],
      arriving: known.arriving.map((frame) => ({ ...frame, bytes: Uint8Array.from(frame.bytes) })),
      added,
      addedBad,
    };
    this.#taken.clear();
    this.#post({ type: "status", status });
    return status;
  }

  /** Posts the visible rows, if they have changed or are asked for. */
  #postWindow(asked: boolean, status?: Status): void {
    const { count, follow } = this.#look;
    const { epoch, begin, end } = status ?? this.#status();
    const position = follow ? Math.max(begin, end - count) : Math.max(begin, this.#look.position);
    const rows = this.#viewer.rows(position, count);
    const shown = `${epoch} ${position} ${rows}`;
    if (!asked && shown === this.#shown) return;
    this.#shown = shown;
    this.#post({ type: "window", epoch, position, rows: JSON.parse(rows) as ListRow[] });
  }

  #post(message: FromWorker, transfer: Transferable[] = []): void {
    this.#around.post(message, transfer);
  }

  #answer(id: number, question: Question, ask: unknown): void {
    try {
      if (question === "frame") this.#answerFrame(id, ask as Questions["frame"]["ask"]);
      else this.#post({ type: "answer", id, answer: this.#reply(question, ask) });
    } catch (error) {
      this.#post({ type: "refused", id, message: error instanceof Error ? error.message : String(error) });
    }
  }

  #import(ask: Questions["import"]["ask"]): Questions["import"]["answer"] {
    if (ask.step === "begin") {
      this.#importer?.free();
      this.#importer = new this.#wasm.Importer(ask.everything, ask.direction);
      return {};
    }
    const importer = this.#importer;
    if (importer === undefined) return { error: "no capture is being read" };
    const answer =
      ask.step === "bytes" ? importer.feed(ask.bytes, this.#viewer) : importer.finish(this.#viewer);
    const told = JSON.parse(answer) as Questions["import"]["answer"];
    if (ask.step === "end" || told.error !== undefined) {
      importer.free();
      this.#importer = undefined;
    }
    return told;
  }

  /** Answers with a frame as JSON text: to parse it here and clone the objects to the page would take longer. */
  #answerFrame(id: number, { number }: Questions["frame"]["ask"]): void {
    const json = this.#viewer.frame(number);
    const bytes = this.#viewer.bytesOf(number) as Uint8Array<ArrayBuffer>;
    this.#post({ type: "answer", id, answer: { json, bytes } }, [bytes.buffer]);
  }

  #reply(question: Question, ask: unknown): Questions[Question]["answer"] | undefined {
    const viewer = this.#viewer;
    switch (question) {
      case "stream": {
        const { number, before, after, bytes } = ask as Questions["stream"]["ask"];
        const rows = JSON.parse(viewer.stream(number, before, after)) as ListRow[];
        return rows.map((row) => ({
          row,
          bytes: viewer.bytesOf(row.number).slice(0, bytes),
        }));
      }
      case "filter": {
        const { which, text } = ask as Questions["filter"]["ask"];
        const mistake = which === "filter" ? viewer.setFilter(text) : viewer.setHighlight(text);
        if (mistake !== undefined) return { mistake: JSON.parse(mistake) as Mistake };
        this.#seen = { ...this.#seen, [which]: text };
        return {};
      }
      case "range": {
        const range = ask as Questions["range"]["ask"];
        this.#seen = { ...this.#seen, range };
        viewer.setRange(range?.from, range?.to);
        return undefined;
      }
      case "complete": {
        const { text, caret } = ask as Questions["complete"]["ask"];
        return JSON.parse(viewer.complete(text, caret)) as Completions;
      }
      case "locate": {
        const { number } = ask as Questions["locate"]["ask"];
        const located = JSON.parse(viewer.locate(number)) as Questions["locate"]["answer"] | null;
        return located === null || located === undefined
          ? undefined
          : { ...located, epoch: this.#epochs + located.epoch };
      }
      case "step": {
        const { from, by, to, text } = ask as Questions["step"]["ask"];
        return viewer.step(from, by > 0, to, text);
      }
      case "connections":
        return JSON.parse(viewer.connections()) as Questions["connections"]["answer"];
      case "reset":
        this.#reset();
        return undefined;
      case "statistics":
        return { rows: JSON.parse(viewer.statistics()) as StatisticsRow[] };
      case "timeline": {
        const { buckets } = ask as Questions["timeline"]["ask"];
        const { start, step, frames, bad, p99 } = JSON.parse(viewer.timeline(buckets)) as ModuleTimeline;
        return {
          start,
          step,
          frames: Float64Array.from(frames),
          bad: Float64Array.from(bad),
          p99: Float64Array.from(p99, (trip) => trip ?? NaN),
        } satisfies Timeline;
      }
      case "preview":
        return JSON.parse(this.#wasm.preview((ask as Questions["preview"]["ask"]).bytes)) as CapturePreview;
      case "import":
        return this.#import(ask as Questions["import"]["ask"]);
      case "export": {
        const { format, scope, connection, direction, cursor, secrets } = ask as Questions["export"]["ask"];
        const row = typeof scope === "object" ? scope.number : undefined;
        const view = scope === "view";
        const part = viewer.export(format, row, view, connection, direction, cursor, secrets ?? false);
        const { name, next } = part;
        const bytes = part.bytes() as Uint8Array<ArrayBuffer>;
        part.free();
        return { name, bytes, ...(next !== undefined && { next }) };
      }
      default:
        throw new Error(`there is no question '${question}'`);
    }
  }
}

/** The page's filter, highlight, range and pause. A filter or highlight with a mistake is not stored. */
interface Seen {
  readonly filter: string;
  readonly highlight: string;
  readonly range: Questions["range"]["ask"];
  readonly paused: boolean;
}

interface ModuleTimeline {
  readonly start: number;
  readonly step: number;
  readonly frames: readonly number[];
  readonly bad: readonly number[];
  readonly p99: readonly (number | null)[];
}

/** Frames a second, over the last second. */
class Rate {
  #samples: { readonly time: number; readonly captured: number }[] = [];

  take(time: number, captured: number): number {
    this.#samples.push({ time, captured });
    // The newest sample that is older than the period is kept as its start.
    while (this.#samples.length > 2 && this.#samples[1].time <= time - RATE_MS) this.#samples.shift();
    const [first] = this.#samples;
    const elapsed = Math.max(time - first.time, RATE_MS);
    return ((captured - first.captured) * 1000) / elapsed;
  }
}
