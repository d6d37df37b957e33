/** Authenticates with the token at the bridge, and tries again where it came too late. */

import { Refused } from "./source";

const TOKEN_REFUSED = 4401;
/** The bridge waits two seconds for the token, and the page may be busy for so long. */
const TOKEN_LATE = 4408;

/** The attempts that may be too late in a row. */
const TRIES = 3;

/** The outcome of an attempt. */
export interface Outcome<T> {
  resolve(answer: T): void;
  reject(error: Error): void;
  /** Handles a close of the WebSocket by the bridge with this code, in these words. */
  closed(code: number, words: string): void;
}

/** Runs an attempt to authenticate. `refused` is called when the token is wrong. */
export function authenticate<T>(
  attempt: (outcome: Outcome<T>) => void,
  refused: () => void,
  tries = TRIES,
): Promise<T> {
  return new Promise((resolve, reject) => {
    attempt({
      resolve,
      reject,
      closed: (code, words) => {
        if (code === TOKEN_LATE && tries > 1) resolve(authenticate(attempt, refused, tries - 1));
        else if (isRefusal(code)) {
          reject(new Refused(words));
          refused();
        } else reject(new Error(words));
      },
    });
  });
}

/** Returns whether a close code says that the token is wrong. */
export function isRefusal(code: number): boolean {
  return code === TOKEN_REFUSED;
}
