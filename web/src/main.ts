import { mount } from "svelte";
import "./styles/base.css";
import "./styles/page.css";
import "./styles/query.css";
import "./styles/overview.css";
import "./styles/list.css";
import "./styles/frame.css";
import "./styles/compose.css";
import App from "./App.svelte";
import { Draft } from "./compose/draft.svelte";
import workerAddress from "./decode/worker?worker&url";
import { Access } from "./state/access.svelte";
import { Inspector } from "./state/inspector.svelte";
import { parseLink } from "./text/link";

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): unknown };
}

/** The only script address that the page ever makes is its own worker's. */
function workerUrl(): URL {
  const url = new URL(workerAddress, import.meta.url);
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  const policy = trustedTypes?.createPolicy("chanwire", {
    createScriptURL: (asked) => {
      if (asked !== url.href) throw new TypeError("Only the decoder's worker may be started");
      return asked;
    },
  });
  return (policy?.createScriptURL(url.href) ?? url) as URL;
}

const bridge = new URL("/bridge", location.href);
bridge.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const inspector = new Inspector(new Worker(workerUrl(), { type: "module" }));
const access = new Access(inspector, () => new WebSocket(bridge));
// A question that the worker could not answer is a mistake of ours; it must not pass in silence.
addEventListener("unhandledrejection", ({ reason }) =>
  inspector.tell(`Something went wrong: ${String(reason)}`),
);
const target = document.getElementById("app");
if (target === null) throw new Error("The page has no element #app");
// A link is read before the token is taken, which clears the address.
const link = parseLink(location.hash);
if (link !== undefined) inspector.follow(link);
mount(App, { target, props: { inspector, access, draft: new Draft(inspector.decoder) } });
access.start();
