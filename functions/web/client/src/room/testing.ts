/** Hand-driven stand-ins for time and sockets, for unit tests alone. */
import { decode, encode } from "@msgpack/msgpack";

import type { Clock, Timer } from "./clock.ts";
import type { Socket } from "./connection.ts";

interface Scheduled {
  readonly at: number;
  readonly action: () => void;
}

export class FakeClock implements Clock {
  #now = 1_000_000;
  #scheduled: Scheduled[] = [];

  now(): number {
    return this.#now;
  }

  after(delayMs: number, action: () => void): Timer {
    const scheduled = { at: this.#now + delayMs, action };
    this.#scheduled.push(scheduled);
    return {
      cancel: () => {
        this.#scheduled = this.#scheduled.filter((other) => other !== scheduled);
      },
    };
  }

  /** Runs what falls due within the next `ms`, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = this.#scheduled.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#scheduled = this.#scheduled.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.action();
    }
    this.#now = end;
  }

  /** How long until each thing that waits. */
  get delays(): readonly number[] {
    return this.#scheduled.map(({ at }) => at - this.#now);
  }
}

export class FakeSocket implements Socket {
  binaryType: BinaryType = "blob";
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  /** What the client sent, decoded. */
  readonly sent: unknown[] = [];
  closedWith: number | undefined;

  send(data: Uint8Array<ArrayBuffer>): void {
    this.sent.push(decode(data));
  }

  close(code?: number): void {
    this.closedWith = code;
  }

  accept(): void {
    this.onopen?.(new Event("open"));
  }

  /** A frame from the server, given as its array. */
  receive(...elements: readonly unknown[]): void {
    this.receiveBytes(encode(elements));
  }

  receiveBytes(bytes: Uint8Array<ArrayBuffer>): void {
    const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    this.onmessage?.(new MessageEvent("message", { data }));
  }

  /** The server's side, or the network, ends it. */
  lose(code = 1006): void {
    // Node has no CloseEvent before version 23; its code is all that is read.
    this.onclose?.(Object.assign(new Event("close"), { code }) as CloseEvent);
  }
}

/** Lets promise callbacks that are due run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}
