import { expect, test } from "vitest";
import type { ToWorker } from "../src/decode/messages";
import { Recorder } from "../src/state/recorder";
import type { LinkEvents, Source } from "../src/source/source";
import { ascii } from "./fakes";

test("what is recorded has dates, whether the source tells times or not", () => {
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
    { connections: nothing, said: nothing, refused: nothing },
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
