/** The fields of a frame as a tree, each with the bytes it stands for. */

import type {
  Detail,
  Direction,
  Ending,
  Fault,
  FieldDetail,
  Frame,
  ListRow,
  Range,
} from "../decode/messages";
import { elsewhere, type Reach } from "./elsewhere";
import { count, plural, roundTrip, seconds } from "../text/format";

export interface TreeNode {
  readonly id: string;
  readonly label: string;
  /** Text from the peer or about it; shown with everything in it visible. */
  readonly value: string;
  readonly tone: "plain" | "string" | "number" | "literal" | "command" | "bad";
  readonly range?: Range;
  /** Number of another row to go to. */
  readonly goto?: number;
  /** The address of a page about it. */
  readonly href?: string;
  /** Its value is there to be copied. */
  readonly copy?: true;
  readonly children: readonly TreeNode[];
}

/** The white space of JSON. */
const WHITE_SPACE: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** The reach of a page of which nothing is known. */
const NOWHERE: Reach = { server: "", addresses: [] };

export function buildTree(frame: Frame, reach = NOWHERE): readonly TreeNode[] {
  const { row, detail } = frame;
  const commands = elsewhere(frame, reach);
  const nodes: TreeNode[] = [summaryNode(frame)];
  const fault = faultNode(frame.fault, row.direction);
  if (fault) nodes.push(fault);
  if (frame.ending) nodes.push(endingNode(frame.ending, row.bad));
  if (detail?.command)
    nodes.push(
      part(
        "command",
        row.direction === "in" && !row.push ? "status" : "command",
        row.head,
        row.bad && row.direction === "in" ? "bad" : "command",
        detail.command,
      ),
    );
  if (detail?.separator) nodes.push(part("separator", "separator", "\r\n", "plain", detail.separator));
  if (detail?.payload) {
    nodes.push({
      id: "payload",
      label: "payload",
      value: payloadText(detail, detail.payload, frame.bytes),
      tone: "plain",
      range: detail.payload,
      children: fieldNodes(detail.fields, detail.omitted, "payload", commands),
    });
  }
  if (row.pair !== undefined) nodes.push(pairNode(row, row.pair));
  if (frame.reads.length > 0) nodes.push(readsNode(frame));
  return nodes;
}

function summaryNode({ row }: Frame): TreeNode {
  if (row.kind === "note" || row.kind === "gap") {
    return {
      id: "frame",
      label: `${row.kind === "gap" ? "Gap on connection" : "Connection"} ${row.connection}`,
      value: `${row.head}: ${row.summary}`,
      tone: row.bad ? "bad" : "plain",
      children: [],
    };
  }
  const what = row.kind === "frame" ? "Frame" : row.kind === "fault" ? "Fault" : "Skipped";
  const way = row.direction === "out" ? "sent" : row.push ? "pushed by the server" : "received";
  return {
    id: "frame",
    label: `${what} ${row.number}`,
    value: `${count(row.length)} B, ${way} on #${row.connection} at ${seconds(row.time)} s`,
    tone: "plain",
    range: { start: 0, end: row.length },
    children: [],
  };
}

function faultNode(fault: Fault | undefined, direction: Direction): TreeNode | undefined {
  if (fault === undefined) return undefined;
  const where = fault.at === undefined ? "" : ` at byte ${fault.at} of the frame`;
  const children: TreeNode[] = [
    { id: "fault/why", label: "why", value: fault.details, tone: "plain", children: [] },
    {
      id: "fault/then",
      label: "then",
      value: consequence(fault, direction),
      tone: "plain",
      children: [],
    },
  ];
  return {
    id: "fault",
    label: "fault",
    value: `${fault.error}${where}`,
    tone: "bad",
    ...(fault.at !== undefined && { range: { start: fault.at, end: fault.at + 1 } }),
    children,
  };
}

function endingNode({ reason, limit, value, about }: Ending, bad: boolean): TreeNode {
  const children: TreeNode[] = [];
  if (limit !== undefined && value !== undefined) {
    children.push({ id: "ending/limit", label: limit, value: count(value), tone: "number", children: [] });
  }
  children.push({
    id: "ending/about",
    label: "about",
    value: "in the protocol's page",
    tone: "plain",
    href: about,
    children: [],
  });
  return { id: "ending", label: "reason", value: reason, tone: bad ? "bad" : "literal", children };
}

function consequence(fault: Fault, direction: Direction): string {
  if (direction === "out") {
    return fault.closes ? "the server answers and closes the connection" : "the server answers and goes on";
  }
  return fault.closes ? "what follows cannot be decoded" : "decoding goes on after it";
}

