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

/** The addresses of the page's workers: the only scripts that the policy allows. */
const addresses = [workerAddress, sandboxAddress].map((address) => new URL(address, import.meta.url).href);
const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
const policy = trustedTypes?.createPolicy("chanwire", {
  createScriptURL: (url) => {
    if (!addresses.includes(url)) throw new TypeError("Only the page's own workers may be started");
    return url;
  },
});

function start(address: string): Worker {
  const { href } = new URL(address, import.meta.url);
  return new Worker((policy?.createScriptURL(href) ?? href) as string, { type: "module" });
}

const bridge = new URL("bridge", document.baseURI);
bridge.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const decoder = start(workerAddress);
const inspector = new Inspector(decoder);
const access = new Access(inspector, () => new WebSocket(bridge));
// A request that the worker cannot answer is a bug, and is shown to the user.
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
    title: "Connect to a server from this page",
    choose: () => {
      inspector.chosen = "bridge";
      access.retry();
    },
  },
  {
    kind: "sandbox",
    label: "Sandbox",
    title: "Run a server and clients inside this page",
    choose: () => {
      inspector.chosen = "sandbox";
      access.dismiss();
      void inspector.use(sandbox.source);
    },
  },
  {
    kind: "capture",
    label: "Open…",
    title: "Open a capture file: pcap, pcapng, JSON Lines, raw bytes or a hex dump",
    choose: () => opening.ask(),
  },
];
// A page served by a tap shows the tap's traffic until the user chooses another source.
let tapped: TapSource | undefined;
access.ontap = (tap, source) => {
  if (tapped === undefined) {
    const choice: SourceChoice = {
      kind: "tap",
      label: "Tap",
      title: `Traffic between the clients of ${tap.listen} and ${tap.to}`,
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

// The engine and the sandbox are fetched when the page is ready and idle, so that they also work once the server has
// stopped.
const whenIdle = globalThis.requestIdleCallback ?? ((run: () => void) => setTimeout(run));
decoder.addEventListener("message", function ready({ data }: MessageEvent<FromWorker>) {
  if (data.type !== "ready") return;
  decoder.removeEventListener("message", ready);
  whenIdle(() => {
    decoder.postMessage("prefetch");
    sandboxWorker.load();
  });
});
