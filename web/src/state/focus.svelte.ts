/** Which field and which bytes are looked at: what the tree and the hex view share. */

import type { Frame } from "../decode/messages";
import type { Reach } from "../details/elsewhere";
import type { TreeNode } from "../details/tree";
import { buildTree, nodeAt } from "../details/tree";

export class FrameFocus {
  nodes: readonly TreeNode[] = $state.raw([]);
  /** Under the pointer. */
  hovered: TreeNode | undefined = $state.raw();
  /** Chosen by keyboard or click; stays. */
  pinned: TreeNode | undefined = $state.raw();
  /** The byte that the hex view's cursor stands on. */
  cursor = $state(0);
  /** The view that moved last: the other one follows. */
  moved: "tree" | "bytes" | "frame" = $state("frame");

  #number: number | undefined;

  get active(): TreeNode | undefined {
    return this.hovered ?? this.pinned;
  }

  load(frame: Frame | undefined, reach: Reach): void {
    this.nodes = frame === undefined ? [] : buildTree(frame, reach);
    if (frame?.row.number === this.#number) return;
    this.#number = frame?.row.number;
    this.hovered = undefined;
    const at = frame?.fault?.at;
    this.cursor = at !== undefined && at >= 0 && at < frame!.bytes.length ? at : 0;
    this.pinned = at === undefined ? undefined : this.nodes.find((node) => node.id === "fault");
    this.moved = "frame";
  }

  hoverByte(offset: number | undefined): void {
    this.hovered = offset === undefined ? undefined : nodeAt(this.nodes, offset);
  }

  pinNode(node: TreeNode): void {
    this.pinned = node;
    if (node.range !== undefined) this.cursor = node.range.start;
    this.moved = "tree";
  }

  pinByte(offset: number): void {
    this.cursor = offset;
    this.pinned = nodeAt(this.nodes, offset);
    this.moved = "bytes";
  }
}
