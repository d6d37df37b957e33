/** Shows the bridge the token, and does so again where that was too late. */

import { Refused } from "./source";

const TOKEN_REFUSED = 4401;
/** The bridge waits two seconds for the token, and the page may be busy for so long. */
const TOKEN_LATE = 4408;

/** So often in a row the page is late before it gives up. */
const TRIES = 3;

/** How a try ends. */
export interface Outcome<T> {
  resolve(answer: T): void;
  reject(error: Error): void;
  /** The bridge closed the WebSocket with this code, which is in these words. */
  closed(code: number, words: string): void;
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
      closed: (code, words) => {
        if (code === TOKEN_LATE && tries > 1) resolve(knock(attempt, refused, tries - 1));
        else if (isRefusal(code)) {
          reject(new Refused(words));
          refused();
        } else reject(new Error(words));
      },
    });
  });
}

/** Whether a close code says that the token is wrong. */
export function isRefusal(code: number): boolean {
  return code === TOKEN_REFUSED;
}
