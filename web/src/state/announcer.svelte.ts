/** Announcements for screen readers: rates and errors now and then, never each frame. */

import { plural } from "../text/format";

const ERRORS_EVERY = 3000;
const RATE_EVERY = 10_000;

export class Announcer {
  text = $state("");
  #errors = 0;
  #frames = 0;
  #lastErrors = -ERRORS_EVERY;
  #lastRate = 0;

  say(text: string): void {
    this.text = text;
  }

  count(frames: number, errors: number): void {
    this.#frames += frames;
    this.#errors += errors;
  }

  /** Announces what is due. Call from time to time with the time in milliseconds. */
  tick(now: number): void {
    if (this.#errors > 0 && now - this.#lastErrors >= ERRORS_EVERY) {
      this.text = `${plural(this.#errors, "row")} with errors`;
      this.#errors = 0;
      this.#lastErrors = now;
    } else if (this.#frames > 0 && now - this.#lastRate >= RATE_EVERY) {
      this.text = `${plural(this.#frames, "row")} in the last ${Math.round((now - this.#lastRate) / 1000)} seconds`;
      this.#frames = 0;
      this.#lastRate = now;
    }
  }
}
