/** The page's state: what is captured, what of it is shown, and what is selected. */

import { unpackFlags } from "../decode/batch";
import { DecoderClient, type WorkerLike } from "../decode/client";
import type { Arriving, CommandForm, FromWorker } from "../decode/messages";
import { loadFrame } from "../details/frame";
import type { LoadedFrame } from "../details/tree";
import type { View } from "../list/grid";
import type { Source, Step, Target } from "../source/source";
import { Refused } from "../source/source";
import { FrameStore, type StoredRow } from "../store/store";
import { Announcer } from "./announcer.svelte";
import { Recorder, type ConnectionInfo } from "./recorder";

/** Numbers that change all the time, read off a few times a second. */
export interface Gauges {
  readonly rate: number;
  readonly memory: number;
  /** The number that the store's next row gets. */
  readonly captured: number;
  readonly arriving: readonly Arriving[];
}

const GAUGE_MS = 250;

export class Inspector {
  readonly store = new FrameStore();
  readonly announcer = new Announcer();

  /** Rows that the list shows. */
  view: View = $state.raw({ first: 1, end: 1, dropped: 0 });
  paused = $state(false);
  follow = $state(true);
  /** Rows before this one were there when following stopped. */
  seen = $state(1);
  selected: number | undefined = $state();
  frame: LoadedFrame | undefined = $state.raw();
  connections: readonly ConnectionInfo[] = $state.raw([]);
  /** The connection that Compose sends on. */
  current: number | undefined = $state();
  targets: readonly Target[] = $state.raw([]);
  /** Why there is no list of targets. */
  sourceProblem = $state("");
  forms: readonly CommandForm[] = $state.raw([]);
  version = $state("");
  /** Why nothing can be decoded. */
  failure = $state("");
  gauges: Gauges = $state.raw({ rate: 0, memory: 0, captured: 1, arriving: [] });
  /** Asks the list to bring the selected row into view; counts up. */
  reveals = $state(0);

  readonly decoder: DecoderClient;
  readonly #recorder: Recorder;
  #source: Source | undefined = $state.raw();
  #origin: number | undefined;
  #scheduled = false;
  #rateBase = { time: 0, end: 1 };

  constructor(worker: WorkerLike) {
    this.decoder = new DecoderClient(worker, {
      ready: ({ version, forms }) => {
        this.version = version;
        this.forms = forms;
      },
      rows: (message) => this.#recorder.rows(message),
      failed: (message) => {
        this.failure = message;
      },
    });
    this.#recorder = new Recorder(
      this.store,
      this.decoder,
      {
        connections: (all) => {
          this.connections = all;
        },
        rows: (message) => this.#took(message),
        said: (text) => this.announcer.say(text),
      },
      () => performance.now(),
    );
    setInterval(() => this.#gauge(), GAUGE_MS);
  }

  /** When the capture began, in milliseconds. */
  readonly origin = (): number => this.#origin ?? 0;

  readonly lookup = (number: number): StoredRow | undefined => this.store.row(number);

  get connected(): boolean {
    return this.#source !== undefined;
  }

  /** The connection that Compose sends on, while it can take bytes. */
  get writable(): ConnectionInfo | undefined {
    return this.connections.find(
      ({ number, state, ended }) => number === this.current && state === "open" && !ended,
    );
  }

  async use(source: Source): Promise<void> {
    this.#source = source;
    this.sourceProblem = "";
    source.accept?.((target, link) => {
      this.#origin ??= performance.now();
      const { number, events } = this.#recorder.accept(target, link);
      this.current ??= number;
      return events;
    });
    try {
      this.targets = await source.targets();
    } catch (error) {
      if (this.#source !== source) return;
      if (error instanceof Refused) this.#source = undefined;
      else this.sourceProblem = error instanceof Error ? error.message : String(error);
    }
  }

  connect(target: Target): void {
    if (this.#source === undefined) return;
    this.#origin ??= performance.now();
    this.current = this.#recorder.connect(this.#source, target);
  }

  send(steps: readonly Step[]): void {
    if (this.writable !== undefined) this.#recorder.send(this.writable.number, steps);
  }

  end(connection: number): void {
    this.#recorder.end(connection);
  }

  close(connection: number): void {
    this.#recorder.close(connection);
  }

  togglePause(): void {
    this.paused = !this.paused;
    this.announcer.say(this.paused ? "Paused; the capture goes on" : "Live");
    this.#refresh();
  }

  clear(): void {
    this.store.clear();
    this.paused = false;
    this.selected = undefined;
    this.frame = undefined;
    this.setFollow(true);
    this.#refresh();
  }

  setFollow(follow: boolean): void {
    if (this.follow && !follow) this.seen = this.view.end;
    this.follow = follow;
  }

  /** Select a row and leave the list where it is, but for bringing the row into view. */
  async select(number: number): Promise<void> {
    const { first, end } = this.view;
    if (end === first) return;
    const row = Math.min(Math.max(number, first), end - 1);
    this.setFollow(false);
    this.selected = row;
    this.reveals += 1;
    const frame = await loadFrame(this.store, this.decoder, row, this.origin());
    if (this.selected === row && frame !== undefined) this.frame = frame;
  }

  selectBy(rows: number): void {
    const { end } = this.view;
    void this.select(this.selected === undefined ? end - 1 : this.selected + rows);
  }

  /** To the newest row, and follow from there. */
  toEnd(): void {
    void this.select(this.view.end - 1);
    this.setFollow(true);
  }

  /** To the request or the answer of the selected frame. */
  toPair(): void {
    const pair = this.selected === undefined ? undefined : this.store.row(this.selected)?.pair;
    if (pair !== undefined) this.jump(pair);
  }

  jump(number: number): void {
    if (this.store.has(number) && number < this.view.end) void this.select(number);
    else this.announcer.say(`Frame ${number} is no longer held`);
  }

  #took({ batch }: Extract<FromWorker, { type: "rows" }>): void {
    let bad = 0;
    for (const bits of batch.flags) if (unpackFlags(bits).bad) bad += 1;
    this.announcer.count(batch.count, bad);
    if (this.#scheduled || batch.count === 0) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#refresh();
    });
  }

  #refresh(): void {
    const { first, dropped } = this.store;
    const end = this.paused ? Math.max(this.view.end, first) : this.store.end;
    this.view = { first, end, dropped };
    // The answer of the selected request may have come.
    const { frame } = this;
    if (frame === undefined || frame.row.number !== this.selected) return;
    const row = this.store.row(frame.row.number);
    if (row !== undefined && row.pair !== frame.row.pair) this.frame = { ...frame, row };
  }

  #gauge(): void {
    const now = performance.now();
    const { time, end } = this.#rateBase;
    if (now - time >= 1000) {
      this.gauges = { ...this.gauges, rate: ((this.store.end - end) * 1000) / (now - time) };
      this.#rateBase = { time: now, end: this.store.end };
    }
    const { allocated: memory, end: captured } = this.store;
    const { arriving } = this.#recorder;
    const known = this.gauges;
    if (memory !== known.memory || captured !== known.captured || arriving !== known.arriving) {
      this.gauges = { ...known, memory, captured, arriving };
    }
    this.announcer.tick(now);
  }
}
