/** Draws the visible rows of a long list. Its elements are reused. */

import { ScrollModel } from "./scroll";

export interface RowPainter {
  /** Creates an empty row. */
  create(): HTMLElement;
  /** Fills an element with the row at `index`. */
  paint(element: HTMLElement, index: number): void;
  /** Returns whether the rows to paint have arrived. Until then the last picture stays. */
  ready?(): boolean;
  /** Called after all visible rows were painted. */
  painted?(): void;
}

/** The time after which a picture is painted without the missing rows. */
const MAX_WAIT_MS = 250;

export class VirtualRows {
  readonly model: ScrollModel;
  /** Called when the user has scrolled. */
  onscroll: () => void = () => undefined;
  /** Called when the height of the viewport has changed. */
  onmeasure: () => void = () => undefined;

  readonly #scroller: HTMLElement;
  readonly #painter: RowPainter;
  readonly #bar: HTMLElement;
  readonly #layer: HTMLElement;
  readonly #observer: ResizeObserver;
  #pool: HTMLElement[] = [];
  /** The scroll position last set by this class. */
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

  /** Draws the current state of the model. */
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
    // Surplus elements are removed, not hidden: they would have ids of rows that other elements show.
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
    // The layer always covers the viewport and adds no height to the scrolled content.
    this.#layer.style.height = `${height}px`;
    this.#bar.style.marginTop = `${-height}px`;
  }

  readonly #scrolled = (): void => {
    const bar = Math.round(this.#scroller.scrollTop);
    // The event of a programmatic scroll may arrive after the model has changed.
    if (bar === this.model.bar || bar === this.#placed) return;
    this.model.barMovedTo(bar);
    this.onscroll();
    this.draw();
  };

  /** Scrolls by the wheel: on a scaled list the native step would jump over hundreds of rows. */
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