function part(id: string, label: string, value: string, tone: TreeNode["tone"], range: Range): TreeNode {
  return { id, label, value, tone, range, children: [] };
}

function fieldNodes(
  fields: readonly FieldDetail[],
  omitted: number,
  path: string,
  commands: ReadonlyMap<string, string>,
): TreeNode[] {
  const nodes = fields.map((field, i): TreeNode => {
    const id = `${path}/${i}`;
    const container = field.kind === "object" || field.kind === "array";
    const size = field.children.length;
    return {
      id,
      label: field.key ? field.name : `[${i}]`,
      value: container ? plural(size, field.kind === "array" ? "element" : "field") : valueText(field),
      tone: container ? "plain" : toneOf(field.kind),
      range: { start: field.key?.start ?? field.value.start, end: field.value.end },
      children: fieldNodes(field.children, 0, id, commands),
    };
  });
  if (omitted > 0) {
    nodes.push({
      id: `${path}/omitted`,
      label: "…",
      value: `${count(omitted)} more, not listed here; all of it stands in Bytes`,
      tone: "plain",
      children: [],
    });
  }
  const command = commands.get(path);
  if (command !== undefined) {
    nodes.push({
      id: `${path}/reach`,
      label: "reach it by",
      value: command,
      tone: "plain",
      copy: true,
      children: [],
    });
  }
  return nodes;
}

/** Describes a payload without fields: it is no JSON, or empty. */
function payloadText(detail: Detail, { start, end }: Range, bytes: Uint8Array): string {
  const fields = detail.fields.length + detail.omitted;
  const blank = bytes.subarray(start + 1, end - 1).every((byte) => WHITE_SPACE.has(byte));
  return fields > 0 || blank ? plural(fields, "field") : `${count(end - start)} B that are not valid JSON`;
}

/** Returns the text of a value. A string keeps its quotes: `"32000"` is another value than `32000`. */
function valueText({ kind, text }: FieldDetail): string {
  return kind === "string" ? `"${text}"` : text;
}

function toneOf(kind: FieldDetail["kind"]): TreeNode["tone"] {
  if (kind === "string" || kind === "number") return kind;
  return kind === "boolean" || kind === "null" ? "literal" : "plain";
}

function pairNode(row: ListRow, pair: number): TreeNode {
  const asked = row.direction === "out";
  const trip = row.rtt === undefined ? "" : `, round trip ${roundTrip(row.rtt)}`;
  return {
    id: "pair",
    label: asked ? "answer" : "request",
    value: `frame ${pair}${trip}`,
    tone: "plain",
    goto: pair,
    children: [],
  };
}

function readsNode({ row, reads }: Frame): TreeNode {
  const noun = row.direction === "in" ? "read" : "write";
  const first = reads[0].time;
  return {
    id: "reads",
    label: `${noun}s`,
    value: reads.length === 1 ? `in one ${noun}` : `in ${plural(reads.length, noun)}`,
    tone: "plain",
    children:
      reads.length === 1
        ? []
        : reads.slice(0, 100).map((read, i) => ({
            id: `reads/${i}`,
            label: `${noun} ${i + 1}`,
            value: `${count(read.end - read.start)} B, +${seconds(read.time - first)} s`,
            tone: "plain",
            range: { start: read.start, end: read.end },
            children: [],
          })),
  };
}

/** Returns the innermost node of the byte. */
export function nodeAt(nodes: readonly TreeNode[], offset: number): TreeNode | undefined {
  let found: TreeNode | undefined;
  for (const node of nodes) {
    if (node.id === "reads" || node.range === undefined) continue;
    if (offset < node.range.start || offset >= node.range.end) continue;
    const inner = nodeAt(node.children, offset) ?? node;
    const size = (inner.range?.end ?? 0) - (inner.range?.start ?? 0);
    const best = found?.range ? found.range.end - found.range.start : Infinity;
    // The fault's byte wins over the region it stands in, so that the byte leads to the reason.
    if (size <= best && found?.id !== "fault") found = inner;
  }
  return found;
}

/** A node as one line of the tree. */
export interface TreeLine {
  readonly node: TreeNode;
  readonly level: number;
  readonly position: number;
  readonly siblings: number;
  readonly parent: TreeNode | undefined;
}

export function flatten(
  nodes: readonly TreeNode[],
  open: (node: TreeNode) => boolean,
  level = 1,
  parent?: TreeNode,
): TreeLine[] {
  return nodes.flatMap((node, i) => [
    { node, level, position: i + 1, siblings: nodes.length, parent },
    ...(node.children.length > 0 && open(node) ? flatten(node.children, open, level + 1, node) : []),
  ]);
}
