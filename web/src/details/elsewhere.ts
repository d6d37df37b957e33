/** Channels that live at another server than those the page reaches: by which command line they are reached. */

import type { FieldDetail, Frame } from "../decode/messages";
import { addressOf, joinCommand, seenFrom } from "../text/shell";

/** The addresses that the page can reach: the server of a frame, and the others that it may connect to. */
export interface Reach {
  readonly server: string;
  readonly addresses: readonly string[];
}

/** The decoder cuts what is longer. */
const LONGEST = 4096;

/** Returns the command line of each channel in a frame that lives elsewhere, by the path of its field. */
export function elsewhere({ row, detail }: Frame, reach: Reach): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const fields = detail?.fields ?? [];
  const tell = (path: string, channel: string | undefined, listed: string | undefined) => {
    // No argument of a program has a NUL in it.
    if (channel === undefined || listed === undefined || channel.includes("\0") || listed.includes("\0"))
      return;
    const address = seenFrom(reach.server, listed);
    if (![reach.server, ...reach.addresses].includes(address)) found.set(path, joinCommand(channel, address));
  };
  if (row.head === "REQUEST_ERROR" && text(fields, "error") === "Channel hosted elsewhere") {
    const said = /^The channel '([^]*)' is hosted at (\S+)$/.exec(text(fields, "details") ?? "");
    tell("payload", said?.[1], said?.[2]);
  } else if (row.head === "OK" && row.direction === "in") {
    const at = fields.findIndex(({ name, kind }) => name === "channels" && kind === "array");
    fields[at]?.children.forEach(({ children }, i) => {
      const host = text(children, "peer_server_ip");
      const port = children.find(({ name, kind }) => name === "peer_server_port" && kind === "number")?.text;
      const address =
        host === undefined || !/^\d{1,5}$/.test(port ?? "") ? undefined : addressOf(host, port ?? "");
      tell(`payload/${at}/${i}`, text(children, "channel_name"), address);
    });
  }
  return found;
}

function text(fields: readonly FieldDetail[], wanted: string): string | undefined {
  const field = fields.find(({ name, kind }) => name === wanted && kind === "string");
  return field !== undefined && field.text.length < LONGEST ? field.text : undefined;
}
