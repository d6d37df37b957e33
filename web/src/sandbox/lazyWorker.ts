/** A lazy worker: it starts with the first message, or when one is expected. */

import type { SandboxWorker } from "../source/sandbox";

type Listen = SandboxWorker["addEventListener"];

export class LazyWorker implements SandboxWorker {
  readonly #start: () => SandboxWorker;
  readonly #listeners: Parameters<Listen>[] = [];
  #worker: SandboxWorker | undefined;

  constructor(start: () => SandboxWorker) {
    this.#start = start;
  }

  /** Starts it now. */
  load(): void {
    this.#running();
  }

  postMessage(message: Parameters<SandboxWorker["postMessage"]>[0]): void {
    this.#running().postMessage(message);
  }

  readonly addEventListener = ((...listener: Parameters<Listen>) => {
    this.#listeners.push(listener);
    this.#worker?.addEventListener(...listener);
  }) as Listen;

  #running(): SandboxWorker {
    if (this.#worker === undefined) {
      this.#worker = this.#start();
      for (const listener of this.#listeners) this.#worker.addEventListener(...listener);
    }
    return this.#worker;
  }
}
