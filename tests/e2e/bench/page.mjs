/** Runs in the page. It is sent there as text, so it uses nothing from around it. */
export async function inPage({ worker: address, what, ask }) {
  const chunks = ask.chunks.map((text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)));
  const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0);

  /** The engine in its worker, as the page talks to it. */
  class Engine {
    constructor() {
      this.worker = new Worker(address, { type: "module" });
      this.waiting = new Map();
      this.conditions = [];
      this.next = 1;
      this.status = undefined;
      this.worker.onmessage = ({ data }) => {
        if (data.type === "status") {
          this.status = data.status;
          this.conditions = this.conditions.filter(([holds, resolve]) => !holds(data.status) || resolve());
        } else if (data.type === "answer") this.waiting.get(data.id)?.(data.answer);
        else if (data.type === "failed" || data.type === "refused") throw new Error(data.message);
      };
    }
    send(message, transfer = []) {
      this.worker.postMessage(message, transfer);
    }
    ask(question, ask) {
      const id = this.next++;
      return new Promise((resolve) => {
        this.waiting.set(id, resolve);
        this.send({ type: "ask", id, question, ask });
      });
    }
    until(holds) {
      return new Promise((resolve) => this.conditions.push([holds, resolve]));
    }
    async begin(limit) {
      this.send({ type: "look", position: 0, count: 60, follow: true });
      if (limit !== undefined) this.send({ type: "limit", bytes: limit });
      this.send({ type: "open", connection: 1, label: "bench" });
      this.send({ type: "note", connection: 1, time: 0, head: "begin", text: "", bad: false });
      await this.until(({ captured }) => captured === 2);
    }
    /** Feed all chunks so many times; resolves when all are rows. */
    async feed(repeat, count) {
      const copies = [];
      for (let round = 0; round < repeat; round += 1) for (const chunk of chunks) copies.push(chunk.slice());
      const wanted = this.status.captured + count * repeat;
      const done = this.until(({ captured }) => captured === wanted);
      const began = performance.now();
      copies.forEach((bytes, i) =>
        this.send({ type: "bytes", connection: 1, direction: "out", time: i, bytes }, [bytes.buffer]),
      );
      await done;
      return performance.now() - began;
    }
    end() {
      this.worker.terminate();
    }
  }

  /**
   * A decoder to compare with, as written in an afternoon: skips strings with indexOf, parses with JSON.parse, keeps
   * nothing.
   */
  function plainWorker() {
    const decoder = new TextDecoder();
    let carry = new Uint8Array(0);
    let frames = 0;
    const decode = (chunk) => {
      const bytes = new Uint8Array(carry.length + chunk.length);
      bytes.set(carry);
      bytes.set(chunk, carry.length);
      let start = 0;
      for (;;) {
        const line = bytes.indexOf(10, start);
        if (line < 0) break;
        let at = line + 1;
        if (bytes[at] !== 123) break;
        let depth = 0;
        for (; at < bytes.length; at += 1) {
          const byte = bytes[at];
          if (byte === 34) {
            for (;;) {
              at = bytes.indexOf(34, at + 1);
              if (at < 0) break;
              let slashes = 0;
              while (bytes[at - 1 - slashes] === 92) slashes += 1;
              if (slashes % 2 === 0) break;
            }
            if (at < 0) break;
          } else if (byte === 123 || byte === 91) depth += 1;
          else if (byte === 125 || byte === 93) {
            depth -= 1;
            if (depth === 0) break;
          }
        }
        if (at < 0 || at >= bytes.length) break;
        const head = decoder.decode(bytes.subarray(start, line - 1));
        const payload = JSON.parse(decoder.decode(bytes.subarray(line + 1, at + 1)));
        if (head === "MESSAGE" && typeof payload.username === "string") frames += 1;
        start = at + 1;
      }
      carry = bytes.slice(start);
    };
    self.onmessage = ({ data }) => {
      if (data === "count") self.postMessage(frames);
      else decode(data);
    };
  }

  async function plain(repeat, count) {
    const source = new Blob([`(${plainWorker})()`], { type: "text/javascript" });
    const worker = new Worker(URL.createObjectURL(source));
    const counted = () =>
      new Promise((resolve) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.postMessage("count");
      });
    await counted();
    const copies = [];
    for (let round = 0; round < repeat; round += 1) for (const chunk of chunks) copies.push(chunk.slice());
    const began = performance.now();
    for (const bytes of copies) worker.postMessage(bytes, [bytes.buffer]);
    const frames = await counted();
    const took = performance.now() - began;
    worker.terminate();
    if (frames !== count * repeat) throw new Error(`the plain decoder found ${frames} of ${count * repeat} frames`);
    return took;
  }

  if (what === "ratio") {
    // By turns, and the best of each: what else the machine does slows both.
    let [ours, theirs] = [Infinity, Infinity];
    for (let round = 0; round < 3; round += 1) {
      const engine = new Engine();
      await engine.begin();
      await engine.feed(ask.repeat / 4, ask.count);
      ours = Math.min(ours, await engine.feed(ask.repeat, ask.count));
      engine.end();
      theirs = Math.min(theirs, await plain(ask.repeat, ask.count));
    }
    return { ours, plain: theirs };
  }

  const engine = new Engine();
  await engine.begin(ask.limit);
  const empty = engine.status.memory;
  // A part at a time: what waits for the worker takes memory too.
  for (let done = 0; done < ask.repeat; done += 200) await engine.feed(200, ask.count);
  if (what === "ring") {
    const { captured, first, memory } = engine.status;
    engine.end();
    return { captured: captured - 1, held: captured - first, memory };
  }
  const { memory, captured } = engine.status;
  const overhead = (memory - empty - total * ask.repeat) / (captured - 2);
  const search = async (text) => {
    const done = engine.until(({ scanning, epoch }) => scanning === undefined && epoch > engine.before);
    engine.before = engine.status.epoch;
    const began = performance.now();
    await engine.ask("filter", { which: "filter", text });
    await done;
    return performance.now() - began;
  };
  engine.before = engine.status.epoch;
  const times = [];
  for (let round = 0; round < 9; round += 1) times.push(await search(`"${ask.needle} ${round}"`));
  const median = times.sort((one, other) => one - other)[4];
  const found = engine.status.end - engine.status.begin;
  engine.end();
  return { overhead, search: median, found };
}
