/** The list of frames as elements: rows, their cells, and what a click on one means. */

import type { ListRow } from "../decode/messages";
import { count, delta, plural, roundTrip, seconds } from "../text/format";
import type { ListModel, Look } from "./model";
import { VirtualRows } from "./rows";

export const ROW_HEIGHT = 22;

export interface GridEvents {
  selected(number: number): void;
  jump(number: number): void;
  /** Handles a scroll by the person. */
  scrolled(): void;
  /** Asks for other rows. */
  look(look: Look): void;
  /** Notes that the document shows other rows than before. */
  painted(): void;
}

/** Which rows stand out from the others. */
export interface Picked {
  readonly selected: number | undefined;
  /** The request or the answer of the selected one. */
  readonly pair: number | undefined;
}

export const COLUMNS = ["No.", "Time", "Δ", "Conn", "Dir", "Head", "RTT", "Len", "Summary"] as const;
const NAMES = ["no", "time", "delta", "conn", "dir", "head", "rtt", "len", "summary"] as const;
const RTT = NAMES.indexOf("rtt");

export function cellClass(column: number): string {
  return `cell ${NAMES[column]}`;
}

export function rowId(number: number): string {
  return `frame-${number}`;
}

export class FrameGrid {
  readonly #rows: VirtualRows;
  readonly #scroller: HTMLElement;
  readonly #model: ListModel;
  readonly #events: GridEvents;
  #picked: Picked = { selected: undefined, pair: undefined };

  constructor(scroller: HTMLElement, model: ListModel, events: GridEvents) {
    this.#scroller = scroller;
    this.#model = model;
    this.#events = events;
    this.#rows = new VirtualRows(scroller, model.scroll, {
      create: createRow,
      paint: (element, index) => this.#paint(element, index),
      ready: () => this.#ready(),
      painted: () => events.painted(),
    });
    this.#rows.onscroll = () => events.scrolled();
    this.#rows.onmeasure = () => model.measured();
    scroller.addEventListener("click", this.#clicked);
    model.measured();
  }

  /** Returns the number of whole rows that fit. */
  get page(): number {
    return this.#model.scroll.page;
  }

  /** Draws the current state of the model. */
  draw(picked: Picked): void {
    this.#picked = picked;
    this.#rows.draw();
  }

  /** Returns whether the row is in the document. */
  shows(number: number): boolean {
    return document.getElementById(rowId(number)) !== null;
  }

  destroy(): void {
    this.#scroller.removeEventListener("click", this.#clicked);
    this.#rows.destroy();
  }

  /** Asks for what is missing; whether all is there. */
  #ready(): boolean {
    const look = this.#model.ask();
    if (look !== undefined) this.#events.look(look);
    return this.#model.complete;
  }

  readonly #clicked = (event: MouseEvent): void => {
    const element = event.target instanceof Element ? event.target : undefined;
    const number = Number(element?.closest<HTMLElement>("[data-number]")?.dataset["number"]);
    if (!Number.isInteger(number)) return;
    const pair = element?.closest<HTMLElement>("[data-pair]")?.dataset["pair"];
    if (pair !== undefined) this.#events.jump(Number(pair));
    else this.#events.selected(number);
  };

  #paint(element: HTMLElement, index: number): void {
    element.setAttribute("aria-rowindex", String(index + 2));
    if (index < this.#model.markers) {
      const { dropped } = this.#model.extent;
      const text = `${plural(dropped, "older row")} dropped: the memory for captured traffic is full`;
      paintEmpty(element, "gap", text);
      return;
    }
    const row = this.#model.at(index);
    if (row === undefined) {
      paintEmpty(element, "late", "…");
      return;
    }
    const { selected, pair } = this.#picked;
    element.id = rowId(row.number);
    element.dataset["number"] = String(row.number);
    setClass(element, rowClass(row, row.number === selected, row.number === pair));
    element.setAttribute("aria-selected", String(row.number === selected));
    setCells(element, cells(row));
    const rtt = element.children[RTT] as HTMLElement;
    if (row.pair === undefined) delete rtt.dataset["pair"];
    else rtt.dataset["pair"] = String(row.pair);
  }
}

/** Returns the texts of a row's cells. */
export function cells(row: ListRow): readonly string[] {
  const traffic = row.kind !== "note" && row.kind !== "gap";
  const answered = row.direction === "out" && row.pair !== undefined;
  return [
    row.marked ? `◆${row.number}` : String(row.number),
    row.timed === false ? "" : seconds(row.time),
    row.delta === undefined ? "" : delta(row.delta),
    `#${row.connection}`,
    traffic ? directionText(row) : "",
    row.bad ? `! ${row.head}` : row.head,
    row.rtt !== undefined ? roundTrip(row.rtt) : answered ? `↘${row.pair}` : "",
    traffic ? count(row.length) : "",
    row.summary,
  ];
}

function directionText(row: ListRow): string {
  if (row.direction === "out") return "→ out";
  return row.push ? "← push" : "← in";
}

function rowClass(row: ListRow, selected: boolean, pair: boolean): string {
  const classes = ["row", row.kind, row.direction];
  if (row.push) classes.push("push");
  if (row.bad) classes.push("bad");
  if (row.marked) classes.push("marked");
  if (row.highlighted) classes.push("lit");
  if (selected) classes.push("selected");
  if (pair) classes.push("paired");
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

function setClass(element: HTMLElement, name: string): void {
  if (element.className !== name) element.className = name;
}

/** Paints a line that stands for no row. */
function paintEmpty(element: HTMLElement, name: string, text: string): void {
  element.removeAttribute("id");
  delete element.dataset["number"];
  setClass(element, `row ${name}`);
  element.setAttribute("aria-selected", "false");
  setCells(element, ["", "", "", "", "", "", "", "", text]);
  delete (element.children[RTT] as HTMLElement).dataset["pair"];
}
