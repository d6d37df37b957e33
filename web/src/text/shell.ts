/** Words for a POSIX-like shell, and the command line that reaches a channel. */

import { isVisible } from "./visible";

const PLAIN = /^[\w.,:@%+=/][\w.,:@%+=/-]*$/;

/** Quotes one word for a shell, without anything in it that a terminal would take for a key or that is not seen. */
export function shellWord(text: string): string {
  if (PLAIN.test(text)) return text;
  const characters = Array.from(text);
  if (characters.every((character) => isVisible(character.codePointAt(0) ?? 0))) {
    return `'${text.replaceAll("'", "'\\''")}'`;
  }
  return `$'${characters.map(escaped).join("")}'`;
}

function escaped(character: string): string {
  if (character === "'" || character === "\\") return `\\${character}`;
  const code = character.codePointAt(0) ?? 0;
  if (isVisible(code)) return character;
  // Of a fixed length, so that a digit that follows is a digit.
  return `\\U${code.toString(16).padStart(8, "0")}`;
}

/** Returns the command line that prints a channel's messages, from the server that hosts it. */
export function joinCommand(channel: string, address: string): string {
  const dashes = channel.startsWith("-") ? "-- " : "";
  return `chanwire join --server ${shellWord(address)} ${dashes}${shellWord(channel)}`;
}

/** Returns a host and its port, as one address. */
export function addressOf(host: string, port: string): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\]|\[::ffff:127(\.\d+){3}\]):\d+$/i;

const TLS = "tls://";

/**
 * Returns a listed address as seen from here: one that another machine calls loopback is that machine. A list says
 * nothing of TLS, so what a server lists is reached as the server is.
 */
export function seenFrom(server: string, listed: string): string {
  if (server.startsWith(TLS)) return TLS + seenFrom(server.slice(TLS.length), listed);
  if (!LOOPBACK.test(listed) || LOOPBACK.test(server)) return listed;
  const host = server.slice(0, server.lastIndexOf(":"));
  return `${host}${listed.slice(listed.lastIndexOf(":"))}`;
}
