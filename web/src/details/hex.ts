/** The bytes of a frame as offset, hexadecimal and text, one line at a time. */

import type { Range } from "../decode/messages";
import { VirtualRows } from "../list/rows";
import { ScrollModel } from "../list/scroll";
import { hexByte } from "../text/format";
import { tokenAt } from "./tokens";
import type { Frame } from "../decode/messages";

export const LINE_HEIGHT = 20;

/** The most bytes to a line. */
export const WIDEST = 16;

export interface HexEvents {
  hovered(offset: number | undefined): void;
  chosen(offset: number): void;
  /** Notes the number of bytes in a line. */
  measured(columns: number): void;
}

/** The marks of the bytes. */
export interface Marks {
  readonly highlight: Range | undefined;
  readonly cursor: number;
}

const NO_TOKENS = new Float64Array(0);

/** Bytes to a line: as many as fit, in steps that keep offsets readable. */
export function bytesPerLine(width: number, character: number): number {
  // Offset and gaps take 10 characters; a byte takes three in hexadecimal and one as text.
  const fit = Math.floor((width / character - 10) / 4);
  return fit >= WIDEST ? WIDEST : fit >= 8 ? 8 : 4;
}

export function byteId(offset: number): string {
  return `byte-${offset}`;
}

export class HexView {
  readonly #rows: VirtualRows;
  readonly #scroller: HTMLElement;
  readonly #events: HexEvents;
  readonly #observer: ResizeObserver;
  #frame: Frame | undefined;
  #marks: Marks = { highlight: undefined, cursor: 0 };
  #columns = WIDEST;
  /** Offsets at which a read begins, and after which one ends. */
  #begins = new Set<number>();
  #ends = new Set<number>();

  constructor(scroller: HTMLElement, events: HexEvents) {
    this.#scroller = scroller;
    this.#events = events;
    this.#rows = new VirtualRows(scroller, new ScrollModel(LINE_HEIGHT), {
      create: () => this.#createLine(),
      paint: (element, index) => this.#paint(element, index),
    });
    this.#observer = new ResizeObserver(() => this.#measure());
    this.#observer.observe(scroller);
    scroller.addEventListener("pointerover", this.#over);
    scroller.addEventListener("pointerleave", this.#left);
    scroller.addEventListener("click", this.#clicked);
  }

  get columns(): number {
    return this.#columns;
  }

  /** Returns the number of whole lines that fit. */
  get page(): number {
    return this.#rows.model.page;
  }

  load(frame: Frame | undefined): void {
    const other = frame?.row.number !== this.#frame?.row.number;
    this.#frame = frame;
    this.#begins = new Set();
    this.#ends = new Set();
    for (const read of frame?.reads ?? []) {
      if (read.begins) this.#begins.add(read.start);
      if (read.ends) this.#ends.add(read.end - 1);
    }
    this.#count();
    if (other) this.#rows.model.moveTo(0);
    this.#rows.draw();
  }

  mark(marks: Marks): void {
    this.#marks = marks;
    this.#rows.draw();
  }

  reveal(offset: number): void {
    this.#rows.model.reveal(Math.floor(offset / this.#columns));
    this.#rows.draw();
  }

  destroy(): void {
    this.#observer.disconnect();
    this.#scroller.removeEventListener("pointerover", this.#over);
    this.#scroller.removeEventListener("pointerleave", this.#left);
    this.#scroller.removeEventListener("click", this.#clicked);
    this.#rows.destroy();
  }

  #count(): void {
    this.#rows.model.setCount(Math.ceil((this.#frame?.bytes.length ?? 0) / this.#columns));
  }

  #measure(): void {
    const probe = document.createElement("span");
    probe.className = "probe";
    probe.textContent = "0".repeat(100);
    this.#scroller.append(probe);
    const columns = bytesPerLine(this.#scroller.clientWidth, probe.getBoundingClientRect().width / 100);
    probe.remove();
    if (columns === this.#columns) return;
    this.#columns = columns;
    this.#events.measured(columns);
    this.#count();
    this.#rows.model.reveal(Math.floor(this.#marks.cursor / columns));
    this.#rows.draw();
  }

  #createLine(): HTMLElement {
    const line = document.createElement("div");
    line.setAttribute("role", "row");
    line.className = "line";
    const offset = document.createElement("span");
    offset.setAttribute("role", "rowheader");
    offset.className = "offset";
    const text = document.createElement("span");
    text.setAttribute("aria-hidden", "true");
    text.className = "ascii";
    line.append(offset, text);
    return line;
  }

  #paint(line: HTMLElement, index: number): void {
    const bytes = this.#frame?.bytes ?? new Uint8Array(0);
    const start = index * this.#columns;
    const [offset, text] = [line.firstElementChild as HTMLElement, line.lastElementChild as HTMLElement];
    line.setAttribute("aria-rowindex", String(index + 1));
    setText(offset, start.toString(16).padStart(4, "0"));
    while (text.childElementCount < this.#columns) {
      const cell = document.createElement("span");
      cell.setAttribute("role", "gridcell");
      text.before(cell);
      text.append(document.createElement("span"));
    }
    while (text.childElementCount > this.#columns) {
      text.previousElementSibling?.remove();
      text.lastElementChild?.remove();
    }
    for (let column = 0; column < this.#columns; column += 1) {
      const cell = line.children[column + 1] as HTMLElement;
      const letter = text.children[column] as HTMLElement;
      const at = start + column;
      const there = at < bytes.length;
      const value = bytes[at];
      setText(cell, there ? hexByte(value) : "");
      setText(letter, there ? (value >= 0x20 && value < 0x7f ? String.fromCharCode(value) : "·") : "");
      const name = there ? this.#className(at) : "";
      setClass(cell, `b ${name}${column % 8 === 0 && column > 0 ? " gap" : ""}`);
      setClass(letter, `a ${name}`);
      if (there) {
        cell.id = byteId(at);
        cell.dataset["at"] = letter.dataset["at"] = String(at);
      } else {
        cell.removeAttribute("id");
        delete cell.dataset["at"];
        delete letter.dataset["at"];
      }
    }
  }

  #className(at: number): string {
    const frame = this.#frame;
    const { highlight, cursor } = this.#marks;
    const classes = [`t${tokenAt(frame?.detail?.tokens ?? NO_TOKENS, at)}`];
    if (highlight !== undefined && at >= highlight.start && at < highlight.end) classes.push("hl");
    if (at === cursor) classes.push("cursor");
    if (at === frame?.fault?.at) classes.push("fault-byte");
    if (this.#begins.has(at)) classes.push("read-start");
    if (this.#ends.has(at)) classes.push("read-end");
    return classes.join(" ");
  }

  #offsetOf(event: Event): number | undefined {
    const at = event.target instanceof HTMLElement ? event.target.dataset["at"] : undefined;
    return at === undefined ? undefined : Number(at);
  }

  readonly #over = (event: Event): void => this.#events.hovered(this.#offsetOf(event));

  readonly #left = (): void => this.#events.hovered(undefined);

  readonly #clicked = (event: Event): void => {
    const at = this.#offsetOf(event);
    if (at !== undefined) this.#events.chosen(at);
  };
}

function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

function setClass(element: HTMLElement, name: string): void {
  if (element.className !== name) element.className = name;
}
