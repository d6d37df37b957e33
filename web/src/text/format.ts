/** Numbers as the page writes them. */

const grouped = new Intl.NumberFormat("en");

export function count(value: number): string {
  return grouped.format(value);
}

/** Formats a count with its noun: `1 frame`, `2 frames`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Seconds with the microseconds that the bridge, a tap and captures can tell. */
export function seconds(ms: number): string {
  return (ms / 1000).toFixed(6);
}

/** Events of several connections at almost the same time may come a little out of order. */
export function delta(ms: number): string {
  return ms < 0 ? `−${seconds(-ms)}` : `+${seconds(ms)}`;
}

/** Formats a round trip with three significant digits, and no finer than a microsecond. */
export function roundTrip(ms: number): string {
  if (ms < 0.9995) return `${ms.toFixed(3)} ms`;
  if (ms < 9.995) return `${ms.toFixed(2)} ms`;
  if (ms < 99.95) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** Formats a duration without insignificant digits. */
export function span(ms: number): string {
  return ms < 1000 ? `${Number(ms.toFixed(3))} ms` : `${Number((ms / 1000).toFixed(3))} s`;
}

export function memory(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KiB`;
  if (bytes >= 1024 ** 3) return `${(bytes / 1024 ** 3).toFixed(1).replace(/\.0$/, "")} GiB`;
  return `${(bytes / 1024 ** 2).toFixed(bytes < 10 * 1024 ** 2 ? 1 : 0)} MiB`;
}

export function perSecond(rate: number): string {
  if (rate > 0 && rate < 9.95) return `${rate.toFixed(1).replace(/\.0$/, "")}/s`;
  return rate < 10_000 ? `${count(Math.round(rate))}/s` : `${(rate / 1000).toFixed(1)}k/s`;
}

/** Returns a byte as two hexadecimal digits. */
export function hexByte(value: number): string {
  return value.toString(16).padStart(2, "0");
}
