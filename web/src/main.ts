import { mount } from "svelte";
import "./styles/base.css";
import "./styles/page.css";
import "./styles/query.css";
import "./styles/overview.css";
import "./styles/list.css";
import "./styles/frame.css";
import "./styles/compose.css";
import "./styles/sandbox.css";
import "./styles/capture.css";
import App from "./App.svelte";
import { Opening } from "./capture/opening.svelte";
import { Draft } from "./compose/draft.svelte";
import type { FromWorker } from "./decode/messages";
import workerAddress from "./decode/worker?worker&url";
import { SandboxControl } from "./sandbox/control.svelte";
import { LazyWorker } from "./sandbox/lazyWorker";
import sandboxAddress from "./sandbox/worker?worker&url";
import type { TapSource } from "./source/tap";
import { Access } from "./state/access.svelte";
import { Inspector, type SourceChoice } from "./state/inspector.svelte";
import { takeLink } from "./text/link";

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): unknown };
}

/** The only script addresses that the page ever makes are its own workers'. */
const addresses = [workerAddress, sandboxAddress].map((address) => new URL(address, import.meta.url).href);
const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
const policy = trustedTypes?.createPolicy("chanwire", {
  createScriptURL: (asked) => {
    if (!addresses.includes(asked)) throw new TypeError("Only the page's own workers may be started");
    return asked;
  },
});

function start(address: string): Worker {
  const { href } = new URL(address, import.meta.url);
  return new Worker((policy?.createScriptURL(href) ?? href) as string, { type: "module" });
}

const bridge = new URL("/bridge", location.href);
bridge.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const decoder = start(workerAddress);
const inspector = new Inspector(decoder);
const access = new Access(inspector, () => new WebSocket(bridge));
// A question that the worker could not answer is a mistake of ours; it must not pass in silence.
addEventListener("unhandledrejection", ({ reason }) =>
  inspector.tell(`Something went wrong: ${String(reason)}`),
);
const sandboxWorker = new LazyWorker(() => start(sandboxAddress));
const sandbox = new SandboxControl(sandboxWorker);
const opening = new Opening(inspector);
inspector.choices = [
  {
    kind: "bridge",
    label: "Bridge",
    title: "A connection of the page's own to a server",
    choose: () => {
      inspector.chosen = "bridge";
      access.retry();
    },
  },
  {
    kind: "sandbox",
    label: "Sandbox",
    title: "A whole server in this page, with clients to play",
    choose: () => {
      inspector.chosen = "sandbox";
      access.dismiss();
      void inspector.use(sandbox.source);
    },
  },
  {
    kind: "capture",
    label: "Open…",
    title: "A capture that somebody made: pcap, pcapng, JSON Lines, raw bytes or a hex dump",
    choose: () => opening.ask(),
  },
];
// A page that a tap serves shows what passes through it, until another source is chosen.
let tapped: TapSource | undefined;
access.ontap = (tap, source) => {
  if (tapped === undefined) {
    const choice: SourceChoice = {
      kind: "tap",
      label: "Tap",
      title: `What clients of ${tap.listen} and ${tap.to} say`,
      choose: () => {
        inspector.chosen = "tap";
        if (tapped !== undefined) void inspector.use(tapped);
      },
    };
    inspector.choices = [choice, ...inspector.choices];
    inspector.chosen = "tap";
  }
  tapped = source;
  if (inspector.chosen === "tap") void inspector.use(source);
};
const target = document.getElementById("app");
if (target === null) throw new Error("The page has no element #app");
const link = takeLink(globalThis);
if (link !== undefined) inspector.follow(link);
mount(App, { target, props: { inspector, access, draft: new Draft(inspector.decoder), sandbox, opening } });
access.start();

// The engine and the sandbox are loaded when they are needed, but fetched before, for they are to be there when the
// server is gone: once the page is there and has nothing else to do.
const whenIdle = globalThis.requestIdleCallback ?? ((run: () => void) => setTimeout(run));
decoder.addEventListener("message", function ready({ data }: MessageEvent<FromWorker>) {
  if (data.type !== "ready") return;
  decoder.removeEventListener("message", ready);
  whenIdle(() => {
    decoder.postMessage("prefetch");
    sandboxWorker.load();
  });
});
