import { describe, expect, test } from "vitest";
import { ByteStream } from "../src/store/bytes";
import { ReadMarks } from "../src/store/marks";
import { differAt, random } from "./fakes";

/** The byte that stands at a position in every stream of this file. */
function at(position: number): number {
  return (position * 31 + (position >> 8)) & 0xff;
}

function piece(start: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => at(start + i));
}

describe("a byte stream", () => {
  test("gives back any range across its segments", () => {
    const stream = new ByteStream();
    const next = random(3);
    while (stream.end < 300_000) stream.append(piece(stream.end, Math.floor(next() * 9000)));
    for (let i = 0; i < 300; i += 1) {
      const start = Math.floor(next() * stream.end);
      const end = start + Math.floor(next() * 50_000);
      const bytes = stream.read(start, end);
      expect(bytes.length).toBe(Math.min(end, stream.end) - start);
      expect(differAt(bytes, piece(start, bytes.length))).toBe(-1);
    }
  });

  test("drops the oldest bytes and gives their memory back a segment at a time", () => {
    const stream = new ByteStream();
    stream.append(piece(0, 200_000));
    const full = stream.allocated;
    stream.dropBefore(100_000);
    expect(stream.start).toBe(100_000);
    expect(stream.allocated).toBeLessThan(full);
    expect(differAt(stream.read(0, 200_000), piece(100_000, 100_000))).toBe(-1);
    stream.dropBefore(200_000);
    expect(stream.allocated).toBe(0);
    expect(stream.read(0, 200_000)).toHaveLength(0);
  });

  test("goes on at its position after everything was dropped", () => {
    const stream = new ByteStream();
    stream.append(piece(0, 1000));
    stream.dropBefore(1000);
    stream.append(piece(1000, 500));
    expect(stream.start).toBe(1000);
    expect(stream.end).toBe(1500);
    expect(stream.read(900, 1500)).toEqual(piece(1000, 500));
  });

  test("never drops what has not come yet", () => {
    const stream = new ByteStream();
    stream.append(piece(0, 10));
    stream.dropBefore(1_000_000);
    stream.append(piece(10, 10));
    expect(stream.read(10, 20)).toEqual(piece(10, 10));
  });

  test("takes little memory while it is small", () => {
    const stream = new ByteStream();
    expect(stream.allocated).toBe(0);
    stream.append(piece(0, 100));
    expect(stream.allocated).toBeLessThanOrEqual(16 * 1024);
  });
});

describe("read marks", () => {
  test("say which reads brought a range", () => {
    const marks = new ReadMarks();
    [4, 10, 10.5, 30].forEach((end, i) => marks.push(end, i));
    expect(marks.covering(4, 10)).toEqual([{ start: 4, end: 10, time: 1 }]);
    expect(marks.covering(3, 11).map(({ start, end }) => [start, end])).toEqual([
      [0, 4],
      [4, 10],
      [10, 10.5],
      [10.5, 30],
    ]);
    expect(marks.covering(30, 40)).toEqual([]);
  });

  test("agree with a plain list over many drops", () => {
    const marks = new ReadMarks();
    const plain: { start: number; end: number; time: number }[] = [];
    const next = random(5);
    let position = 0;
    let dropped = 0;
    for (let i = 0; i < 6000; i += 1) {
      const end = position + 1 + Math.floor(next() * 20);
      marks.push(end, i);
      plain.push({ start: position, end, time: i });
      position = end;
      if (i % 50 === 49) {
        dropped = Math.max(dropped, Math.floor(next() * position));
        marks.dropBefore(dropped);
        const start = dropped + Math.floor(next() * (position - dropped));
        const stop = start + Math.floor(next() * 200);
        expect(marks.covering(start, stop)).toEqual(
          plain.filter((read) => read.end > start && read.start < stop),
        );
      }
    }
    marks.dropBefore(position);
    expect(marks.covering(0, position)).toEqual([]);
    expect(marks.allocated).toBe(0);
  });
});
