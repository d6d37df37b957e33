/** Times of the sandbox, in milliseconds, as they are shown: minutes, seconds, tenths. */
export function clock(ms: number): string {
  const tenths = Math.floor(ms / 100);
  const minutes = Math.floor(tenths / 600);
  const seconds = ((tenths % 600) / 10).toFixed(1);
  return `${minutes}:${seconds.padStart(4, "0")}`;
}
