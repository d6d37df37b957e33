/** The list of frames: rows of the store by number, selection, and following the newest. */

import type { StoredRow } from "../store/store";
import { count, delta, plural, roundTrip, seconds } from "../text/format";
import { VirtualRows } from "./rows";

export const ROW_HEIGHT = 22;

/** The part of the store that is shown: rows from `first` to before `end`. */
export interface View {
  readonly first: number;
  readonly end: number;
  /** Rows dropped before `first`; they are shown as one row that says so. */
  readonly dropped: number;
}

export interface GridEvents {
  selected(number: number): void;
  jump(number: number): void;
  followed(follow: boolean): void;
}

export const COLUMNS = ["No.", "Time", "Δ", "Conn", "Dir", "Head", "RTT", "Len", "Summary"] as const;
const NAMES = ["no", "time", "delta", "conn", "dir", "head", "rtt", "len", "summary"] as const;

export function cellClass(column: number): string {
  return `cell ${NAMES[column]}`;
}

export function rowId(number: number): string {
  return `frame-${number}`;
}

export class FrameGrid {
  readonly #rows: VirtualRows;
  readonly #scroller: HTMLElement;
  readonly #lookup: (number: number) => StoredRow | undefined;
  readonly #origin: () => number;
  readonly #events: GridEvents;
  #view: View = { first: 1, end: 1, dropped: 0 };
  #selected: number | undefined;
  #pair: number | undefined;
  #follow = true;

  constructor(
    scroller: HTMLElement,
    lookup: (number: number) => StoredRow | undefined,
    origin: () => number,
    events: GridEvents,
  ) {
    this.#scroller = scroller;
    this.#lookup = lookup;
    this.#origin = origin;
    this.#events = events;
    this.#rows = new VirtualRows(scroller, ROW_HEIGHT, {
      create: createRow,
      paint: (element, index) => this.#paint(element, index),
    });
    this.#rows.onscroll = () => this.#setFollow(this.#rows.model.atEnd);
    scroller.addEventListener("click", this.#clicked);
  }

  /** Whole rows that fit. */
  get page(): number {
    return this.#rows.model.page;
  }

  update(view: View, selected: number | undefined, follow: boolean): void {
    const { model } = this.#rows;
    const before = this.#view;
    // What is dropped above must not move what is looked at.
    const gone = view.first - before.first - (marker(view) - marker(before));
    const position = model.position;
    this.#view = view;
    this.#selected = selected;
    this.#pair = selected === undefined ? undefined : this.#lookup(selected)?.pair;
    this.#follow = follow;
    model.setCount(view.end - view.first + marker(view));
    if (follow) model.moveToEnd();
    else if (gone !== 0) model.moveTo(position - gone * ROW_HEIGHT);
    this.#rows.draw();
  }

  /** Scroll as little as is needed to show the row. */
  reveal(number: number): void {
    this.#rows.model.reveal(this.#index(number));
    this.#rows.draw();
  }

  /** The row can be seen, so it is in the document. */
  shows(number: number): boolean {
    const { start, end } = this.#rows.model.visible();
    const index = this.#index(number);
    return index >= start && index < end;
  }

  destroy(): void {
    this.#scroller.removeEventListener("click", this.#clicked);
    this.#rows.destroy();
  }

  #index(number: number): number {
    return number - this.#view.first + marker(this.#view);
  }

  #setFollow(follow: boolean): void {
    if (follow === this.#follow) return;
    this.#follow = follow;
    this.#events.followed(follow);
  }

  readonly #clicked = (event: MouseEvent): void => {
    const element = event.target instanceof Element ? event.target : undefined;
    const number = Number(element?.closest<HTMLElement>("[data-number]")?.dataset["number"]);
    if (!Number.isInteger(number) || number < 1) return;
    const pair = Number(element?.closest<HTMLElement>("[data-pair]")?.dataset["pair"]);
    if (Number.isInteger(pair) && pair > 0) this.#events.jump(pair);
    else this.#events.selected(number);
  };

  #paint(element: HTMLElement, index: number): void {
    const { first, dropped } = this.#view;
    element.setAttribute("aria-rowindex", String(index + 2));
    const number = first + index - marker(this.#view);
    const row = number < first ? undefined : this.#lookup(number);
    if (row === undefined) {
      paintMarker(element, `${plural(dropped, "row")} dropped here: the memory for captured traffic is full`);
      return;
    }
    const previous = this.#lookup(number - 1);
    const selected = number === this.#selected;
    element.id = rowId(number);
    element.dataset["number"] = String(number);
    element.className = rowClass(row, selected, number === this.#pair);
    element.setAttribute("aria-selected", String(selected));
    const note = row.kind === "note";
    const answered = row.direction === "out" && row.pair !== undefined;
    setCells(element, [
      String(number),
      seconds(row.time - this.#origin()),
      previous === undefined ? "" : delta(row.time - previous.time),
      `#${row.connection}`,
      note ? "" : directionText(row),
      row.bad ? `! ${row.head}` : row.head,
      row.rtt !== undefined ? roundTrip(row.rtt) : answered ? `↘${row.pair}` : "",
      note ? "" : count(row.length),
      row.summary,
    ]);
    const rtt = element.children[6] as HTMLElement;
    if (row.pair === undefined) delete rtt.dataset["pair"];
    else rtt.dataset["pair"] = String(row.pair);
  }
}

function marker(view: View): number {
  return view.dropped > 0 ? 1 : 0;
}

function directionText(row: StoredRow): string {
  if (row.direction === "out") return "→ out";
  return row.push ? "← push" : "← in";
}

function rowClass(row: StoredRow, selected: boolean, pair: boolean): string {
  const classes = ["row", row.kind, row.direction];
  if (row.push) classes.push("push");
  if (row.bad) classes.push("bad");
  if (selected) classes.push("selected");
  if (pair) classes.push("pair");
  return classes.join(" ");
}

function createRow(): HTMLElement {
  const row = document.createElement("div");
  row.setAttribute("role", "row");
  COLUMNS.forEach((_, column) => {
    const cell = document.createElement("span");
    cell.setAttribute("role", "gridcell");
    cell.setAttribute("aria-colindex", String(column + 1));
    cell.className = cellClass(column);
    // A text node of its own: nothing from a peer ever goes through a parser of HTML.
    cell.append(document.createTextNode(""));
    row.append(cell);
  });
  return row;
}

function setCells(element: HTMLElement, texts: readonly string[]): void {
  texts.forEach((text, column) => {
    const node = element.children[column].firstChild as Text;
    if (node.data !== text) node.data = text;
  });
}

function paintMarker(element: HTMLElement, text: string): void {
  element.removeAttribute("id");
  delete element.dataset["number"];
  element.className = "row dropped";
  element.setAttribute("aria-selected", "false");
  setCells(element, ["", "", "", "", "", "", "", "", text]);
  delete (element.children[6] as HTMLElement).dataset["pair"];
}
