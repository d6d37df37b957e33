/** The browser's storage, which it may refuse altogether: then what is kept lasts as long as the page. */

/** Returns the value stored under the key, if it is JSON at all. */
export function stored(key: string): unknown {
  try {
    return JSON.parse(globalThis.localStorage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

export function store(key: string, value: unknown): void {
  try {
    globalThis.localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Full or forbidden: what is kept here is not worth an error.
  }
}
