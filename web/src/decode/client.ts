/** The page's side: messages to the worker, questions with answers. */

import { detailFrom, type ModuleDetail } from "./describe";
import type { Frame, FromWorker, Question, Questions, Status, ToWorker } from "./messages";

/** The members of a `Worker` that are needed. */
export interface WorkerLike {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent<FromWorker>) => void): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
}

export interface DecoderEvents {
  ready(message: Extract<FromWorker, { type: "ready" }>): void;
  status(status: Status): void;
  window(message: Extract<FromWorker, { type: "window" }>): void;
  failed(message: string): void;
}

interface Waiting {
  readonly question: Question;
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

export class DecoderClient {
  readonly #worker: WorkerLike;
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;

  constructor(worker: WorkerLike, events: DecoderEvents) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data }) => {
      switch (data.type) {
        case "ready":
          events.ready(data);
          break;
        case "status":
          events.status(data.status);
          break;
        case "window":
          events.window(data);
          break;
        case "failed":
          events.failed(data.message);
          break;
        case "answer": {
          const waiting = this.#settle(data.id);
          waiting?.resolve(waiting.question === "frame" ? frameFrom(data.answer as SentFrame) : data.answer);
          break;
        }
        case "refused":
          this.#settle(data.id)?.reject(new Error(data.message));
          break;
      }
    });
    worker.addEventListener("error", (event) => {
      events.failed(event.message || "the worker's script could not be loaded");
    });
  }

  /** Bytes are handed over: their buffer is gone afterwards. */
  send(message: Exclude<ToWorker, { type: "ask" }>): void {
    this.#worker.postMessage(message, message.type === "bytes" ? [message.bytes.buffer] : []);
  }

  ask<Q extends Question>(question: Q, ask: Questions[Q]["ask"]): Promise<Questions[Q]["answer"]> {
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      const settle = (answer: unknown) => resolve(answer as Questions[Q]["answer"]);
      this.#waiting.set(id, { question, resolve: settle, reject });
      this.#worker.postMessage({ type: "ask", id, question, ask }, []);
    });
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }
}

/** A frame as the engine sends it: as one text and its bytes. */
interface SentFrame {
  readonly json: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

function frameFrom({ json, bytes }: SentFrame): Frame | undefined {
  const frame = JSON.parse(json) as
    (Omit<Frame, "bytes" | "detail"> & { readonly detail?: ModuleDetail }) | null;
  if (frame === null) return undefined;
  return { ...frame, bytes, detail: frame.detail && detailFrom(frame.detail) };
}
