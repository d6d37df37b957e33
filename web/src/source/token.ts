/** The access token: from the address bar into the tab's own storage, so that neither history nor a link keeps it. */

const KEY = "chanwire.token";

/** Returns the token in what somebody typed or pasted: the token alone or a whole address that carries it. */
export function tokenIn(text: string): string | undefined {
  const found = /(?:^|[#&]token=)([0-9a-fA-F]{32})(?:&|$)/.exec(text.trim());
  return found?.[1].toLowerCase();
}

export interface Place {
  readonly location: Pick<Location, "hash" | "pathname" | "search">;
  readonly history: Pick<History, "replaceState" | "state">;
}

/** Takes the token out of the address, if it is there. */
export function takeFromAddress(place: Place): string | undefined {
  const token = tokenIn(place.location.hash);
  if (token !== undefined) {
    place.history.replaceState(place.history.state, "", place.location.pathname + place.location.search);
  }
  return token;
}

type Storage = Pick<globalThis.Storage, "getItem" | "setItem" | "removeItem">;

export function recall(storage: Storage): string | undefined {
  return tokenIn(storage.getItem(KEY) ?? "");
}

export function remember(storage: Storage, token: string): void {
  storage.setItem(KEY, token);
}

export function removeToken(storage: Storage): void {
  storage.removeItem(KEY);
}
