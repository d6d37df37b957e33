import { beforeEach, describe, expect, test } from "vitest";
import { DecoderClient } from "../src/decode/client";
import { ROW_HEIGHT } from "../src/list/grid";
import { Frames } from "../src/state/frames.svelte";
import { Query } from "../src/state/query.svelte";
import { FakeEngine } from "./fakeEngine";
import { random } from "./fakes";

const VIEW = 10;

let engine: FakeEngine;
let frames: Frames;
let filter: Query;
let highlight: Query;
let told: string[];

beforeEach(async () => {
  engine = new FakeEngine();
  told = [];
  const client: DecoderClient = new DecoderClient(engine, {
    ready: () => undefined,
    status: (status) => frames.tookStatus(status),
    window: (message) => frames.tookWindow(message),
    failed: (message) => told.push(message),
  });
  frames = new Frames(client, { say: (text) => told.push(text), tell: (text) => told.push(text) });
  filter = new Query("filter", client, () => undefined);
  highlight = new Query("highlight", client, () => undefined);
  frames.model.scroll.setViewport(VIEW * ROW_HEIGHT);
  await draw();
});

/** Does as the grid does: asks for missing rows until the picture is complete. */
async function draw(): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    const look = frames.model.ask();
    if (look !== undefined) frames.look(look);
    await engine.settle();
  }
}

/** Numbers of the rows that can be seen whole. */
function seen(): (number | undefined)[] {
  const { model } = frames;
  const first = Math.ceil(model.scroll.position / ROW_HEIGHT);
  const count = Math.min(VIEW, model.scroll.count - first);
  return Array.from({ length: count }, (_, i) => model.at(first + i)?.number);
}

/** Pixels from the upper edge to the row. */
function placeOf(number: number): number | undefined {
  const position = frames.model.positionOf(number);
  return position === undefined ? undefined : frames.model.scroll.offset(frames.model.indexOf(position));
}

