/** The worker's side of the sandbox: lets it run along with real time, and hands on what happens. */

import { holdsEnd, type Step } from "../source/source";
import type * as Wasm from "../wasm/chanwire_sandbox";
import type { FromSandbox, ToSandbox } from "./messages";

/** The members of the wasm module that the runner needs. */
export type SandboxModule = Pick<typeof Wasm, "Sandbox" | "scenarios" | "settings" | "settingsProblems">;

export interface Clock {
  /** Milliseconds of a clock that never runs back. */
  now(): number;
  /** Seconds since 1970. */
  wall(): number;
  /** Runs it once, after so many milliseconds; returns a function that cancels it. */
  later(run: () => void, ms: number): () => void;
}

type Post = (message: FromSandbox) => void;

/** No timer is set for longer; the sandbox is then looked at again. */
const LONGEST_TIMER = 60_000;

export class SandboxRunner {
  readonly #wasm: SandboxModule;
  readonly #post: Post;
  readonly #clock: Clock;
  #sandbox: Wasm.Sandbox | undefined;
  #life = 0;
  /** The clock's time when the sandbox was made, less the time skipped. */
  #origin = 0;
  #cancel: (() => void) | undefined;
  #told = "";

  constructor(wasm: SandboxModule, post: Post, clock: Clock) {
    this.#wasm = wasm;
    this.#post = post;
    this.#clock = clock;
    post({ type: "ready", scenarios: wasm.scenarios(), settings: wasm.settings() });
  }

  handle(message: ToSandbox): void {
    switch (message.type) {
      case "start":
        this.#begin(message.life, () => new this.#wasm.Sandbox({ ...message.values }, this.#clock.wall()));
        break;
      case "play":
        this.#begin(message.life, () =>
          this.#wasm.Sandbox.play(message.name, message.seed, this.#clock.wall()),
        );
        break;
      case "judge":
        this.#post({ type: "judged", problems: this.#wasm.settingsProblems({ ...message.values }) });
        return;
      default:
        this.#act(message);
    }
    this.#run();
  }

  #begin(life: number, make: () => Wasm.Sandbox): void {
    this.#sandbox?.free();
    this.#sandbox = undefined;
    this.#life = life;
    const sandbox = make();
    this.#sandbox = sandbox;
    // A play has let time pass already.
    this.#origin = this.#clock.now() - sandbox.state().now;
  }

  #act(message: Exclude<ToSandbox, { type: "start" | "play" | "judge" }>): void {
    const sandbox = this.#sandbox;
    if (sandbox === undefined) return;
    // An action now comes after everything that was due before.
    sandbox.run(this.#time());
    switch (message.type) {
      case "connect": {
        const { call } = message;
        try {
          const connection = sandbox.connect(message.address);
          this.#post({ type: "connected", life: this.#life, call, connection });
        } catch (error) {
          const words = error instanceof Error ? error.message : String(error);
          this.#post({ type: "refused", life: this.#life, call, message: words });
        }
        break;
      }
      case "send":
        this.#send(sandbox, message.connection, message.steps);
        break;
      case "close":
        sandbox.close(message.connection);
        break;
      case "reading":
        sandbox.setReading(message.connection, message.on);
        break;
      case "store":
        sandbox.setStore(message.mode);
        break;
      case "reconfigure":
        sandbox.reconfigure({ ...message.values });
        break;
      case "skip":
        this.#origin -= message.ms;
        break;
    }
  }

  /** Sends all of it or nothing. */
  #send(sandbox: Wasm.Sandbox, connection: number, steps: readonly Step[]): void {
    const bytes = steps.reduce((sum, step) => sum + ("bytes" in step ? step.bytes.length : 0), 0);
    const message = sandbox.refusal(connection, steps.length, bytes);
    if (message !== undefined) {
      this.#post({ type: "unsent", life: this.#life, connection, message, ended: holdsEnd(steps) });
      return;
    }
    for (const step of steps) {
      if ("bytes" in step) sandbox.write(connection, step.bytes);
      else if ("wait" in step) sandbox.wait(connection, step.wait);
      else if ("end" in step) sandbox.end(connection);
      else sandbox.reset(connection);
    }
  }

  #time(): number {
    return Math.max(0, Math.floor(this.#clock.now() - this.#origin));
  }

  /** Does what is due, tells what happened, and waits for what is due next. */
  #run(): void {
    const sandbox = this.#sandbox;
    if (sandbox === undefined) return;
    this.#cancel?.();
    sandbox.run(this.#time());
    const events = sandbox.takeEvents();
    if (events.length > 0) this.#post({ type: "events", life: this.#life, events });
    const state = sandbox.state();
    const words = JSON.stringify([this.#life, this.#origin, { ...state, now: 0 }]);
    // The time alone is no news: who was told it once can count on.
    if (words !== this.#told) this.#post({ type: "state", life: this.#life, state });
    this.#told = words;
    const next = sandbox.next();
    if (next === undefined) return;
    const wait = Math.min(LONGEST_TIMER, Math.max(0, next - (this.#clock.now() - this.#origin)));
    this.#cancel = this.#clock.later(() => this.#run(), Math.ceil(wait));
  }
}
