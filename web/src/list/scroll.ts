/**
 * The scroll position of a list of fixed-height rows. Browsers cap an element at some 33 million pixels, so a long
 * list is mapped onto a shorter scroll bar: `position` is in the list's own pixels, `bar` in the scroll bar's.
 */

export const LONGEST_BAR = 8_000_000;

export class ScrollModel {
  readonly rowHeight: number;
  readonly #longest: number;
  #count = 0;
  #viewport = 0;
  #position = 0;
  #bar = 0;

  constructor(rowHeight: number, longest = LONGEST_BAR) {
    this.rowHeight = rowHeight;
    this.#longest = longest;
  }

  get count(): number {
    return this.#count;
  }

  get viewport(): number {
    return this.#viewport;
  }

  /** Pixels of the list above the viewport. */
  get position(): number {
    return this.#position;
  }

  /** Returns the scroll bar's position for this one. */
  get bar(): number {
    return this.#bar;
  }

  /** Returns the height of the element that the scroll bar scrolls. */
  get barHeight(): number {
    return Math.min(this.#height, this.#longest);
  }

  /** Returns whether the scroll bar cannot show every pixel of the list. */
  get scaled(): boolean {
    return this.#height > this.#longest;
  }

  get atEnd(): boolean {
    return this.#position >= this.#farthest - 1;
  }

  get #height(): number {
    return this.#count * this.rowHeight;
  }

  get #farthest(): number {
    return Math.max(0, this.#height - this.#viewport);
  }

  get #farthestBar(): number {
    return Math.max(0, this.barHeight - this.#viewport);
  }

  setCount(count: number): void {
    this.#count = count;
    this.moveTo(this.#position);
  }

  setViewport(height: number): void {
    this.#viewport = height;
    this.moveTo(this.#position);
  }

  moveTo(position: number): void {
    this.#position = Math.min(Math.max(0, position), this.#farthest);
    this.#bar = this.#farthest === 0 ? 0 : Math.round((this.#position / this.#farthest) * this.#farthestBar);
  }

  moveBy(pixels: number): void {
    this.moveTo(this.#position + pixels);
  }

  moveToEnd(): void {
    this.moveTo(this.#farthest);
  }

  /**
   * Handles a move of the scroll bar. A short way is a turn of the wheel or a finger and moves the list by as many of
   * its own pixels; a long way is a drag of the thumb and moves it in proportion.
   */
  barMovedTo(bar: number): void {
    const by = bar - this.#bar;
    if (by === 0) return;
    if (!this.scaled) this.#position = Math.min(Math.max(0, bar), this.#farthest);
    else if (bar <= 0) this.#position = 0;
    else if (bar >= this.#farthestBar - 1) this.#position = this.#farthest;
    else if (Math.abs(by) < this.#viewport) this.moveBy(by);
    else this.#position = (bar / this.#farthestBar) * this.#farthest;
    this.#bar = bar;
  }

  /** Moves as little as is needed to show the whole row. */
  reveal(index: number): void {
    const top = index * this.rowHeight;
    if (top < this.#position) this.moveTo(top);
    else if (top + this.rowHeight > this.#position + this.#viewport) {
      this.moveTo(top + this.rowHeight - this.#viewport);
    }
  }

  /** Rows of which any pixel can be seen, `end` exclusive. */
  visible(): { readonly start: number; readonly end: number } {
    return {
      start: Math.floor(this.#position / this.rowHeight),
      end: Math.min(this.#count, Math.ceil((this.#position + this.#viewport) / this.rowHeight)),
    };
  }

  /** Pixels from the viewport's top to the row's. */
  offset(index: number): number {
    return index * this.rowHeight - this.#position;
  }

  /** Returns the number of whole rows that fit. */
  get page(): number {
    return Math.max(1, Math.floor(this.#viewport / this.rowHeight));
  }
}
