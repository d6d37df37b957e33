import { describe, expect, test } from "vitest";
import { rateOf } from "../src/overview/rates";
import { formatEscapes, formatLines, parseEscapes } from "../src/text/escapes";
import { delta, perSecond, roundTrip, seconds, span } from "../src/text/format";
import { characterAt } from "../src/text/utf8";
import { visible, visibleString, visibleText } from "../src/text/visible";
import vectors from "../../core/inspect/src/visible/vectors.json?raw";
import { ascii, random } from "./fakes";

const encoder = new TextEncoder();

function bytesOf(text: string): Uint8Array {
  const parsed = parseEscapes(text);
  if ("error" in parsed) throw new Error(parsed.error);
  return parsed.bytes;
}

describe("raw text", () => {
  test("turns escapes into bytes and everything else into UTF-8", () => {
    expect(bytesOf("LIST\\r\\n")).toEqual(ascii("LIST\r\n"));
    expect(bytesOf("\\t\\\\\\x00\\xfF")).toEqual(Uint8Array.of(9, 0x5c, 0, 0xff));
    expect(bytesOf("é🙂")).toEqual(encoder.encode("é🙂"));
  });

  test("leaves its own line breaks out", () => {
    expect(bytesOf("HOST\\r\\n\n{}\r\n")).toEqual(ascii("HOST\r\n{}"));
  });

  test.each([
    ["ab\\q", 2],
    ["\\", 0],
    ["a\\x4", 1],
    ["\\xg0", 0],
    ["\ud800", 0],
    ["🙂\\", 2],
  ])("refuses %j and says where", (text, at) => {
    expect(parseEscapes(text)).toMatchObject({ at });
    expect(parseEscapes(text)).toHaveProperty("error");
  });

  test("round trip: any bytes become text and the same bytes again", () => {
    const next = random(17);
    const samples = ["é", "🙂", "\u202e", "\u200b", "\\", "\r\n", "a", '"', "\u0000", "\ufeff", "\u00a0"];
    for (let i = 0; i < 2000; i += 1) {
      const parts: number[] = [];
      const length = Math.floor(next() * 30);
      while (parts.length < length) {
        if (next() < 0.5) parts.push(Math.floor(next() * 256));
        else parts.push(...encoder.encode(samples[Math.floor(next() * samples.length)]));
      }
      const bytes = Uint8Array.from(parts);
      expect(bytesOf(formatEscapes(bytes))).toEqual(bytes);
      expect(bytesOf(formatLines(bytes))).toEqual(bytes);
    }
  });

  test("shows nothing invisible", () => {
    expect(formatEscapes(encoder.encode("a\u202eb\u200b\u0007"))).toBe(
      "a\\xe2\\x80\\xaeb\\xe2\\x80\\x8b\\x07",
    );
  });
});

describe("UTF-8", () => {
  test("agrees with the browser's decoder on what is a character", () => {
    const next = random(23);
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    for (let i = 0; i < 20_000; i += 1) {
      const bytes = Uint8Array.from({ length: 1 + Math.floor(next() * 4) }, () =>
        next() < 0.3 ? Math.floor(next() * 256) : 0x80 + Math.floor(next() * 128),
      );
      let expected: string | undefined;
      try {
        expected = strict.decode(bytes);
      } catch {
        expected = undefined;
      }
      let decoded: string | undefined = "";
      for (let at = 0; at < bytes.length && decoded !== undefined;) {
        const character = characterAt(bytes, at);
        decoded = character === undefined ? undefined : decoded + String.fromCodePoint(character.code);
        at += character?.length ?? 1;
      }
      expect(decoded).toBe(expected);
    }
  });
});

describe("visible text", () => {
  test.each([
    ["a carriage return and a line feed", "\r\n", ["\\r", "\\n"]],
    ["a tab and an escape", "\t\u001b", ["\\t", "\\u{1b}"]],
    ["bidirectional overrides", "\u202e\u2066\u200f", ["\\u{202e}", "\\u{2066}", "\\u{200f}"]],
    [
      "zero-width characters",
      "\u200b\u200d\ufeff\u2060",
      ["\\u{200b}", "\\u{200d}", "\\u{feff}", "\\u{2060}"],
    ],
    ["spaces that are not the space", "\u00a0\u2003\u3000", ["\\u{a0}", "\\u{2003}", "\\u{3000}"]],
    ["line and paragraph separators", "\u2028\u2029", ["\\u{2028}", "\\u{2029}"]],
    ["C1 controls, fillers and private use", "\u0085\u3164\ue000", ["\\u{85}", "\\u{3164}", "\\u{e000}"]],
  ])("marks %s", (_, text, marks) => {
    const pieces = visibleString(text);
    expect(pieces.map((piece) => piece.text)).toEqual(marks);
    expect(pieces.every((piece) => piece.mark)).toBe(true);
  });

  // The program's tests read the same file.
  test.each(
    JSON.parse(vectors) as {
      readonly name: string;
      readonly text: string;
      readonly shown: string;
    }[],
  )("shows joiners as the program does: $name", ({ text, shown }) => {
    expect(visibleText(text)).toBe(shown);
    expect(visibleText(shown)).toBe(shown);
  });

  test("leaves what can be seen as it is", () => {
    expect(visibleString("Grüße, 世界 🙂!")).toMatchObject([{ text: "Grüße, 世界 🙂!", mark: false }]);
    expect(visibleText("plain")).toBe("plain");
    expect(visibleText("a\u202eb")).toBe("a\\u{202e}b");
  });

  test("tells the byte positions of every piece, without a gap", () => {
    const bytes = Uint8Array.from([...encoder.encode("é\r\n"), 0xff, ...encoder.encode("x")]);
    expect(visible(bytes)).toEqual([
      { text: "é", mark: false, start: 0, end: 2, breaks: false },
      { text: "\\r", mark: true, start: 2, end: 3, breaks: false },
      { text: "\\n", mark: true, start: 3, end: 4, breaks: true },
      { text: "\\xff", mark: true, start: 4, end: 5, breaks: false },
      { text: "x", mark: false, start: 5, end: 6, breaks: false },
    ]);
  });
});

test.each([
  [0.0004, "0.000 ms"],
  [0.052, "0.052 ms"],
  [0.9994, "0.999 ms"],
  [0.9996, "1.00 ms"],
  [2.7, "2.70 ms"],
  [99.94, "99.9 ms"],
  [99.96, "100 ms"],
  [9999, "9999 ms"],
  [12_345, "12.3 s"],
])("a round trip of %f ms is shown as %s", (ms, shown) => {
  expect(roundTrip(ms)).toBe(shown);
});

test.each([
  [0.05, "0.1/s"],
  [1, "1/s"],
  [2.5, "2.5/s"],
  [9.96, "10/s"],
  [1234, "1,234/s"],
  [12_345, "12.3k/s"],
])("a rate of %f is shown as %s", (rate, shown) => {
  expect(perSecond(rate)).toBe(shown);
});

test("times are shown to the microsecond, and those between rows with their sign", () => {
  expect([seconds(512.304), delta(2.345), delta(-0.012), span(0.5), span(2500)]).toEqual([
    "0.512304",
    "+0.002345",
    "−0.000012",
    "0.5 ms",
    "2.5 s",
  ]);
});

test("one frame alone has no rate of a thousand a second", () => {
  const none = new Float64Array(2);
  const timeline = { start: 0, step: 1, frames: Float64Array.of(1, 0), bad: none, p99: none };
  expect(rateOf(timeline)(1)).toBe(1);
  expect(rateOf({ ...timeline, frames: Float64Array.of(3, 1) })(3)).toBe(3000);
});
