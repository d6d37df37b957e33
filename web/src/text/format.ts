/** Numbers as the page writes them. */

const grouped = new Intl.NumberFormat("en");

export function count(value: number): string {
  return grouped.format(value);
}

/** `1 frame`, `2 frames`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Seconds with the tenth of a millisecond that a browser's clock can tell. */
export function seconds(ms: number): string {
  return (ms / 1000).toFixed(4);
}

export function delta(ms: number): string {
  return `+${seconds(ms)}`;
}

export function roundTrip(ms: number): string {
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function memory(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)} MiB`;
}

export function perSecond(rate: number): string {
  return rate < 10_000 ? `${count(Math.round(rate))}/s` : `${(rate / 1000).toFixed(1)}k/s`;
}

/** A byte as two hexadecimal digits. */
export function hexByte(value: number): string {
  return value.toString(16).padStart(2, "0");
}
