import { describe, expect, test } from "vitest";
import { buildTree, flatten, nodeAt } from "../src/details/tree";
import { bytesPerLine } from "../src/details/hex";
import type { Frame } from "../src/decode/messages";
import { listRow } from "./fakeEngine";

const FRAME: Frame = {
  row: listRow(12, {
    direction: "out",
    bad: true,
    connection: 2,
    time: 0,
    length: 20,
    pair: 13,
    head: "HOST",
  }),
  position: 500,
  bytes: new Uint8Array(20),
  detail: {
    command: { start: 0, end: 4 },
    separator: { start: 4, end: 6 },
    payload: { start: 6, end: 20 },
    fields: [
      {
        name: "port",
        key: { start: 7, end: 13 },
        value: { start: 15, end: 19 },
        kind: "number",
        text: "9e99",
        children: [],
      },
    ],
    omitted: 0,
    tokens: new Float64Array(0),
  },
  fault: { error: "Invalid payload", details: "Field 'port' must be an integer", at: 15, closes: false },
  reads: [
    { start: 0, end: 8, time: 1, begins: true, ends: true },
    { start: 8, end: 20, time: 3, begins: true, ends: false },
  ],
};

const nodes = buildTree(FRAME);

describe("the end of a connection", () => {
  const note = {
    row: listRow(9, {
      kind: "note",
      head: "closed",
      summary: "closed: payload_too_large, max_payload 65536",
    }),
    position: 0,
    bytes: new Uint8Array(0),
    detail: undefined,
    fault: undefined,
    reads: [],
  } as const satisfies Frame;
  const about = "https://example.com/PROTOCOL.md#limits";

  test("is shown with its reason, the limit and its value, and where they are explained", () => {
    const ending = { reason: "payload_too_large", limit: "max_payload", value: 65_536, about };
    const [, reason] = buildTree({ ...note, ending });
    expect(reason).toMatchObject({
      label: "reason",
      value: "payload_too_large",
      children: [{ label: "max_payload", value: "65,536" }, { href: about }],
    });
  });

  test("has no limit where none was reached, and no reason where the traffic shows none", () => {
    const [, reason] = buildTree({ ...note, ending: { reason: "client_closed", about } });
    expect(reason.children).toEqual([expect.objectContaining({ href: about })]);
    expect(buildTree(note).map(({ id }) => id)).toEqual(["frame"]);
  });
});

describe("the parts of a frame", () => {
  test.each([
    ["string", "32000", `"32000"`],
    ["number", "32000", "32000"],
    ["null", "null", "null"],
  ] as const)("a %s is told from another value that reads the same", (kind, text, shown) => {
    const field = { name: "port", value: { start: 15, end: 19 }, kind, text, children: [] };
    const [payload] = buildTree({ ...FRAME, detail: { ...FRAME.detail!, fields: [field] } }).filter(
      ({ id }) => id === "payload",
    );
    expect(payload).toMatchObject({ value: "1 field", children: [{ value: shown }] });
  });

  test.each([
    ["{}", "0 fields"],
    ["{ \r\n}", "0 fields"],
    ["[]", "0 fields"],
    ["{a}", "3 B that are not valid JSON"],
  ])("a payload of %j has %s", (payload, shown) => {
    const bytes = new TextEncoder().encode(`HOST\r\n${payload}`);
    const detail = { ...FRAME.detail!, fields: [], payload: { start: 6, end: bytes.length } };
    expect(buildTree({ ...FRAME, bytes, detail }).find(({ id }) => id === "payload")?.value).toBe(shown);
  });

  test("name its regions, fields, fault, answer and writes", () => {
    expect(nodes.map(({ id }) => id)).toEqual([
      "frame",
      "fault",
      "command",
      "separator",
      "payload",
      "pair",
      "reads",
    ]);
    expect(nodes.find(({ id }) => id === "pair")).toMatchObject({ label: "answer", goto: 13 });
    expect(nodes.find(({ id }) => id === "fault")).toMatchObject({ range: { start: 15, end: 16 } });
  });

  test.each([
    [0, "command"],
    [5, "separator"],
    [6, "payload"],
    [7, "payload/0"],
    [14, "payload/0"],
    [15, "fault"],
    [16, "payload/0"],
    [19, "payload"],
    [20, undefined],
  ])("byte %i stands in %s", (offset, id) => {
    expect(nodeAt(nodes, offset)?.id).toBe(id);
  });

  test("flatten to lines with their levels and places", () => {
    const lines = flatten(nodes, (node) => node.id === "payload");
    const field = lines.find(({ node }) => node.id === "payload/0");
    expect(field).toMatchObject({ level: 2, position: 1, siblings: 1 });
    expect(field?.parent?.id).toBe("payload");
    expect(lines.some(({ node }) => node.id === "fault/why")).toBe(false);
  });
});

test("as many bytes stand on a line as fit", () => {
  expect(bytesPerLine(576, 7.2)).toBe(16);
  expect(bytesPerLine(400, 7.2)).toBe(8);
  expect(bytesPerLine(100, 7.2)).toBe(4);
});
