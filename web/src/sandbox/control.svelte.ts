/** The page's hold on the sandbox: its clock, its store, its settings and its scenarios. */

import { count } from "../text/format";
import { SandboxSource, type SandboxWorker } from "../source/sandbox";
import type { Problem, SandboxState, Scenario, Setting, StoreMode } from "./messages";

/** The interval at which a shown time goes on. */
const TICK_MS = 100;

export const STORE_MODES: readonly { readonly mode: StoreMode; readonly label: string }[] = [
  { mode: "works", label: "works" },
  { mode: "fails-once", label: "next commit fails" },
  { mode: "fails-once-but-keeps", label: "next commit fails, but is kept" },
  { mode: "fails", label: "fails" },
  { mode: "stalls", label: "stalls" },
];

export class SandboxControl {
  readonly source: SandboxSource;
  state: SandboxState | undefined = $state.raw();
  /** The sandbox's time, in milliseconds, as far as it is known without asking. */
  now = $state(0);
  scenarios: readonly Scenario[] = $state.raw([]);
  settings: readonly Setting[] = $state.raw([]);
  /** The values typed into the settings, in force once they are applied and from the next start. */
  typed: Readonly<Record<string, string>> = $state.raw({});
  problems: readonly Problem[] = $state.raw([]);
  /** Why something did not come about. */
  problem = $state("");
  /** The scenario that was played last, until the sandbox is started without one. */
  played: Scenario | undefined = $state.raw();
  readonly #clock: () => number;
  #toldAt = 0;
  #ticking: ReturnType<typeof setInterval> | undefined;
  #started = false;

  constructor(worker: SandboxWorker, clock: () => number = () => performance.now()) {
    this.#clock = clock;
    this.source = new SandboxSource(
      worker,
      {
        ready: (scenarios, settings) => {
          this.scenarios = scenarios;
          this.settings = settings;
        },
        state: (state) => {
          this.state = state;
          this.#toldAt = clock();
          this.now = state.now;
        },
        judged: (problems) => {
          this.problems = problems;
        },
        refused: (message) => {
          this.problem = message;
        },
        failed: (message) => {
          this.problem = `The sandbox does not run: ${message}`;
        },
      },
      clock,
    );
  }

  /** Shows the sandbox: it runs from the first time on, and its time is shown. */
  show(): () => void {
    if (!this.#started) this.start();
    this.#ticking ??= setInterval(() => this.#tick(), TICK_MS);
    return () => {
      clearInterval(this.#ticking);
      this.#ticking = undefined;
    };
  }

  /** Starts an empty server; the connections to the last one are over. */
  start(): void {
    this.#begin(undefined);
    this.source.start(this.typed);
  }

  play(scenario: Scenario): void {
    const { seed } = this;
    if (seed === undefined) {
      const most = count(this.#seedSetting?.most ?? 0);
      this.problem = `Nothing was played: the seed under Limits must be an integer from 0 to ${most}`;
      return;
    }
    this.#begin(scenario);
    this.source.play(scenario.name, seed);
  }

  /** Returns the typed seed, or the usual one where none is; undefined where it is no seed. */
  get seed(): number | undefined {
    const { least, most, default: usual } = this.#seedSetting ?? { least: 0, most: 0xffff_ffff, default: 1 };
    const text = this.typed["seed"]?.trim() ?? "";
    if (text === "") return usual;
    const seed = /^\d+$/.test(text) ? Number(text) : NaN;
    return seed >= least && seed <= most ? seed : undefined;
  }

  get #seedSetting(): Setting | undefined {
    return this.settings.find(({ name }) => name === "seed");
  }

  type(name: string, text: string): void {
    this.typed = { ...this.typed, [name]: text };
    this.source.control({ type: "judge", values: this.typed });
  }

  /** Gives the running server the typed settings. */
  reconfigure(): void {
    this.source.control({ type: "reconfigure", values: this.typed });
  }

  setStore(mode: StoreMode): void {
    this.source.control({ type: "store", mode });
  }

  setReading(connection: number, on: boolean): void {
    this.source.control({ type: "reading", connection, on });
  }

  /** Advances time by so much. */
  skip(ms: number): void {
    this.source.control({ type: "skip", ms });
  }

  /** Advances time to the next event. */
  skipToDue(): void {
    const due = this.state?.due;
    // The worker's clock may be a little ahead of what is known here; a little late is due as well.
    if (due !== undefined) this.skip(Math.max(1, Math.ceil(due.at - this.#time()) + 1));
  }

  #begin(scenario: Scenario | undefined): void {
    this.#started = true;
    this.problem = "";
    this.played = scenario;
  }

  #time(): number {
    return this.state === undefined ? 0 : this.state.now + this.#clock() - this.#toldAt;
  }

  #tick(): void {
    this.now = this.#time();
  }
}
