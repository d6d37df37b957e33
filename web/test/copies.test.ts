import { describe, expect, test, vi } from "vitest";
import type { Frame } from "../src/decode/messages";
import { asCommandLine, asHex, asJson, asText } from "../src/text/copies";
import { parseEscapes } from "../src/text/escapes";
import { formatLink, parseLink, takeLink } from "../src/text/link";
import { listRow } from "./fakeEngine";
import { ascii, random } from "./fakes";

function frame(bytes: Uint8Array<ArrayBuffer>, direction: "out" | "in" = "out", payload?: number): Frame {
  const detail =
    payload === undefined
      ? undefined
      : {
          payload: { start: payload, end: bytes.length },
          fields: [],
          omitted: 0,
          tokens: new Float64Array(0),
        };
  return { row: listRow(1, { direction }), position: 0, bytes, reads: [], detail, fault: undefined };
}

/** All bytes there are, and some more, in an order that repeats. */
function everyByte(): Uint8Array<ArrayBuffer> {
  const next = random(5);
  return Uint8Array.from({ length: 600 }, (_, i) => (i < 256 ? i : Math.floor(next() * 256)));
}

describe("a copy of a frame", () => {
  test("as a dump has offsets, bytes and letters", () => {
    expect(asHex(ascii('MESSAGE\r\n{"a": 1}')).split("\n")).toEqual([
      '00000000  4d 45 53 53 41 47 45 0d  0a 7b 22 61 22 3a 20 31  |MESSAGE..{"a": 1|',
      "00000010  7d                                                |}|",
    ]);
  });

  test("as text is read back by Compose", () => {
    const bytes = everyByte();
    const parsed = parseEscapes(asText(bytes));
    expect("bytes" in parsed && Array.from(parsed.bytes)).toEqual(Array.from(bytes));
  });

  test("as a command line quotes what a shell and its printf would take for something else", () => {
    const bytes = Uint8Array.from([0x25, 0x27, 0x5c, 0x00, 0x31, 0xff, 0x0a, 0x24, 0x60]);
    expect(asCommandLine(frame(bytes), "127.0.0.1:22236")).toBe(
      "printf '%%\\047\\134\\0001\\377\\n$`' | nc -N 127.0.0.1 22236",
    );
  });

  test("as a command line names the server, whatever its address", () => {
    expect(asCommandLine(frame(ascii("LIST\r\n")), "[::1]:7")).toBe("printf 'LIST\\r\\n' | nc -N ::1 7");
    expect(asCommandLine(frame(ascii("LIST\r\n")), "; rm -rf /:7")).toMatch(/ nc -N HOST PORT$/);
    for (const place of ["127.0.0.1:7", "[::1]:7", "chat.example:7"])
      expect(asCommandLine(frame(ascii("LIST\r\n")), `tls://${place}`)).toBe(
        `printf 'LIST\\r\\n' | openssl s_client -quiet -connect ${place}`,
      );
    expect(asCommandLine(frame(ascii("OK\r\n{}"), "in"), "127.0.0.1:7")).toBe(
      "printf 'OK\\r\\n{}' | chanwire decode --direction responses",
    );
  });

  test("as JSON is the payload, in which nothing is unseen", () => {
    const text = 'OK\r\n{"a": "x\u202e\u{e0001}y", "b": [1, 2]}';
    const json = asJson(frame(ascii(text), "in", 4)) ?? "";
    expect(json).toBe('{"a": "x\\u202e\\udb40\\udc01y", "b": [1, 2]}');
    expect(JSON.parse(json)).toEqual(JSON.parse(text.slice(4)));
    expect(asJson(frame(ascii("LIST\r\n")))).toBeUndefined();
  });
});

describe("a link", () => {
  test("says what it was made of", () => {
    const linked = { filter: 'json.username contains "an" && rtt>50ms', highlight: "a#b&c=d", frame: 1041 };
    expect(parseLink(formatLink(linked))).toEqual(linked);
  });

  test.each([
    "",
    "#",
    "#token=0123456789abcdef0123456789abcdef",
    "#frame=0",
    "#frame=-1",
    "#frame=1e9",
    "#other=1",
  ])("that says nothing of the kind (%s) is none", (fragment) => expect(parseLink(fragment)).toBeUndefined());

  test("may say only a part", () => {
    expect(parseLink("#filter=err")).toEqual({ filter: "err", highlight: undefined, frame: undefined });
  });

  test("is taken out of the address, and leaves there what is not its own", () => {
    const place = (hash: string) => ({
      location: { hash, pathname: "/", search: "" },
      history: { state: null, replaceState: vi.fn() },
    });
    const linked = place("#filter=err&token=0123456789abcdef0123456789abcdef&frame=7");
    expect(takeLink(linked)).toEqual({ filter: "err", highlight: undefined, frame: 7 });
    expect(linked.history.replaceState).toHaveBeenCalledWith(
      null,
      "",
      "/#token=0123456789abcdef0123456789abcdef",
    );
    const other = place("#token=0123456789abcdef0123456789abcdef");
    expect(takeLink(other)).toBeUndefined();
    expect(other.history.replaceState).not.toHaveBeenCalled();
  });
});
