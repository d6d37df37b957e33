/** Rates of traffic, from the counts in a bucket of the timeline. */

import type { Timeline } from "../decode/messages";

/** Frames a second, of so many frames in one bucket. A single frame has no rate: it counts as one in a second. */
export function rateOf({ frames, step }: Timeline): (count: number) => number {
  const said = frames.reduce((sum, count) => sum + count, 0);
  const perBucket = said <= 1 ? 1 : step / 1000;
  return (count) => count / perBucket;
}
