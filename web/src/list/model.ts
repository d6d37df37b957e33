/**
 * The list's part of a view that lives in the worker: its scroll position, the rows that it must ask for, and whether
 * those that it has are enough for a picture. Positions are the view's, indexes are lines of the list.
 */

import type { ListRow, Status } from "../decode/messages";
import { ScrollModel } from "./scroll";
import { RowWindow } from "./window";

/** The rows that the worker is asked to keep sending. */
export interface Look {
  readonly position: number;
  readonly count: number;
  readonly follow: boolean;
}

/** A row and how many pixels below the upper edge it stands. */
export interface Place {
  readonly number: number;
  readonly offset: number;
}

export type Extent = Pick<Status, "epoch" | "begin" | "end" | "dropped">;

export class ListModel {
  readonly scroll: ScrollModel;
  #extent: Extent = { epoch: 0, begin: 0, end: 0, dropped: 0 };
  #window = new RowWindow();
  #follow = true;
  #look: Look = { position: 0, count: 0, follow: true };
  /** The end of the view when following began: rows from before that are not the newest. */
  #goal = 0;
  /** The row that stays where it is when the view is made anew. */
  #anchor: Place | undefined;
  /** The view is new, and where the anchor stands in it is not known yet. */
  #lost = false;

  constructor(rowHeight: number) {
    this.scroll = new ScrollModel(rowHeight);
  }

  get extent(): Extent {
    return this.#extent;
  }

  get follow(): boolean {
    return this.#follow;
  }

  /** Lines before the first row: one, if rows were dropped, that says so. */
  get markers(): number {
    return this.#extent.dropped > 0 ? 1 : 0;
  }

  get lines(): number {
    return this.#extent.end - this.#extent.begin + this.markers;
  }

  /** Returns the anchor whose place in the new view is to be set by `place`. */
  get lost(): Place | undefined {
    return this.#lost ? this.#anchor : undefined;
  }

  /** Returns the row at a line, if it is held. */
  at(index: number): ListRow | undefined {
    return this.#window.epoch === this.#extent.epoch ? this.#window.at(this.positionAt(index)) : undefined;
  }

  /** Returns the newest row, while the list follows and knows it. */
  get newest(): ListRow | undefined {
    return this.#follow && this.#newestKnown ? this.#window.rows.at(-1) : undefined;
  }

  /** Returns the row with this number, if it is held. */
  row(number: number): ListRow | undefined {
    const position = this.positionOf(number);
    return position === undefined ? undefined : this.#window.at(position);
  }

  positionOf(number: number): number | undefined {
    return this.#window.epoch === this.#extent.epoch ? this.#window.positionOf(number) : undefined;
  }

  positionAt(index: number): number {
    return index - this.markers + this.#extent.begin;
  }

  indexOf(position: number): number {
    return position - this.#extent.begin + this.markers;
  }

  /** Handles a change of the room for rows. */
  measured(): void {
    this.#settle(this.scroll.position);
  }

