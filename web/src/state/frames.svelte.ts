/** The shown part of the captured rows: the list's position, following, the selection and the frame in Details. */

import type { DecoderClient } from "../decode/client";
import type { Frame, FromWorker, ListRow, Questions, Status } from "../decode/messages";
import { ROW_HEIGHT } from "../list/grid";
import { ListModel, type Look } from "../list/model";
import { RowWindow } from "../list/window";
import { count } from "../text/format";

export type Stop = Questions["step"]["ask"]["to"];

/** The ways to tell the person something. */
export interface Voice {
  /** Announces it to screen readers. */
  say(text: string): void;
  /** Tells everybody that something is not as it was wanted. */
  tell(text: string): void;
}

const NOTHING: Status = {
  epoch: 0,
  begin: 0,
  end: 0,
  first: 1,
  captured: 1,
  dropped: 0,
  bad: 0,
  scanning: undefined,
  highlights: undefined,
  memory: 0,
  limit: 0,
  heap: 0,
  rate: 0,
  taken: [],
  arriving: [],
  added: 0,
  addedBad: 0,
};

export class Frames {
  readonly model = new ListModel(ROW_HEIGHT);
  status: Status = $state.raw(NOTHING);
  follow = $state(true);
  paused = $state(false);
  /** Number of the selected row. */
  selected: number | undefined = $state();
  frame: Frame | undefined = $state.raw();
  /** The selected row is not held any more, so that there is nothing to look at. */
  lost = $state(false);
  /** Counts up when the list must be drawn again. */
  drawings = $state(0);
  /** Counts up when a frame was chosen to be looked at. */
  choices = $state(0);
  /** Rows from this position on came since following stopped and were never in sight. */
  seen = $state(0);
  /** Rows come from a source as they happen. A file that was opened is not live. */
  live = $state(true);
  /** The number that the next row had when the view was frozen. */
  frozen = $state(0);
  /** Number of a row that is to be selected when it comes, unless another is chosen before. */
  wanted: number | undefined;

  readonly #decoder: Pick<DecoderClient, "ask" | "send">;
  readonly #voice: Voice;
  /** The position whose row is selected as soon as it comes; the last one, whichever that is then. */
  #awaited: number | "last" | undefined;
  /** Tells the number of the awaited row; nothing where another was chosen before it came. */
  #arrived: ((number: number | undefined) => void) | undefined;
  /** The row that the last move of the selection led to, once that is known. */
  #turn: Promise<number | undefined> = Promise.resolve(undefined);
  #locating = false;

  constructor(decoder: Pick<DecoderClient, "ask" | "send">, voice: Voice) {
    this.#decoder = decoder;
    this.#voice = voice;
  }

  /**
   * Returns the selected row with everything in it, also where the selection was moved a moment ago and its row has
   * not come yet. Actions on the selected row go by this: `frame` may still be the one before.
   */
  async chosen(): Promise<Frame | undefined> {
    const number = await this.#turn;
    if (number === undefined) return undefined;
    if (this.frame?.row.number === number) return this.frame;
    return this.#decoder.ask("frame", { number });
  }

  /** Returns the request or the answer of the selected frame. */
  get pair(): number | undefined {
    const { selected, frame } = this;
    if (selected === undefined) return undefined;
    return frame?.row.number === selected ? frame.row.pair : this.model.row(selected)?.pair;
  }

  /** Rows that came since following stopped and were never in sight. */
  get waiting(): number {
    return this.follow || !this.live ? 0 : Math.max(0, this.status.end - this.seen);
  }

  tookStatus(status: Status): void {
    // A new view is as new to who looks at it as to the page: only what comes after it is news.
    const scanned = this.status.scanning !== undefined && status.scanning === undefined;
    if (status.epoch !== this.status.epoch || scanned) this.seen = status.end;
    // A selected row in sight keeps its place, wherever it was scrolled to since.
    if (status.epoch !== this.status.epoch && this.selected !== undefined) this.model.anchor(this.selected);
    if (status.epoch !== this.status.epoch && this.#awaited !== undefined) {
      // A position of the old view may never come in the new one.
      this.#clearAwaited();
      this.#turn = Promise.resolve(this.selected);
    }
    this.status = status;
    this.model.setExtent(status);
    this.#draw();
    const { wanted } = this;
    if (wanted !== undefined && wanted >= status.first && wanted < status.captured) void this.select(wanted);
    else void this.#keepPlace();
  }

