/**
 * Messages on their way to the room log: chats in one outbox, gifts in another, since slow mode holds up only chats.
 *
 * A message keeps its id from the first attempt to the last, so that the server can tell a repetition.
 * After a refusal "for now" the outbox sends one at a time, oldest first, until it is empty again:
 * sending the rest at once would only run into the same limit, and would change their order.
 */
import { ErrorCode, type ErrorMessage } from "../protocol/messages.ts";
import type { Clock, Timer } from "./clock.ts";

export type DeliveryStatus = "pending" | "sent" | "failed";

export interface ChatContent {
  readonly kind: "chat";
  readonly text: string;
}

export interface GiftContent {
  readonly kind: "gift";
  readonly gift: string;
  readonly quantity: number;
}

export type Content = ChatContent | GiftContent;

export interface Outgoing<C extends Content = Content> {
  /** Of a gift, its key. */
  readonly messageId: number;
  readonly content: C;
  readonly status: DeliveryStatus;
  /** When it was written, ms since 1970. */
  readonly writtenAt: number;
  /** Where it is in the room log, once sent. */
  readonly offset: number | null;
  /** What the person should know: why it waits or failed. */
  readonly note: string | null;
}

interface Entry<C extends Content> {
  message: Outgoing<C>;
  inFlight: boolean;
  refusals: number;
}

export interface OutboxOptions<C extends Content> {
  readonly clock: Clock;
  /** What somebody who is silenced may not do: "write". */
  readonly verb: string;
  readonly transmit: (messageId: number, content: C) => void;
  readonly onChange: (message: Outgoing<C>) => void;
  readonly newMessageId?: () => number;
}

const MAX_REFUSALS = 5;
const DEFAULT_RETRY_MS = 1_000;

export class Outbox<C extends Content> {
  readonly #options: OutboxOptions<C>;
  readonly #newMessageId: () => number;
  readonly #entries = new Map<number, Entry<C>>();
  #connected = false;
  #congested = false;
  #hold: Timer | null = null;

  constructor(options: OutboxOptions<C>) {
    this.#options = options;
    this.#newMessageId = options.newMessageId ?? randomMessageId;
  }

  post(content: C): void {
    const message: Outgoing<C> = {
      messageId: this.#newMessageId(),
      content,
      status: "pending",
      writtenAt: this.#options.clock.now(),
      offset: null,
      note: null,
    };
    this.#entries.set(message.messageId, { message, inFlight: false, refusals: 0 });
    this.#options.onChange(message);
    this.#flush();
  }

  /** Sends a failed message again, at its person's wish. */
  retry(messageId: number): void {
    const entry = this.#entries.get(messageId);
    if (entry?.message.status !== "failed") return;
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

  /** Returns whether the error was about one of these messages. */
  refuse(error: ErrorMessage): boolean {
    const entry = error.reference === null ? undefined : this.#entries.get(error.reference);
    if (entry === undefined) return false;
    entry.inFlight = false;
    entry.refusals += 1;
    const waits = waitingNote(error);
    if (waits === null || entry.refusals > MAX_REFUSALS) {
      this.#update(entry, { status: "failed", note: failureNote(error, this.#options.verb) });
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
        this.#options.transmit(entry.message.messageId, entry.message.content);
      }
      if (this.#congested) return;
    }
  }

  #pending(): Entry<C>[] {
    return [...this.#entries.values()].filter((entry) => entry.message.status === "pending");
  }

  #update(entry: Entry<C>, change: Partial<Omit<Outgoing, "content">>): void {
    entry.message = { ...entry.message, ...change };
    this.#options.onChange(entry.message);
  }
}

/** What to say of a message that waits after a refusal "for now"; null when the refusal is for good. */
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

function failureNote({ code, message, retryAfterMs }: ErrorMessage, verb: string): string {
  if (code !== ErrorCode.banned) return message;
  if (retryAfterMs === null) return `you may not ${verb} in this room.`;
  const seconds = Math.ceil(retryAfterMs / 1000);
  return `you may not ${verb} for ${seconds < 90 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`}.`;
}

/** A random 53-bit integer. */
export function randomMessageId(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0x1fffff) * 2 ** 32 + low;
}
