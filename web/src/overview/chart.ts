/** The timeline's chart: all frames and bad frames per second, and round trips. Loaded on first use. */

import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Timeline } from "../decode/messages";
import type { TimeRange } from "../state/overview.svelte";
import { perSecond, span } from "../text/format";
import { rateOf } from "./rates";

export interface ChartEvents {
  /** Called when the pointer moves, with the bucket under it. */
  pointed(bucket: number | undefined): void;
  /** Called when a range was selected by dragging, or removed by a click. */
  ranged(range: TimeRange | undefined): void;
}

/** The width of the narrowest drag that selects a range. A narrower one is a click. */
const MIN_DRAG_PIXELS = 3;

export class TimelineChart {
  readonly #host: HTMLElement;
  readonly #events: ChartEvents;
  readonly #plot: UPlot;
  readonly #observer: ResizeObserver;
  readonly #scheme = matchMedia("(prefers-color-scheme: dark)");
  #colours: ReadonlyMap<string, string>;
  #range: TimeRange | undefined;
  /** Whether the timeline has at most one frame. */
  #isSingle = false;

  constructor(host: HTMLElement, events: ChartEvents) {
    this.#host = host;
    this.#events = events;
    this.#colours = colours(host);
    this.#plot = new UPlot(this.#options(), [[], [], [], []], host);
    this.#observer = new ResizeObserver(() => this.#fit());
    this.#observer.observe(host);
    this.#scheme.addEventListener("change", this.#recolour);
  }

  show(timeline: Timeline): void {
    const { start, step, frames, bad, p99 } = timeline;
    const rate = rateOf(timeline);
    this.#isSingle = frames.reduce((sum, count) => sum + count, 0) <= 1;
    const times = Array.from(frames, (_, i) => (start + i * step) / 1000);
    // A bar ends where the next one begins, so the last one needs a point after it.
    const end = (start + frames.length * step) / 1000;
    const rates = (counts: Float64Array) => [...Array.from(counts, rate), null];
    const trips = [...Array.from(p99, (ms) => (Number.isNaN(ms) ? null : ms)), null];
    this.#plot.setData([[...times, end], rates(frames), rates(bad), trips]);
    this.mark(this.#range);
  }

  /** Shows the range that the list is restricted to. */
  mark(range: TimeRange | undefined): void {
    this.#range = range;
    const plot = this.#plot;
    if (range === undefined || plot.data[0].length === 0) {
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      return;
    }
    const left = plot.valToPos(range.from / 1000, "x");
    const right = plot.valToPos(range.to / 1000, "x");
    const height = plot.bbox.height / devicePixelRatio;
    plot.setSelect({ left, top: 0, width: Math.max(1, right - left), height }, false);
  }

  /** Moves the cursor to the middle of a bucket. */
  point(bucket: number): void {
    const plot = this.#plot;
    const [times] = plot.data;
    const next = times[bucket + 1];
    if (next === undefined) return;
    const left = plot.valToPos((times[bucket] + next) / 2, "x");
    plot.setCursor({ left, top: plot.bbox.height / devicePixelRatio / 2 }, false);
  }

  destroy(): void {
    this.#scheme.removeEventListener("change", this.#recolour);
    this.#observer.disconnect();
    this.#plot.destroy();
  }

  #fit(): void {
    const { clientWidth: width, clientHeight: height } = this.#host;
    if (width > 0 && height > 0) this.#plot.setSize({ width, height });
    this.mark(this.#range);
  }

  readonly #recolour = (): void => {
    this.#colours = colours(this.#host);
    this.#plot.redraw(false, true);
  };

  #options(): UPlot.Options {
    const colour = (name: string) => () => this.#colours.get(name) ?? "";
    const axis = { stroke: colour("--text-2"), font: "11px system-ui, sans-serif" };
    const quiet = { ...axis, grid: { show: false }, ticks: { show: false }, gap: 4, space: 22 };
    const paths = UPlot.paths.bars?.({ size: [1, Infinity, 1], align: 1, gap: 0 });
    const bars = (label: string, name: string, part: number): UPlot.Series => ({
      label,
      fill: () => `color-mix(in srgb, ${this.#colours.get(name)} ${part}%, transparent)`,
      width: 0,
      points: { show: false },
      ...(paths && { paths }),
    });
    return {
      width: Math.max(1, this.#host.clientWidth),
      height: Math.max(1, this.#host.clientHeight),
      padding: [8, 4, 0, 4],
      legend: { show: false },
      scales: {
        // A single frame would be one bar as wide as the chart, so the axis is at least a second long.
        x: { time: false, range: (_, from, to) => [from, this.#isSingle ? Math.max(to, from + 1) : to] },
        y: { range: (_, low, high) => [Math.min(0, low), Math.max(1, high)] },
        trip: { range: (_, __, high) => [0, Math.max(1, high * 1.1)] },
      },
      axes: [
        {
          ...axis,
          size: 18,
          gap: 2,
          space: 80,
          grid: { stroke: colour("--line"), width: 1 },
          ticks: { show: false },
          values: (_, ticks) => ticks.map((tick) => `${tick} s`),
        },
        {
          ...quiet,
          size: 58,
          // Only whole rates, so that no two ticks have the same text.
          incrs: [1, 2, 5]
            .flatMap((digit) => Array.from({ length: 9 }, (_, zeros) => digit * 10 ** zeros))
            .sort((a, b) => a - b),
          values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "" : perSecond(tick))),
        },
        {
          ...quiet,
          side: 1,
          scale: "trip",
          size: 62,
          stroke: colour("--literal"),
          values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "" : span(tick))),
        },
      ],
      series: [
        {},
        bars("frames", "--accent", 55),
        bars("bad", "--bad", 90),
        {
          label: "p99",
          scale: "trip",
          stroke: colour("--literal"),
          width: 1,
          points: { show: true, size: 3, width: 0, fill: colour("--literal") },
        },
      ],
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
      },
      hooks: {
        setCursor: [({ cursor: { idx } }) => this.#events.pointed(idx ?? undefined)],
        setSelect: [(plot) => this.#select(plot)],
      },
    };
  }

  /** Reports the range that the user dragged across. */
  #select({ select, posToVal, data }: UPlot): void {
    const { left, width } = select;
    if (width < MIN_DRAG_PIXELS) {
      this.#events.ranged(undefined);
      return;
    }
    // The range is extended to whole buckets.
    const [from, to] = [posToVal(left, "x"), posToVal(left + width, "x")];
    const times: number[] = Array.from(data[0]);
    const first = times.findLast((time) => time <= from) ?? from;
    const last = times.find((time) => time >= to) ?? to;
    const milliseconds = (seconds: number) => Math.round(seconds * 1000 * 1000) / 1000;
    this.#events.ranged({ from: Math.max(0, milliseconds(first)), to: milliseconds(last) });
  }
}

/**
 * Returns the current colours of the style sheet's custom properties. A canvas supports neither custom properties nor
 * `light-dark()`, so the browser resolves them on an element.
 */
function colours(host: HTMLElement): ReadonlyMap<string, string> {
  const probe = document.createElement("span");
  host.append(probe);
  const found = ["--accent", "--bad", "--literal", "--line", "--text-2"].map((name) => {
    probe.style.color = `var(${name})`;
    return [name, getComputedStyle(probe).color] as const;
  });
  probe.remove();
  return new Map(found);
}
