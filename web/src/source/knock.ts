/** Shows the bridge the token, and does so again before it is taken for wrong. */

import { Refused } from "./source";

export const TOKEN_REFUSED = 4401;

/**
 * The bridge waits two seconds for the token, and a page that was busy for so long is told the same as one whose token
 * is wrong. Only a token that is refused so often in a row is taken for wrong.
 */
const TRIES = 3;

/** How a try ends. */
export interface Outcome<T> {
  resolve(answer: T): void;
  reject(error: Error): void;
  /** The token was not accepted, in the bridge's words. */
  refuse(words: string): void;
}

/** `refused` is called when the token is wrong. */
export function knock<T>(
  attempt: (outcome: Outcome<T>) => void,
  refused: () => void,
  tries = TRIES,
): Promise<T> {
  return new Promise((resolve, reject) => {
    attempt({
      resolve,
      reject,
      refuse: (words) => {
        if (tries > 1) {
          resolve(knock(attempt, refused, tries - 1));
          return;
        }
        reject(new Refused(words));
        refused();
      },
    });
  });
}
