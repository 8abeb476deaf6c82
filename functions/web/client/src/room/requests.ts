/** Requests under way on one room socket, each waiting for the answer that carries its number. */
import { ErrorCode, type ErrorMessage } from "../protocol/messages.ts";

/** A request that the server refused. */
export class RequestRefused extends Error {
  override readonly name = "RequestRefused";
  readonly code: number;
  readonly retryAfterMs: number | null;

  constructor(error: ErrorMessage) {
    super(error.message);
    this.code = error.code;
    this.retryAfterMs = error.retryAfterMs;
  }

  /** Whether asking again can never help: the holder may not do this at all. */
  get final(): boolean {
    return this.code === ErrorCode.forbidden || this.code === ErrorCode.unauthorized;
  }
}

/** The socket went away before the answer came: what became of the request is unknown. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";

  constructor() {
    super("The connection to the room was lost.");
  }
}

interface Waiting<T> {
  readonly resolve: (answer: T) => void;
  readonly reject: (error: Error) => void;
}

export class Requests<T extends { readonly request: number }> {
  readonly #waiting = new Map<number, Waiting<T>>();
  #last = 0;

  /** Numbers a new request, hands the number to `send` and waits for its answer. */
  open(send: (request: number) => void): Promise<T> {
    this.#last += 1;
    const request = this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(request, { resolve, reject });
      send(request);
    });
  }

  answer(answer: T): void {
    this.#take(answer.request)?.resolve(answer);
  }

  /** Returns whether the error belonged to a request of ours. */
  refuse(error: ErrorMessage): boolean {
    if (error.reference === null) return false;
    const waiting = this.#take(error.reference);
    waiting?.reject(new RequestRefused(error));
    return waiting !== undefined;
  }

  abandonAll(): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(new ConnectionLost());
  }

  #take(request: number): Waiting<T> | undefined {
    const waiting = this.#waiting.get(request);
    this.#waiting.delete(request);
    return waiting;
  }
}
