/** Draws the rows of a long list that can be seen, with as many elements as fit, used again and again. */

import { ScrollModel } from "./scroll";

export interface RowPainter {
  /** Makes an empty row. */
  create(): HTMLElement;
  /** Fills it for the row at `index`. */
  paint(element: HTMLElement, index: number): void;
  /** Returns whether the rows to paint are there. While they are on their way the picture stays as it was. */
  ready?(): boolean;
  /** All that can be seen was painted. */
  painted?(): void;
}

/** A picture that is late for so long is made of what is there. */
const MAX_WAIT_MS = 250;

export class VirtualRows {
  readonly model: ScrollModel;
  /** Called when the person scrolled. */
  onscroll: () => void = () => undefined;
  /** Called when the room for rows has changed. */
  onmeasure: () => void = () => undefined;

  readonly #scroller: HTMLElement;
  readonly #painter: RowPainter;
  readonly #bar: HTMLElement;
  readonly #layer: HTMLElement;
  readonly #observer: ResizeObserver;
  #pool: HTMLElement[] = [];
  /** The scroll bar's last position. */
  #placed = 0;
  #late: ReturnType<typeof setTimeout> | undefined;

  /** `scroller` must be positioned and scroll vertically; its own content is made here. */
  constructor(scroller: HTMLElement, model: ScrollModel, painter: RowPainter) {
    this.model = model;
    this.#scroller = scroller;
    this.#painter = painter;
    this.#layer = document.createElement("div");
    this.#layer.className = "rows-layer";
    this.#bar = document.createElement("div");
    this.#bar.className = "rows-bar";
    scroller.append(this.#layer, this.#bar);
    scroller.addEventListener("scroll", this.#scrolled, { passive: true });
    scroller.addEventListener("wheel", this.#wheel, { passive: false });
    this.#observer = new ResizeObserver(() => {
      this.#measure();
      this.onmeasure();
      this.draw();
    });
    this.#observer.observe(scroller);
    this.#measure();
  }

  /** Shows the model as it stands now. */
  draw(): void {
    const { model } = this;
    this.#bar.style.height = `${model.barHeight}px`;
    if (Math.round(this.#scroller.scrollTop) !== model.bar) this.#scroller.scrollTop = model.bar;
    this.#placed = Math.round(this.#scroller.scrollTop);
    if (this.#painter.ready?.() === false) {
      this.#late ??= setTimeout(() => this.#paint(), MAX_WAIT_MS);
      return;
    }
    this.#paint();
  }

  #paint(): void {
    clearTimeout(this.#late);
    this.#late = undefined;
    const { model } = this;
    const { start, end } = model.visible();
    while (this.#pool.length < end - start) {
      const element = this.#painter.create();
      this.#pool.push(element);
      this.#layer.append(element);
    }
    // None stays behind unseen: it would carry the id of a row that another element may show by now.
    for (const element of this.#pool.splice(end - start)) element.remove();
    this.#pool.forEach((element, i) => {
      const index = start + i;
      element.style.transform = `translateY(${model.offset(index)}px)`;
      this.#painter.paint(element, index);
    });
    this.#painter.painted?.();
  }

  destroy(): void {
    clearTimeout(this.#late);
    this.#observer.disconnect();
    this.#scroller.removeEventListener("scroll", this.#scrolled);
    this.#scroller.removeEventListener("wheel", this.#wheel);
    this.#scroller.replaceChildren();
  }

  #measure(): void {
    const height = this.#scroller.clientHeight;
    this.model.setViewport(height);
    // The layer always covers the viewport and takes no room in what is scrolled.
    this.#layer.style.height = `${height}px`;
    this.#bar.style.marginTop = `${-height}px`;
  }

  readonly #scrolled = (): void => {
    const bar = Math.round(this.#scroller.scrollTop);
    // The event of a move that was made here may come when the model has gone on.
    if (bar === this.model.bar || bar === this.#placed) return;
    this.model.barMovedTo(bar);
    this.onscroll();
    this.draw();
  };

  /** On a scaled list one turn of the wheel would jump over hundreds of rows, so it is carried out here. */
  readonly #wheel = (event: WheelEvent): void => {
    if (!this.model.scaled || event.ctrlKey || event.deltaY === 0) return;
    event.preventDefault();
    const unit =
      event.deltaMode === 1 ? this.model.rowHeight : event.deltaMode === 2 ? this.model.viewport : 1;
    this.model.moveBy(event.deltaY * unit);
    this.onscroll();
    this.draw();
  };
}
