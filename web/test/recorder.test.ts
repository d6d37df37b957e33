import { expect, test } from "vitest";
import type { ToWorker } from "../src/decode/messages";
import { Recorder, type ConnectionInfo } from "../src/state/recorder";
import type { LinkEvents, Source } from "../src/source/source";
import { ascii } from "./fakes";

test("recorded events have dates, whether the source gives times or not", () => {
  const sent: ToWorker[] = [];
  const nothing = () => undefined;
  let told: LinkEvents | undefined;
  const link = { writable: true, send: nothing, end: nothing, close: nothing, taken: nothing };
  const source: Pick<Source, "connect"> = {
    connect: (_, events) => {
      told = events;
      return link;
    },
  };
  const recorder = new Recorder(
    { send: (message: ToWorker) => sent.push(message) },
    { connections: nothing, announced: nothing, refused: nothing },
    () => 50,
    1_700_000_000_000,
  );
  recorder.connect(source as Source, { id: "a", address: "a" });
  told?.opened("here", "there");
  told?.bytes("out", ascii("LIST\r\n"), 60);
  told?.ended("out", 61);
  told?.gap?.("in", { bytes: 1, frames: 1, paired: 1, text: "" }, 62);
  told?.closed("over", false);
  const times = sent.flatMap((message) =>
    "time" in message ? [`${message.type} ${message.time - 1_700_000_000_000}`] : [],
  );
  expect(times).toEqual(["note 50", "bytes 60", "end 61", "note 61", "gap 62", "close 50", "note 50"]);
});

test("after a reset events of old connections are not recorded, and the next one is numbered 1", () => {
  const sent: ToWorker[] = [];
  const closed: string[] = [];
  const told: LinkEvents[] = [];
  let known: readonly ConnectionInfo[] = [];
  const nothing = () => undefined;
  const source: Pick<Source, "connect"> = {
    connect: ({ id }, events) => {
      told.push(events);
      return { writable: true, send: nothing, end: nothing, close: () => closed.push(id), taken: nothing };
    },
  };
  const recorder = new Recorder(
    { send: (message: ToWorker) => sent.push(message) },
    { connections: (all) => (known = all), announced: nothing, refused: nothing },
  );
  const connect = (id: string) => recorder.connect(source as Source, { id, address: id });
  connect("a");
  connect("b");
  told[0].opened("here", "there");
  told[1].closed("over", false);
  recorder.reset();
  expect(closed).toEqual(["a"]);
  expect(known).toEqual([]);
  sent.length = 0;
  told[0].bytes("in", ascii("OK"));
  told[0].ended("in");
  told[0].closed("closed by the page", false);
  expect(sent).toEqual([]);
  recorder.captured([
    { number: 1, label: "x to y" },
    { number: 7, label: "z" },
  ]);
  expect(known.map(({ number, remote, state }) => [number, remote, state])).toEqual([
    [1, "x to y", "captured"],
    [7, "z", "captured"],
  ]);
  expect(connect("c")).toBe(8);
  recorder.reset();
  expect(connect("d")).toBe(1);
  told[3].bytes("out", ascii("LIST"));
  expect(sent.filter(({ type }) => type === "bytes")).toHaveLength(1);
});
