/** A wasm module that may be fetched and compiled before it is needed, and instantiated as often as it is. */
export class Compiled {
  readonly #address: string;
  #module: Promise<WebAssembly.Module> | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  /** Fetches it now. If that fails it is tried again when it is needed, and reported then. */
  prefetch(): void {
    this.get().catch(() => undefined);
  }

  get(): Promise<WebAssembly.Module> {
    this.#module ??= WebAssembly.compileStreaming(fetch(this.#address)).catch((error: unknown) => {
      this.#module = undefined;
      throw error;
    });
    return this.#module;
  }
}