async function query(text: string, which = filter): Promise<void> {
  which.set(text);
  await draw();
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

describe("following", () => {
  test("shows the newest rows as they come", async () => {
    engine.add(5);
    await draw();
    expect(seen()).toEqual(numbers(1, 5));
    engine.add(1000);
    await draw();
    expect(seen()).toEqual(numbers(996, 1005));
    expect(frames.model.complete).toBe(true);
  });

  test("makes a whole picture of what has come, also when more is known to be there", async () => {
    engine.add(100);
    await draw();
    // The rows of the next thousand are on their way; their number is here already.
    frames.tookStatus({ ...frames.status, end: 1100, captured: 1101 });
    expect(frames.model.complete).toBe(true);
    expect(seen()).toEqual(numbers(91, 100));
  });

  test("stops where the person scrolls up, and counts what comes", async () => {
    engine.add(100);
    await draw();
    frames.model.scroll.moveBy(-200);
    frames.scrolled();
    await draw();
    const before = seen();
    engine.add(50);
    await draw();
    expect(frames.follow).toBe(false);
    expect(frames.waiting).toBe(50);
    expect(seen()).toEqual(before);
    frames.setFollow(true);
    await draw();
    expect(frames.waiting).toBe(0);
    expect(seen()).toEqual(numbers(141, 150));
  });

  test("rows that were in sight are not new", async () => {
    engine.add(3);
    await draw();
    // Room for seven more: where the first is selected the list does not follow, and what comes is seen all the same.
    const chosen = frames.select(1);
    await draw();
    await chosen;
    engine.add(5);
    await draw();
    expect([frames.follow, frames.waiting]).toEqual([false, 0]);
    engine.add(10);
    await draw();
    expect(frames.waiting).toBe(8);
    frames.model.scroll.moveBy(5 * ROW_HEIGHT);
    frames.scrolled();
    expect(frames.waiting).toBe(3);
    frames.model.scroll.moveBy(-5 * ROW_HEIGHT);
    frames.scrolled();
    expect(frames.waiting).toBe(3);
  });

  test("a file that is opened stands at its top, whatever was shown before", async () => {
    engine.add(500);
    await draw();
    const chosen = frames.select(400);
    await draw();
    await chosen;
    frames.togglePause();
    const reset = frames.reset(false);
    await draw();
    await reset;
    engine.add(100);
    await draw();
    expect(frames).toMatchObject({
      live: false,
      follow: false,
      paused: false,
      selected: undefined,
      waiting: 0,
    });
    expect(seen()).toEqual(numbers(1, 10));
    frames.togglePause();
    expect(frames.paused).toBe(false);
  });

  test("goes on at the bottom", async () => {
    engine.add(100);
    await draw();
    frames.model.scroll.moveBy(-200);
    frames.scrolled();
    frames.model.scroll.moveToEnd();
    frames.scrolled();
    expect(frames.follow).toBe(true);
  });
});

describe("selecting", () => {
  beforeEach(async () => {
    engine.add(1000, (number) => ({ pair: number % 2 === 0 ? number - 1 : number + 1 }));
    await draw();
  });

  test("goes by rows, over the edge of what is held, and not beyond the ends", async () => {
    frames.toStart();
    await draw();
    expect(frames.selected).toBe(1);
    await frames.selectBy(-1);
    await draw();
    expect(frames.selected).toBe(1);
    void frames.selectBy(500);
    await draw();
    expect(frames.selected).toBe(501);
    expect(seen()).toContain(501);
    expect(frames.frame?.row.number).toBe(501);
    frames.toEnd();
    await draw();
    expect(frames.selected).toBe(1000);
    expect(frames.follow).toBe(true);
  });

  test("brings a row that is far away into view, and its pair with one key", async () => {
    const chosen = frames.select(400);
    await draw();
    await chosen;
    expect(seen()).toContain(400);
    frames.toPair();
    await draw();
    expect(frames.selected).toBe(399);
  });

  test("steps by what is searched, and round at the end", async () => {
    await query("row 7", highlight);
    const stops: (number | undefined)[] = [];
    void frames.select(799);
    await draw();
    for (let i = 0; i < 2; i += 1) {
      void frames.step("highlight", 1);
      await draw();
      stops.push(frames.selected);
    }
    expect(stops).toEqual([7, 70]);
    expect(told).toContain("From the first frame again");
  });

  test("of a row that is gone says so", async () => {
    engine.drop(500);
    await draw();
    const chosen = frames.select(3);
    await draw();
    await chosen;
    expect(told).toContain("Frame 3 is no longer held");
  });
});

describe("one's place", () => {
  beforeEach(async () => {
    engine.add(1000);
    await draw();
    void frames.select(500);
    await draw();
    frames.model.scroll.moveBy(-60);
    frames.scrolled();
    await draw();
  });

  test("is kept when a filter comes, changes and goes", async () => {
    const place = placeOf(500);
    expect(place).toBeGreaterThan(0);
    for (const text of ["OK", "row 5", "row", ""]) {
      await query(text);
      expect(placeOf(500), text).toBe(place);
      expect(frames.selected).toBe(500);
      expect(frames.model.complete).toBe(true);
    }
  });

  test("is that of the next row where the selected one does not pass, and its own again afterwards", async () => {
    const place = placeOf(500);
    await query("LIST");
    expect(placeOf(500)).toBeUndefined();
    expect(placeOf(501)).toBe(place);
    await query("");
    expect(placeOf(500)).toBe(place);
  });

  test("is kept by the topmost row where none is selected in sight", async () => {
    frames.model.scroll.moveTo(200 * ROW_HEIGHT);
    frames.scrolled();
    await draw();
    expect(seen()[0]).toBe(201);
    await query("LIST");
    expect(placeOf(201)).toBe(0);
  });

  test("is kept while a slow filter works through the rows", async () => {
    const place = placeOf(500);
    engine.scanned = 100;
    await query("OK");
    expect(frames.model.complete).toBe(false);
    for (let done = 100; done < 1000; done += 100) {
      engine.step(100);
      await draw();
      // Before its own row and enough of those below have come, there is nothing to show in its place.
      if (done >= 500) expect(placeOf(500)).toBe(place);
      else expect(frames.model.complete).toBe(false);
    }
    expect(frames.model.complete).toBe(true);
  });

  test("is kept when rows above are dropped, also through the line that says so", async () => {
    const place = placeOf(500);
    for (const count of [1, 7, 300]) {
      engine.drop(count);
      await draw();
      expect(placeOf(500)).toBe(place);
    }
    expect(frames.model.markers).toBe(1);
  });

  test("each line shows its row after rows above were dropped", async () => {
    const { model } = frames;
    let dropped = 0;
    for (const count of [1, 7, 300]) {
      engine.drop(count);
      dropped += count;
      for (const top of [0, 100, 400]) {
        model.scroll.moveTo(top * ROW_HEIGHT);
        frames.scrolled();
        await draw();
        // The first line says how many were dropped.
        const numbered = Array.from({ length: VIEW }, (_, i) =>
          top + i === 0 ? undefined : dropped + top + i,
        );
        expect(seen(), `${dropped} dropped`).toEqual(numbered);
        expect(model.endInSight, `${dropped} dropped`).toBe(dropped + top + VIEW - 1);
      }
      expect(model.lines).toBe(1000 - dropped + 1);
      // A row asked for by its position stands in the line that shows it.
      void frames.select(dropped + 450);
      await draw();
      const line = model.indexOf(model.positionOf(dropped + 450) ?? 0);
      expect(model.at(line)?.number).toBe(dropped + 450);
      frames.toStart();
      await draw();
      expect(frames.selected).toBe(dropped + 1);
    }
  });

  test("is kept through any order of what happens", async () => {
    const next = random(11);
    const texts = ["", "OK", "row", "row 5", "0"];
    for (let round = 0; round < 60; round += 1) {
      const place = placeOf(500);
      const dice = next();
      if (dice < 0.4) await query(texts[Math.floor(next() * texts.length)]);
      else if (dice < 0.7) engine.add(Math.floor(next() * 40));
      else if (round < 40) engine.drop(Math.floor(next() * 8));
      await draw();
      expect(frames.model.complete).toBe(true);
      expect(placeOf(500), `round ${round}`).toBe(place);
    }
  });
});

describe("a filter", () => {
  beforeEach(async () => {
    engine.add(100);
    await draw();
  });

  test("with a mistake leaves the last one in force", async () => {
    await query("LIST");
    expect(frames.status.end).toBe(50);
    await query("LIST?");
    expect(filter.mistake).toEqual({ at: 4, length: 1, message: "expected a value" });
    expect(filter.applied).toBe("LIST");
    expect(frames.status.end).toBe(50);
    await query("");
    expect(filter.mistake).toBeUndefined();
    expect(frames.status.end).toBe(100);
  });

  test("that nothing passes gives an empty picture, which is whole", async () => {
    void frames.select(50);
    await draw();
    await query("nothing of the kind");
    expect(seen()).toEqual([]);
    expect(frames.model.complete).toBe(true);
    await query("");
    expect(seen()).toContain(50);
  });
});

describe("pause", () => {
  test("freezes the view while the capture goes on", async () => {
    engine.add(20);
    await draw();
    frames.togglePause();
    await draw();
    engine.add(30);
    await draw();
    expect(seen()).toEqual(numbers(11, 20));
    expect(frames.status.captured - frames.frozen).toBe(30);
    frames.togglePause();
    await draw();
    expect(seen()).toEqual(numbers(41, 50));
  });
});

test("clear forgets the selection and follows again", async () => {
  engine.add(100);
  await draw();
  void frames.select(10);
  await draw();
  frames.clear();
  await draw();
  expect(frames.selected).toBeUndefined();
  expect(frames.frame).toBeUndefined();
  expect(seen()).toEqual([]);
  engine.add(3);
  await draw();
  expect(seen()).toEqual([101, 102, 103]);
});

test("a mark is shown in the row, and found again", async () => {
  engine.add(30);
  await draw();
  void frames.select(12);
  await draw();
  frames.toggleMark();
  await draw();
  expect(frames.model.row(12)?.marked).toBe(true);
  void frames.select(2);
  await draw();
  void frames.step("mark", 1);
  await draw();
  expect(frames.selected).toBe(12);
  frames.toggleMark();
  await draw();
  expect(frames.model.row(12)?.marked).toBe(false);
});

test("a link's frame is selected when it comes, unless another was chosen", async () => {
  frames.wanted = 25;
  engine.add(20);
  await draw();
  expect(frames.selected).toBeUndefined();
  engine.add(20);
  await draw();
  expect(frames.selected).toBe(25);
  frames.wanted = 55;
  void frames.select(3);
  engine.add(100);
  await draw();
  expect(frames.selected).toBe(3);
});

async function chose(number: number): Promise<void> {
  void frames.select(number);
  await draw();
}

describe("an action on the selected row", () => {
  beforeEach(async () => {
    engine.add(1000);
    await draw();
  });

  test("is done to the row that the last key led to, though its bytes have not come yet", async () => {
    await chose(10);
    void frames.selectBy(1);
    const chosen = frames.chosen();
    expect(frames.frame?.row.number).toBe(10);
    await draw();
    expect((await chosen)?.row.number).toBe(11);
  });

  test("is done to that row also where the list does not hold it yet", async () => {
    await chose(1000);
    void frames.selectBy(-900);
    const chosen = frames.chosen();
    await draw();
    expect((await chosen)?.row.number).toBe(100);
  });

  test("is not done to another row that is chosen before the first has come", async () => {
    await chose(1000);
    void frames.selectBy(-900);
    await Promise.resolve();
    await Promise.resolve();
    const chosen = frames.chosen();
    void frames.select(7);
    const later = frames.chosen();
    await draw();
    expect((await chosen)?.row.number).not.toBe(7);
    expect((await later)?.row.number).toBe(7);
  });

  test("is done to the selected row where the one that was awaited is not in the new view", async () => {
    await chose(1000);
    void frames.selectBy(-900);
    await Promise.resolve();
    await Promise.resolve();
    const before = frames.chosen();
    frames.tookStatus({ ...frames.status, epoch: frames.status.epoch + 1 });
    const later = frames.chosen();
    expect(await before).toBeUndefined();
    await draw();
    expect((await later)?.row.number).toBe(1000);
  });

  test("is done to no row once all were cleared", async () => {
    await chose(10);
    frames.clear();
    await draw();
    expect(await frames.chosen()).toBeUndefined();
  });

  test("a row that is not held any more leaves nothing of the one before", async () => {
    await chose(500);
    engine.drop(100);
    await draw();
    await chose(50);
    expect([frames.selected, frames.frame, frames.lost]).toEqual([50, undefined, true]);
    await chose(500);
    expect([frames.frame?.row.number, frames.lost]).toEqual([500, false]);
  });
});

test("a clear leaves the picture still where it was paused, and empty", async () => {
  engine.add(20);
  await draw();
  frames.togglePause();
  frames.clear();
  engine.add(5);
  await draw();
  expect(frames.paused).toBe(true);
  expect(seen()).toEqual([]);
  frames.togglePause();
  await draw();
  expect(seen()).toEqual(numbers(21, 25));
});
