/** The strip above the list: frames over time, statistics, and the time range that the list is held to. */

import type { DecoderClient } from "../decode/client";
import type { Questions, StatisticsTable, Status, Timeline } from "../decode/messages";
import type { OverviewMode, Settings } from "./settings.svelte";

export type TimeRange = NonNullable<Questions["range"]["ask"]>;

/** As many as can be told apart on a wide screen. */
const BUCKETS = 240;

export class Overview {
  timeline: Timeline | undefined = $state.raw();
  statistics: StatisticsTable | undefined = $state.raw();
  range: TimeRange | undefined = $state.raw();

  readonly #decoder: Pick<DecoderClient, "ask">;
  readonly #settings: Settings;
  #asking = false;
  /** The state that was shown last: if nothing has changed since, nothing is asked. */
  #shown = "";

  constructor(decoder: Pick<DecoderClient, "ask">, settings: Settings) {
    this.#decoder = decoder;
    this.#settings = settings;
  }

  get mode(): OverviewMode {
    return this.#settings.kept.overview;
  }

  show(mode: OverviewMode): void {
    this.#settings.keep({ overview: mode });
  }

  async setRange(range: TimeRange | undefined): Promise<void> {
    if (range === undefined && this.range === undefined) return;
    this.range = range;
    await this.#decoder.ask("range", range);
  }

  /** Drops the shown timeline and statistics. */
  reset(): void {
    this.range = undefined;
    this.timeline = undefined;
    this.statistics = undefined;
    this.#shown = "";
  }

  /** Asks for the shown figures, if they may have changed. Call from time to time. */
  async refresh({ epoch, first, captured }: Pick<Status, "epoch" | "first" | "captured">): Promise<void> {
    const { mode } = this;
    const wanted = `${mode} ${epoch} ${first} ${captured}`;
    if (mode === "off" || this.#asking || wanted === this.#shown) return;
    this.#asking = true;
    try {
      if (mode === "statistics") this.statistics = await this.#decoder.ask("statistics", undefined);
      else this.timeline = await this.#decoder.ask("timeline", { buckets: BUCKETS });
      this.#shown = wanted;
    } finally {
      this.#asking = false;
    }
  }
}
