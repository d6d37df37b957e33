// @ts-expect-error The page's own types are those of a browser; tests run in Node.
import { execFileSync as run } from "node:child_process";
import { describe, expect, test } from "vitest";
import type { FieldDetail, Frame, ListRow } from "../src/decode/messages";
import { elsewhere } from "../src/details/elsewhere";
import { buildTree, flatten } from "../src/details/tree";
import { isVisible } from "../src/text/visible";
import { joinCommand, seenFrom, shellWord } from "../src/text/shell";
import { listRow } from "./fakeEngine";
import { random } from "./fakes";

const execFileSync = run as (file: string, args: string[], options: { encoding: "utf8" }) => string;

const RANGE = { start: 0, end: 1 };

function field(name: string, value: string | number | readonly FieldDetail[]): FieldDetail {
  const kind = typeof value === "string" ? "string" : typeof value === "number" ? "number" : "array";
  const children = typeof value === "object" ? value : [];
  return {
    name,
    key: RANGE,
    value: RANGE,
    kind,
    text: typeof value === "object" ? "" : String(value),
    children,
  };
}

function channel(name: string, ip: string, port: number): FieldDetail {
  const children = [
    field("channel_name", name),
    field("peer_server_ip", ip),
    field("peer_server_port", port),
  ];
  return { ...field("", []), kind: "object", children };
}

function frame(row: Partial<ListRow>, fields: readonly FieldDetail[]): Frame {
  return {
    row: listRow(2, row),
    position: 0,
    bytes: new Uint8Array(0),
    reads: [],
    detail: { payload: RANGE, fields, omitted: 0, tokens: new Float64Array(0) },
    fault: undefined,
  };
}

const REACH = { server: "192.0.2.1:22236", addresses: ["127.0.0.1:22236", "127.0.0.1:22240"] };

describe("a channel that lives elsewhere", () => {
  test.each([
    ["general", "192.168.1.5:22240", "chanwire join --server 192.168.1.5:22240 general"],
    ["it's", "[2001:db8::5]:22240", `chanwire join --server '[2001:db8::5]:22240' 'it'\\''s'`],
    ["-x", "chat.example:1", "chanwire join --server chat.example:1 -- '-x'"],
    ["x' is hosted at y", "192.0.2.7:5", `chanwire join --server 192.0.2.7:5 'x'\\'' is hosted at y'`],
    ["own machine", "127.0.0.1:5", "chanwire join --server 192.0.2.1:5 'own machine'"],
  ])("in an error about %s is given with its command line", (name, address, command) => {
    const fields = [
      field("error", "Channel hosted elsewhere"),
      field("details", `The channel '${name}' is hosted at ${address}`),
    ];
    const nodes = buildTree(frame({ head: "REQUEST_ERROR", bad: true }, fields), REACH);
    const lines = flatten(nodes, () => true).filter(({ node }) => node.copy);
    expect(lines.map(({ node }) => [node.label, node.value])).toEqual([["reach it by", command]]);
  });

  test("in a list is given with it, and one that the page reaches itself is not", () => {
    const fields = [
      field("status", "success"),
      field("channels", [
        channel("here", "192.0.2.1", 22236),
        channel("there", "192.0.2.9", 22236),
        channel("beside", "127.0.0.1", 22240),
        channel("six", "2001:db8::9", 5),
      ]),
    ];
    expect([...elsewhere(frame({ head: "OK" }, fields), REACH)]).toEqual([
      ["payload/1/1", "chanwire join --server 192.0.2.9:22236 there"],
      ["payload/1/2", "chanwire join --server 192.0.2.1:22240 beside"],
      ["payload/1/3", "chanwire join --server '[2001:db8::9]:5' six"],
    ]);
    // Other rows than answers tell nothing of the places of channels.
    expect(elsewhere(frame({ head: "OK", direction: "out" }, fields), REACH).size).toBe(0);
  });

  test.each([
    [[field("error", "Channel already exists"), field("details", "The channel 'a' is hosted at b:1")]],
    [[field("error", "Channel hosted elsewhere"), field("details", "somewhere")]],
    [[field("error", "Channel hosted elsewhere"), field("details", "The channel 'a\0b' is hosted at c:1")]],
    [[field("error", "Channel hosted elsewhere")]],
    [[]],
  ])("is not made up: %#", (fields) => {
    expect(elsewhere(frame({ head: "REQUEST_ERROR" }, fields), REACH).size).toBe(0);
  });
});

test("a shell reads each word back as it was, and sees nothing that is hidden", () => {
  const next = random(4711);
  const alphabet = [
    "'",
    '"',
    "\\",
    "$",
    "`",
    " ",
    "\n",
    "\t",
    "\u001b",
    "\u202e",
    "é",
    "🙂",
    "a",
    "0",
    "-",
    "~",
    "*",
  ];
  const texts = Array.from({ length: 150 }, () =>
    Array.from({ length: Math.floor(next() * 8) }, () => alphabet[Math.floor(next() * alphabet.length)]).join(
      "",
    ),
  );
  const words = texts.map(shellWord);
  for (const word of words)
    for (const letter of word) expect(isVisible(letter.codePointAt(0) ?? 0)).toBe(true);
  const script = `export LC_ALL=C.UTF-8; printf '%s\\0' ${words.join(" ")}`;
  const read = execFileSync("bash", ["-c", script], { encoding: "utf8" });
  expect(read.split("\0").slice(0, -1)).toEqual(texts);
});

test("a name cannot be read as an option", () => {
  expect(joinCommand("--help", "h:1")).toBe("chanwire join --server h:1 -- '--help'");
});

test.each([
  ["192.0.2.1:22236", "127.0.0.1:22240", "192.0.2.1:22240"],
  ["tracker.example:22236", "LocalHost:22236", "tracker.example:22236"],
  ["[2001:db8::1]:22236", "[::1]:1", "[2001:db8::1]:1"],
  ["192.0.2.1:22236", "[::ffff:127.0.0.1]:1", "192.0.2.1:1"],
  ["192.0.2.1:22236", "192.0.2.7:22240", "192.0.2.7:22240"],
  ["127.0.0.1:22236", "127.0.0.1:22240", "127.0.0.1:22240"],
  ["tls://127.0.0.1:22236", "127.0.0.1:22240", "tls://127.0.0.1:22240"],
  ["tls://chat.example:22236", "localhost:22240", "tls://chat.example:22240"],
])("from %s, %s is %s", (server, listed, seen) => {
  expect(seenFrom(server, listed)).toBe(seen);
});
