import { describe, expect, test } from "vitest";
import { LONGEST_BAR, ScrollModel } from "../src/list/scroll";
import { random } from "./fakes";

const ROW = 22;
const VIEW = 440;

function list(count: number): ScrollModel {
  const model = new ScrollModel(ROW);
  model.setViewport(VIEW);
  model.setCount(count);
  return model;
}

describe("a short list", () => {
  test("scrolls pixel by pixel", () => {
    const model = list(1000);
    expect(model.scaled).toBe(false);
    expect(model.barHeight).toBe(1000 * ROW);
    model.barMovedTo(1234);
    expect(model.position).toBe(1234);
    expect(model.bar).toBe(1234);
    expect(model.visible()).toEqual({ start: 56, end: 77 });
    expect(model.offset(56)).toBe(56 * ROW - 1234);
  });

  test("that fits stays at the top and at its end", () => {
    const model = list(3);
    model.moveTo(500);
    expect(model.position).toBe(0);
    expect(model.atEnd).toBe(true);
    expect(model.visible()).toEqual({ start: 0, end: 3 });
  });

  test("shows nothing when it is empty", () => {
    expect(list(0).visible()).toEqual({ start: 0, end: 0 });
  });
});

describe("a list of ten million rows", () => {
  const COUNT = 10_000_000;

  test("needs no element taller than a browser allows", () => {
    const model = list(COUNT);
    expect(model.scaled).toBe(true);
    expect(model.barHeight).toBe(LONGEST_BAR);
  });

  test("shows its last row at the scroll bar's end and its first at the start", () => {
    const model = list(COUNT);
    model.barMovedTo(LONGEST_BAR - VIEW);
    expect(model.visible().end).toBe(COUNT);
    expect(model.offset(COUNT - 1)).toBe(VIEW - ROW);
    expect(model.atEnd).toBe(true);
    model.barMovedTo(0);
    expect(model.visible().start).toBe(0);
    expect(model.offset(0)).toBe(0);
  });

  test("is dragged in proportion", () => {
    const model = list(COUNT);
    model.barMovedTo((LONGEST_BAR - VIEW) / 2);
    expect(model.visible().start).toBeCloseTo(COUNT / 2 - VIEW / ROW / 2, -1);
  });

  test("moves by the wheel's own pixels, not by the scale", () => {
    const model = list(COUNT);
    model.moveTo(110_000_000);
    const before = model.position;
    model.barMovedTo(model.bar + 100);
    expect(model.position - before).toBe(100);
  });

  test("reaches every row exactly", () => {
    const model = list(COUNT);
    const next = random(7);
    for (let i = 0; i < 1000; i += 1) {
      const row = Math.floor(next() * COUNT);
      model.reveal(row);
      expect(model.offset(row)).toBeGreaterThanOrEqual(0);
      expect(model.offset(row)).toBeLessThanOrEqual(VIEW - ROW);
      const { start, end } = model.visible();
      expect(row >= start && row < end).toBe(true);
    }
  });

  test("keeps bar and position within bounds whatever is done to it", () => {
    const model = list(COUNT);
    const next = random(11);
    for (let i = 0; i < 5000; i += 1) {
      const what = Math.floor(next() * 5);
      if (what === 0) model.barMovedTo(Math.floor(next() * LONGEST_BAR * 1.2) - 1000);
      else if (what === 1) model.moveBy((next() - 0.5) * 10_000);
      else if (what === 2) model.setCount(Math.floor(next() * COUNT));
      else if (what === 3) model.moveToEnd();
      else model.setViewport(Math.floor(next() * 2000));
      const height = model.count * ROW;
      expect(model.position).toBeGreaterThanOrEqual(0);
      expect(model.position).toBeLessThanOrEqual(Math.max(0, height - model.viewport));
      const { start, end } = model.visible();
      expect(end - start).toBeLessThanOrEqual(Math.ceil(model.viewport / ROW) + 1);
    }
  });
});

test("revealing a row that can be seen does not move the list", () => {
  const model = list(1000);
  model.moveTo(1000);
  model.reveal(50);
  expect(model.position).toBe(1000);
});

test("a list that shrinks does not stand past its end", () => {
  const model = list(1000);
  model.moveToEnd();
  model.setCount(30);
  expect(model.position).toBe(30 * ROW - VIEW);
});
