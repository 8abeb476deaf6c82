/**
 * Chats on their way to the room log.
 *
 * A chat keeps its message id from the first attempt to the last, so that the server can tell a repetition.
 * After a refusal "for now" the outbox sends one chat at a time, oldest first, until it is empty again:
 * sending the rest at once would only run into the same limit, and would change their order.
 */
import { ErrorCode, type ErrorMessage } from "../protocol/messages.ts";
import type { Clock, Timer } from "./clock.ts";

export type ChatStatus = "pending" | "sent" | "failed";

export interface OutgoingChat {
  readonly messageId: number;
  readonly text: string;
  readonly status: ChatStatus;
  /** When it was written, ms since 1970. */
  readonly writtenAt: number;
  /** Where it is in the room log, once sent. */
  readonly offset: number | null;
  /** What the person should know: why it waits or failed. */
  readonly note: string | null;
}

interface Entry {
  chat: OutgoingChat;
  inFlight: boolean;
  refusals: number;
}

export interface OutboxOptions {
  readonly clock: Clock;
  readonly transmit: (messageId: number, text: string) => void;
  readonly onChange: (chat: OutgoingChat) => void;
  readonly newMessageId?: () => number;
}

const MAX_REFUSALS = 5;
const DEFAULT_RETRY_MS = 1_000;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #newMessageId: () => number;
  readonly #entries = new Map<number, Entry>();
  #connected = false;
  #congested = false;
  #hold: Timer | null = null;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#newMessageId = options.newMessageId ?? randomMessageId;
  }

  post(text: string): void {
    const chat: OutgoingChat = {
      messageId: this.#newMessageId(),
      text,
      status: "pending",
      writtenAt: this.#options.clock.now(),
      offset: null,
      note: null,
    };
    this.#entries.set(chat.messageId, { chat, inFlight: false, refusals: 0 });
    this.#options.onChange(chat);
    this.#flush();
  }

  /** Sends a failed chat again, at its person's wish. */
  retry(messageId: number): void {
    const entry = this.#entries.get(messageId);
    if (entry?.chat.status !== "failed") return;
    entry.refusals = 0;
    this.#update(entry, { status: "pending", note: null });
    this.#flush();
  }

  acknowledge(messageId: number, offset: number): void {
    const entry = this.#entries.get(messageId);
    if (entry === undefined) return;
    this.#entries.delete(messageId);
    this.#update(entry, { status: "sent", offset, note: null });
    if (this.#pending().length === 0) this.#congested = false;
    this.#flush();
  }

  /** Returns whether the error was about one of our chats. */
  refuse(error: ErrorMessage): boolean {
    const entry = error.reference === null ? undefined : this.#entries.get(error.reference);
    if (entry === undefined) return false;
    entry.inFlight = false;
    entry.refusals += 1;
    const waits = waitingNote(error);
    if (waits === null || entry.refusals > MAX_REFUSALS) {
      this.#update(entry, { status: "failed", note: failureNote(error) });
      this.#flush();
      return true;
    }
    this.#congested = true;
    this.#update(entry, { note: waits });
    this.#holdFor(error.retryAfterMs ?? DEFAULT_RETRY_MS);
    return true;
  }

  /** A joined connection is there: everything unacknowledged goes out again under its own message id. */
  connected(): void {
    this.#connected = true;
    for (const entry of this.#entries.values()) entry.inFlight = false;
    this.#flush();
  }

  disconnected(): void {
    this.#connected = false;
  }

  close(): void {
    this.#connected = false;
    this.#hold?.cancel();
    this.#hold = null;
  }

  #holdFor(delayMs: number): void {
    this.#hold?.cancel();
    this.#hold = this.#options.clock.after(delayMs, () => {
      this.#hold = null;
      this.#flush();
    });
  }

  #flush(): void {
    if (!this.#connected || this.#hold !== null) return;
    for (const entry of this.#pending()) {
      if (!entry.inFlight) {
        entry.inFlight = true;
        this.#options.transmit(entry.chat.messageId, entry.chat.text);
      }
      if (this.#congested) return;
    }
  }

  #pending(): Entry[] {
    return [...this.#entries.values()].filter((entry) => entry.chat.status === "pending");
  }

  #update(entry: Entry, change: Partial<OutgoingChat>): void {
    entry.chat = { ...entry.chat, ...change };
    this.#options.onChange(entry.chat);
  }
}

/** What to say of a chat that waits after a refusal "for now"; null when the refusal is for good. */
function waitingNote({ code, retryAfterMs }: ErrorMessage): string | null {
  switch (code) {
    case ErrorCode.rateLimited:
    case ErrorCode.backedOff:
      return "Sending slowly: rate limit";
    case ErrorCode.slowMode:
      return retryAfterMs === null
        ? "Slow mode: waits for its turn"
        : `Slow mode: waits for its turn (${Math.ceil(retryAfterMs / 1000)} s)`;
    case ErrorCode.unavailable:
      return "Not sent yet, retrying";
    default:
      return null;
  }
}

function failureNote({ code, message, retryAfterMs }: ErrorMessage): string {
  if (code !== ErrorCode.banned) return message;
  if (retryAfterMs === null) return "you may not write in this room.";
  const seconds = Math.ceil(retryAfterMs / 1000);
  return `you may not write for ${seconds < 90 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`}.`;
}

/** A random 53-bit integer. */
export function randomMessageId(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0x1fffff) * 2 ** 32 + low;
}