  tookWindow({ epoch, position, rows }: Extract<FromWorker, { type: "window" }>): void {
    this.model.setWindow(new RowWindow(epoch, position, rows));
    this.drawings += 1;
    const last = this.#awaited === "last";
    const awaited = last ? this.model.newest : this.#at(this.#awaited);
    if (awaited !== undefined) {
      const arrived = this.#arrived;
      this.#arrived = undefined;
      void this.select(awaited.number, last);
      arrived?.(awaited.number);
    }
    // The answer of the selected request may have come.
    const { frame } = this;
    const row = frame === undefined ? undefined : this.model.row(frame.row.number);
    if (frame !== undefined && row !== undefined && JSON.stringify(row) !== JSON.stringify(frame.row)) {
      this.frame = { ...frame, row };
    }
  }

  look(look: Look): void {
    this.#decoder.send({ type: "look", ...look });
  }

  setFollow(follow: boolean): void {
    if (this.follow && !follow) this.seen = this.status.end;
    this.follow = follow;
    this.model.setFollow(follow);
    this.#draw();
  }

  /** Handles a scroll by the person. */
  scrolled(): void {
    const follow = this.model.scrolled();
    if (this.follow && !follow) this.seen = this.status.end;
    this.follow = follow;
    this.#see();
  }

  togglePause(): void {
    if (!this.live) {
      this.#voice.say("A file is shown: nothing comes that could be paused");
      return;
    }
    this.paused = !this.paused;
    this.#freeze();
    this.#voice.say(this.paused ? "Paused; the capture goes on" : "Live");
  }

