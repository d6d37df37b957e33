/** Gets the page its token: from the address, from the tab's storage, or from the person. */

import { BridgeSource, type SocketLike } from "../source/bridge";
import type { TapInfo } from "../source/control";
import { TapSource } from "../source/tap";
import { recall, remember, removeToken, takeFromAddress } from "../source/token";
import type { Inspector } from "./inspector.svelte";

/** Returns the session's storage. The browser may refuse it; then the token lasts as long as the page. */
function storage(): Storage | undefined {
  try {
    return globalThis.sessionStorage;
  } catch {
    return undefined;
  }
}

export class Access {
  /** The token is asked for. */
  asking = $state(false);
  /** The bridge did not accept the last one. */
  refused = $state(false);
  /** The receiver of the page's tap, if the page is of one. */
  ontap: ((tap: TapInfo, source: TapSource) => void) | undefined;
  readonly #inspector: Inspector;
  readonly #dial: () => SocketLike;
  #token: string | undefined;

  constructor(inspector: Inspector, dial: () => SocketLike) {
    this.#inspector = inspector;
    this.#dial = dial;
  }

  start(): void {
    const store = storage();
    const token = takeFromAddress(globalThis) ?? (store === undefined ? undefined : recall(store));
    if (token === undefined) this.ask();
    else this.use(token);
  }

  /** Handles an address with another token in the same tab. */
  fromAddress(): void {
    const token = takeFromAddress(globalThis);
    if (token !== undefined) this.use(token);
  }

  ask(): void {
    this.asking = true;
  }

  dismiss(): void {
    this.asking = false;
  }

  retry(): void {
    if (this.#token === undefined) this.ask();
    else this.use(this.#token);
  }

  /** Keeps the token and fetches the targets with it. Nothing is connected by this. */
  use(token: string): void {
    this.#token = token;
    this.asking = false;
    this.refused = false;
    const store = storage();
    if (store !== undefined) remember(store, token);
    const refused = () => this.#refuse(token);
    const tapped = (tap: TapInfo) => this.ontap?.(tap, new TapSource(token, this.#dial, refused));
    void this.#inspector.use(new BridgeSource(token, this.#dial, refused, undefined, tapped));
  }

  #refuse(token: string): void {
    if (this.#token !== token) return;
    this.#token = undefined;
    const store = storage();
    if (store !== undefined) removeToken(store);
    this.refused = true;
    this.asking = true;
  }
}
