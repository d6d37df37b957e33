/**
 * The worker before there is any traffic: it composes, and loads the engine when there is something to record. So the
 * page is there at once, and small.
 */

import type * as Compose from "../wasm/chanwire_compose";
import { verdict } from "./describe";
import { Engine, type EngineModule, type Surroundings } from "./engine";
import type { Composed, FromWorker, Questions, ToWorker } from "./messages";

/** The members of the small module that are needed. */
export type ComposeModule = Pick<
  typeof Compose,
  "check" | "commands" | "compose" | "fill" | "plan" | "version"
>;

export class Front {
  readonly #compose: ComposeModule;
  readonly #around: Surroundings;
  readonly #load: () => Promise<EngineModule>;
  #engine: Engine | undefined;
  #loading = false;
  /** Messages for the engine, in order. */
  #waiting: ToWorker[] = [];

  constructor(compose: ComposeModule, around: Surroundings, load: () => Promise<EngineModule>) {
    this.#compose = compose;
    this.#around = around;
    this.#load = load;
    this.#post({ type: "ready", version: compose.version(), forms: compose.commands() });
  }

  handle(message: ToWorker): void {
    if (message.type === "ask" && this.#answers(message)) return;
    if (this.#engine !== undefined) {
      this.#engine.handle(message);
      return;
    }
    this.#waiting.push(message);
    if (!wakes(message) || this.#loading) return;
    this.#loading = true;
    void this.#wake();
  }

  async #wake(): Promise<void> {
    try {
      const module = await this.#load();
      this.#engine = new Engine(module, this.#around);
      for (const message of this.#waiting.splice(0)) this.#engine.handle(message);
    } catch (error) {
      this.#post({ type: "failed", message: String(error) });
    }
  }

  #post(message: FromWorker): void {
    this.#around.post(message, []);
  }

  /** Answers what needs no engine. Returns whether it did. */
  #answers({ id, question, ask }: Extract<ToWorker, { type: "ask" }>): boolean {
    try {
      switch (question) {
        case "fill":
          this.#post({
            type: "answer",
            id,
            answer: this.#compose.fill((ask as Questions["fill"]["ask"]).bytes),
          });
          return true;
        case "compose": {
          const { command, values } = ask as Questions["compose"]["ask"];
          const answer = this.#compose.compose(command, { ...values }) as Composed;
          this.#post({ type: "answer", id, answer });
          return true;
        }
        case "check": {
          const { bytes } = ask as Questions["check"]["ask"];
          this.#post({ type: "answer", id, answer: this.#compose.check(bytes).map(verdict) });
          return true;
        }
        case "plan": {
          const { bytes, faults } = ask as Questions["plan"]["ask"];
          this.#post({ type: "answer", id, answer: this.#compose.plan(bytes, { ...faults }) });
          return true;
        }
        default:
          return this.#engine === undefined && !this.#loading && this.#answersOfNothing(id, question, ask);
      }
    } catch (error) {
      this.#post({ type: "refused", id, message: error instanceof Error ? error.message : String(error) });
      return true;
    }
  }

  /** Answers the questions that the page asks of an empty capture when it begins. */
  #answersOfNothing(id: number, question: keyof Questions, ask: unknown): boolean {
    const answer = ((): unknown => {
      switch (question) {
        case "statistics":
          return { rows: [] } satisfies Questions["statistics"]["answer"];
        case "timeline": {
          const none = new Float64Array(0);
          return {
            start: 0,
            step: 0,
            frames: none,
            bad: none,
            p99: none,
          } satisfies Questions["timeline"]["answer"];
        }
        case "connections":
          return [] satisfies Questions["connections"]["answer"];
        case "reset":
          return null;
        case "filter":
          return (ask as Questions["filter"]["ask"]).text.trim() === "" ? {} : undefined;
        default:
          return undefined;
      }
    })();
    if (answer !== undefined) this.#post({ type: "answer", id, answer: answer ?? undefined });
    return answer !== undefined;
  }
}

/** Returns whether a message is about something that the engine must be there for; the others wait for one that is. */
function wakes(message: ToWorker): boolean {
  switch (message.type) {
    case "clear":
    case "limit":
    case "look":
    case "mark":
    case "pause":
      return false;
    default:
      return true;
  }
}