  #freeze(): void {
    this.frozen = this.status.captured;
    this.#decoder.send({ type: "pause", paused: this.paused });
  }

  clear(): void {
    this.#decoder.send({ type: "clear" });
    // A paused view stays still until it goes on: now it is empty.
    if (this.paused) this.#freeze();
    this.#clearSelection();
    this.setFollow(true);
  }

  /** Drops everything, and numbers rows from 1 again: from a live source, or from a file, which begins at its top. */
  async reset(live: boolean): Promise<void> {
    await this.#decoder.ask("reset", undefined);
    this.#clearSelection();
    this.wanted = undefined;
    this.paused = false;
    this.live = live;
    this.follow = live;
    this.seen = 0;
    this.model.reset(live);
    this.#draw();
  }

  /** Follows a live source from now on. */
  goLive(): void {
    if (this.live) return;
    this.live = true;
    this.setFollow(true);
  }

  #clearSelection(): void {
    this.selected = undefined;
    this.frame = undefined;
    this.lost = false;
    this.#clearAwaited();
    this.#turn = Promise.resolve(undefined);
  }

  /** Selects a row and leaves the list where it is, but for bringing the row into view. */
  async select(number: number, follow = false): Promise<void> {
    this.#clearAwaited();
    this.#turn = Promise.resolve(number);
    this.wanted = undefined;
    this.setFollow(follow);
    this.selected = number;
    this.choices += 1;
    const known = this.model.positionOf(number);
    if (known !== undefined && !follow) this.#reveal(known);
    const [frame, found] = await Promise.all([
      this.#decoder.ask("frame", { number }),
      known === undefined ? this.#decoder.ask("locate", { number }) : undefined,
    ]);
    if (this.selected !== number) return;
    if (found !== undefined && found.epoch === this.status.epoch && !this.follow) {
      this.#reveal(found.position);
      if (!found.exact && frame !== undefined)
        this.#voice.tell(`Frame ${count(number)} does not pass the filter`);
    }
    this.frame = frame;
    this.lost = frame === undefined;
    if (frame === undefined) this.#voice.tell(`Frame ${count(number)} is no longer held`);
  }

  /** Selects the row that stands so many rows below the selected one. */
  async selectBy(rows: number): Promise<void> {
    const { begin, end } = this.status;
    if (end === begin) return;
    const moved = this.#from().then((from) => {
      if (from === undefined) return this.#selectAt(end - 1);
      return this.#selectAt(from.position + rows - (!from.exact && rows > 0 ? 1 : 0));
    });
    this.#turn = moved;
    await moved;
  }

  toStart(): void {
    void this.#selectAt(this.status.begin);
  }

  /** Selects the newest row, and follows from there. */
  toEnd(): void {
    if (this.status.end === this.status.begin) return;
    const last = this.#at(this.status.end - 1);
    if (last !== undefined) void this.select(last.number, true);
    else {
      void this.#await("last");
      this.setFollow(true);
    }
  }

  /** Selects the request or the answer of the selected frame. */
  async toPair(): Promise<void> {
    const frame = await this.chosen();
    if (frame === undefined) return;
    // The answer may have come since.
    const pair = frame.row.pair ?? this.model.row(frame.row.number)?.pair;
    if (pair === undefined) this.#voice.tell("This frame has no pair");
    else void this.select(pair);
  }

  /** Selects the next row of a kind, either way and round at the end; returns whether there is one. */
  async step(to: Stop, by: 1 | -1, text?: string): Promise<boolean> {
    const from = this.selected;
    const found = this.#find(to, by, text);
    this.#turn = found.then((number) => number ?? from);
    const number = await found;
    if (number !== undefined) await this.select(number);
    return number !== undefined;
  }

  async #find(to: Stop, by: 1 | -1, text: string | undefined): Promise<number | undefined> {
    const { first, captured } = this.status;
    const start = by > 0 ? first - 1 : captured;
    const next = (from: number) =>
      this.#decoder.ask("step", { from, by, to, ...(text !== undefined && { text }) });
    const found = await next(this.selected ?? start);
    if (found !== undefined || this.selected === undefined) return found;
    const round = await next(start);
    if (round !== undefined)
      this.#voice.say(by > 0 ? "From the first frame again" : "From the last frame again");
    return round;
  }

  async toggleMark(): Promise<void> {
    const frame = await this.chosen();
    if (frame === undefined) return;
    const { number } = frame.row;
    const on = !(this.model.row(number) ?? frame.row).marked;
    this.#decoder.send({ type: "mark", number, on });
    if (this.frame?.row.number === number)
      this.frame = { ...this.frame, row: { ...this.frame.row, marked: on } };
    this.#voice.say(
      on ? `Frame ${count(number)} is marked` : `Frame ${count(number)} is not marked any more`,
    );
  }

  #reveal(position: number): void {
    this.model.reveal(position);
    this.#draw();
  }

  #draw(): void {
    this.drawings += 1;
    this.#see();
  }

  /** Rows in sight are not new any more. */
  #see(): void {
    this.seen = Math.max(this.seen, this.model.endInSight);
  }

  #at(position: number | "last" | undefined): ListRow | undefined {
    return typeof position === "number" ? this.model.at(this.model.indexOf(position)) : undefined;
  }

  /** Gives the number of the row that is selected by it. */
  #selectAt(wanted: number): Promise<number | undefined> {
    const { begin, end } = this.status;
    if (begin === end) return Promise.resolve(undefined);
    const position = Math.min(Math.max(begin, wanted), end - 1);
    const row = this.#at(position);
    if (row !== undefined) {
      void this.select(row.number);
      return Promise.resolve(row.number);
    }
    this.setFollow(false);
    const arrived = this.#await(position);
    this.#reveal(position);
    return arrived;
  }

  #await(position: number | "last"): Promise<number | undefined> {
    this.#clearAwaited();
    this.#awaited = position;
    const arrived = new Promise<number | undefined>((resolve) => (this.#arrived = resolve));
    this.#turn = arrived;
    return arrived;
  }

  #clearAwaited(): void {
    this.#awaited = undefined;
    this.#arrived?.(undefined);
    this.#arrived = undefined;
  }

  /** Returns the position of the selection in the view. */
  async #from(): Promise<{ readonly position: number; readonly exact: boolean } | undefined> {
    if (this.#awaited === "last") return { position: this.status.end - 1, exact: true };
    if (this.#awaited !== undefined) return { position: this.#awaited, exact: true };
    if (this.selected === undefined) return undefined;
    const position = this.model.positionOf(this.selected);
    if (position !== undefined) return { position, exact: true };
    const found = await this.#decoder.ask("locate", { number: this.selected });
    return found?.epoch === this.status.epoch ? found : undefined;
  }

  /** Brings the anchor to its old place in a new view. */
  async #keepPlace(): Promise<void> {
    const { lost } = this.model;
    if (lost === undefined || this.#locating) return;
    this.#locating = true;
    const found = await this.#decoder.ask("locate", { number: lost.number });
    this.#locating = false;
    const { status } = this;
    if (this.model.lost !== lost) void this.#keepPlace();
    else if (found?.epoch === status.epoch) {
      this.model.place(found.position, found.exact, status.scanning === undefined);
    } else if (found !== undefined && found.epoch < status.epoch) void this.#keepPlace();
    else if (found === undefined && status.scanning === undefined) this.model.place(status.end, false, true);
    this.#draw();
  }
}
