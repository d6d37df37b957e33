/** The page's state: what comes from where, what is captured, and what of it is shown. */

import { DecoderClient, type WorkerLike } from "../decode/client";
import type { CommandForm } from "../decode/messages";
import type { Source, Step, Target } from "../source/source";
import { Refused } from "../source/source";
import { count } from "../text/format";
import type { Linked } from "../text/link";
import { Announcer } from "./announcer.svelte";
import { Finder } from "./finder.svelte";
import { Frames, type Voice } from "./frames.svelte";
import { Overview } from "./overview.svelte";
import { Query } from "./query.svelte";
import { isWritable, Recorder, type ConnectionInfo } from "./recorder";
import { Settings } from "./settings.svelte";

/** The interval at which events are announced and drawn in the timeline. */
const TICK_MS = 250;

const TOLD_MS = 6000;

export type SourceKind = "bridge" | "sandbox" | "tap" | "capture";

export interface SourceChoice {
  readonly kind: SourceKind;
  readonly label: string;
  readonly title: string;
  choose(): void;
}

export class Inspector implements Voice {
  readonly announcer = new Announcer();
  readonly settings = new Settings();
  readonly decoder: DecoderClient;
  /** The shown part of the captured rows. */
  readonly frames: Frames;
  readonly filter: Query;
  readonly highlight: Query;
  readonly finder: Finder;
  readonly overview: Overview;

  connections: readonly ConnectionInfo[] = $state.raw([]);
  /** The number of connections in the file that was read last. */
  captured = $state(0);
  /** The connection that Compose sends on. */
  current: number | undefined = $state();
  targets: readonly Target[] = $state.raw([]);
  /** The source was asked what there is, and has not answered yet. */
  asking = $state(false);
  /** A note from the source. */
  sourceNote = $state("");
  /** Why there is no list of targets. */
  sourceProblem = $state("");
  forms: readonly CommandForm[] = $state.raw([]);
  version = $state("");
  /** Why nothing can be decoded. */
  failure = $state("");

  /** The last thing that went otherwise than somebody wanted. */
  told = $state("");
  /** The sources that traffic can come from, and the current one. */
  choices: readonly SourceChoice[] = $state.raw([]);
  chosen: SourceKind = $state("bridge");

  readonly #recorder: Recorder;
  #telling: ReturnType<typeof setTimeout> | undefined;
  #source: Source | undefined = $state.raw();