  setFollow(follow: boolean): void {
    if (follow === this.#follow) return;
    this.#follow = follow;
    this.#goal = this.#extent.end;
    this.#anchor = undefined;
    this.#lost = false;
    this.#settle(this.scroll.position);
  }

  /** Drops all rows: the list goes on from its top, or follows new rows. */
  reset(follow: boolean): void {
    this.#window = new RowWindow();
    this.#anchor = undefined;
    this.#lost = false;
    this.#follow = follow;
    this.#goal = 0;
    this.#settle(0);
  }

  /** Returns the position after the last row that can be seen whole. */
  get endInSight(): number {
    const { position, viewport, rowHeight } = this.scroll;
    const end = this.positionAt(Math.floor((position + viewport) / rowHeight));
    return Math.min(Math.max(this.#extent.begin, end), this.#extent.end);
  }

  /** Handles a scroll by the person; returns whether the list follows now. */
  scrolled(): boolean {
    this.#anchor = undefined;
    this.#lost = false;
    if (this.scroll.atEnd !== this.#follow) this.setFollow(this.scroll.atEnd);
    return this.#follow;
  }

  /** Takes the view's new extent. */
  setExtent(extent: Extent): void {
    const before = this.#extent;
    const markers = this.markers;
    if (extent.epoch !== before.epoch) {
      if (!this.#follow && extent.epoch > 0) this.#lost = this.#anchorAnywhere() !== undefined;
      this.#extent = extent;
      this.#goal = 0;
      this.#settle(this.scroll.position);
      return;
    }
    this.#extent = extent;
    // Rows dropped above must not move the rows in sight.
    const gone = extent.begin - before.begin - (this.markers - markers);
    this.#settle(this.scroll.position - gone * this.scroll.rowHeight);
  }

  /** Takes rows from the worker. */
  setWindow(window: RowWindow): void {
    // A window of a view that has been replaced since tells nothing.
    if (window.epoch < this.#extent.epoch) return;
    this.#window = window;
    if (this.#follow) this.#settle(this.scroll.position);
  }

  /** Keeps this row in place when the view is made anew. */
  anchor(number: number): void {
    const position = this.positionOf(number);
    if (position === undefined) return;
    const offset = this.scroll.offset(this.indexOf(position));
    if (offset <= -this.scroll.rowHeight || offset >= this.scroll.viewport) return;
    this.#anchor = { number, offset };
  }

  /**
   * Sets the position of the anchor, or of the row that stands for it. `whole` if the view has all its rows: until
   * then a row that is not the anchor itself is only a guess, and rows to fill the picture below may be missing.
   */
  place(position: number, exact: boolean, whole: boolean): void {
    if (this.#anchor === undefined) return;
    const wanted = this.indexOf(position) * this.scroll.rowHeight - this.#anchor.offset;
    this.#settle(wanted);
    this.#lost = !whole && !(exact && this.scroll.position === wanted);
  }

  /** Scrolls as little as is needed to show the row at a position. */
  reveal(position: number): void {
    this.#anchor = undefined;
    this.#lost = false;
    this.scroll.reveal(this.indexOf(position));
  }

  /** Returns whether the rows for the lines in sight are there. */
  get complete(): boolean {
    if (this.#lost) return false;
    const { start, end } = this.#visiblePositions();
    if (start < end && this.#window.epoch !== this.#extent.epoch) return false;
    return this.#window.covers(start, end);
  }

  /** Returns the rows to ask the worker for, if they are not those asked for last. */
  ask(): Look | undefined {
    const page = this.scroll.page + 1;
    const { start, end } = this.#visiblePositions();
    const { begin } = this.#extent;
    const near = Math.floor(page / 2);
    const asked = this.#look;
    // A page above and below is held as well, so that short ways show at once.
    const wanted: Look = this.#follow
      ? { position: 0, count: 2 * page, follow: true }
      : { position: Math.max(begin, start - page), count: 3 * page, follow: false };
    const enough =
      asked.follow === wanted.follow &&
      asked.count === wanted.count &&
      (wanted.follow ||
        (Math.max(begin, start - near) >= asked.position && end + near <= asked.position + asked.count));
    if (enough) return undefined;
    this.#look = wanted;
    return wanted;
  }

  /** Returns the chosen anchor, or else the topmost row. */
  #anchorAnywhere(): Place | undefined {
    if (this.#anchor !== undefined) return this.#anchor;
    const { start, end } = this.scroll.visible();
    for (let index = start; index < end; index += 1) {
      const row = this.at(index);
      if (row !== undefined) {
        this.#anchor = { number: row.number, offset: this.scroll.offset(index) };
        break;
      }
    }
    return this.#anchor;
  }

  get #newestKnown(): boolean {
    const { epoch, begin } = this.#extent;
    return this.#window.epoch === epoch && this.#window.end >= Math.max(this.#goal, begin + 1);
  }

  #visiblePositions(): { readonly start: number; readonly end: number } {
    const { start, end } = this.scroll.visible();
    return { start: Math.max(this.#extent.begin, this.positionAt(start)), end: this.positionAt(end) };
  }

  /**
   * Sets the number of lines and the scroll position. While the list follows, the last row that has come is the last
   * line, so that a picture can be made.
   */
  #settle(position: number): void {
    const { begin } = this.#extent;
    const known = this.#follow && this.#newestKnown;
    this.scroll.setCount(known ? this.#window.end - begin + this.markers : this.lines);
    if (this.#follow) this.scroll.moveToEnd();
    else this.scroll.moveTo(position);
  }
}