  constructor(worker: WorkerLike) {
    this.decoder = new DecoderClient(worker, {
      ready: ({ version, forms }) => {
        this.version = version;
        this.forms = forms;
      },
      status: (status) => {
        this.#recorder.returnCredit(status);
        this.frames.tookStatus(status);
        this.announcer.count(status.added, status.addedBad);
      },
      window: (message) => this.frames.tookWindow(message),
      failed: (message) => {
        this.failure = message;
      },
    });
    this.frames = new Frames(this.decoder, this);
    this.filter = new Query("filter", this.decoder, (filter) => this.settings.keep({ filter }));
    this.highlight = new Query("highlight", this.decoder, (highlight) => this.settings.keep({ highlight }));
    this.finder = new Finder(this.frames);
    this.overview = new Overview(this.decoder, this.settings);
    this.#recorder = new Recorder(this.decoder, {
      connections: (all) => {
        this.connections = all;
      },
      announced: (text) => this.say(text),
      refused: (why) => this.tell(why),
    });
    const { filter, highlight, ring } = this.settings.kept;
    this.#limit(ring);
    if (filter !== "") this.filter.set(filter);
    if (highlight !== "") this.highlight.set(highlight);
    setInterval(() => {
      this.announcer.tick(performance.now());
      void this.overview.refresh(this.frames.status);
    }, TICK_MS);
  }

  get connected(): boolean {
    return this.#source !== undefined;
  }

  /** Returns the connection that Compose sends on, while it can take bytes. */
  get writable(): ConnectionInfo | undefined {
    return this.connections.find((entry) => entry.number === this.current && isWritable(entry));
  }

  async use(source: Source): Promise<void> {
    if (this.#source !== source) this.#source?.stop?.();
    this.#source = source;
    this.frames.goLive();
    this.sourceNote = "";
    this.sourceProblem = "";
    source.accept?.((target, link) => {
      const { number, events } = this.#recorder.accept(target, link);
      this.current ??= number;
      return events;
    });
    this.targets = [];
    this.asking = true;
    try {
      const targets = await source.targets();
      // Another source may have been chosen meanwhile.
      if (this.#source === source) {
        this.targets = targets;
        this.sourceNote = source.note ?? "";
      }
    } catch (error) {
      if (this.#source !== source) return;
      if (error instanceof Refused) this.#source = undefined;
      else this.sourceProblem = error instanceof Error ? error.message : String(error);
    } finally {
      if (this.#source === source || this.#source === undefined) this.asking = false;
    }
  }

  /** Begins a capture in place of everything: sources end, and all rows are dropped. */
  async beginCapture(): Promise<void> {
    this.#recorder.reset();
    this.#source?.stop?.();
    this.#source = undefined;
    this.targets = [];
    this.sourceProblem = "";
    this.current = undefined;
    this.chosen = "capture";
    this.captured = 0;
    this.overview.reset();
    await this.frames.reset(false);
  }

  /** Ends a capture: its connections are shown as a source's are. */
  async endCapture(): Promise<void> {
    const connections = await this.decoder.ask("connections", undefined);
    this.captured = connections.length;
    this.#recorder.captured(connections);
  }

  connect(target: Target): void {
    if (this.#source === undefined) return;
    this.current = this.#recorder.connect(this.#source, target);
  }

  send(steps: readonly Step[]): void {
    if (this.writable !== undefined) this.#recorder.send(this.writable.number, steps);
  }

  end(connection: number): void {
    this.#recorder.end(connection);
  }

  close(connection: number): void {
    this.#recorder.close(connection);
  }

  /** Sends the selected frame's bytes once more, as they were: on its own connection, or else on Compose's. */
  async resend(): Promise<void> {
    const frame = await this.frames.chosen();
    if (frame === undefined) {
      if (this.frames.selected !== undefined) this.tell("The selected frame is no longer held");
      return;
    }
    const { number, connection } = frame.row;
    const own = this.connections.find((entry) => entry.number === connection && isWritable(entry));
    const on = own ?? this.writable;
    if (frame.bytes.length === 0) this.tell("This row stands for no bytes");
    else if (on === undefined) this.tell("Connect first: there is no connection to send on");
    else {
      this.#recorder.send(on.number, [{ bytes: frame.bytes }]);
      const sent = `Frame ${count(number)} is sent again on #${on.number}`;
      if (own === undefined) this.tell(`${sent}: #${connection} takes nothing any more`);
      else this.say(sent);
    }
  }

  say(text: string): void {
    this.announcer.say(text);
  }

  /** Shows it where everybody notices, for some seconds. */
  tell(text: string): void {
    this.told = text;
    this.announcer.say(text);
    clearTimeout(this.#telling);
    this.#telling = setTimeout(() => (this.told = ""), TOLD_MS);
  }

  /** Applies a link. Nothing is connected, sent or read by this. */
  follow(link: Linked): void {
    if (link.filter !== undefined) this.filter.set(link.filter);
    if (link.highlight !== undefined) this.highlight.set(link.highlight);
    this.frames.wanted = link.frame;
  }

  /** Sets the memory for captured traffic, in MiB. Rows beyond it are dropped at once. */
  setRing(mebibytes: number): void {
    this.settings.keep({ ring: mebibytes });
    this.#limit(mebibytes);
  }

  #limit(mebibytes: number): void {
    this.decoder.send({ type: "limit", bytes: mebibytes * 1024 * 1024 });
  }

  clear(): void {
    this.frames.clear();
    void this.overview.setRange(undefined);
  }
}
