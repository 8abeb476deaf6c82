/**
 * The connection of one participant to one room.
 *
 * It joins, keeps the socket alive with pings, and when the socket goes it comes back by itself and resumes at
 * (epoch, offset), so that no event of the room is missed or seen twice. Media is none of its business: peer
 * connections outlive any number of sockets.
 */
import { decodeServerMessage, encodeClientMessage } from "../protocol/codec.ts";
import { ProtocolError } from "../protocol/fields.ts";
import {
  CloseCode,
  SUBPROTOCOL,
  type Answer,
  type ClientMessage,
  type Done,
  type ErrorMessage,
  type GapReason,
  type LoggedEvent,
  type Offer,
  type ServerMessage,
  type Welcome,
} from "../protocol/messages.ts";
import { Backoff } from "./backoff.ts";
import { systemClock, type Clock, type Timer } from "./clock.ts";
import { Outbox, type OutgoingChat } from "./outbox.ts";
import { ConnectionLost, Requests } from "./requests.ts";

/** The part of WebSocket that the connection uses. */
export interface Socket {
  binaryType: BinaryType;
  onopen: ((event: Event) => unknown) | null;
  onmessage: ((event: MessageEvent<unknown>) => unknown) | null;
  onclose: ((event: CloseEvent) => unknown) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export type ConnectionState = "connecting" | "connected" | "reconnecting" | "closed";

/** Why the connection gave up for good. */
export type RefusalReason = "forbidden" | "room_unknown";

export type ConnectionNotice =
  | { readonly type: "state"; readonly state: ConnectionState }
  | { readonly type: "welcome"; readonly welcome: Welcome }
  /** One batch from the server, without what was seen before. */
  | { readonly type: "events"; readonly events: readonly LoggedEvent[] }
  | { readonly type: "gap"; readonly reason: GapReason; readonly offset: number }
  | { readonly type: "viewers"; readonly count: number }
  | { readonly type: "outgoing"; readonly chat: OutgoingChat }
  | { readonly type: "error"; readonly error: ErrorMessage }
  | { readonly type: "refused"; readonly reason: RefusalReason };

export interface ConnectionOptions {
  readonly url: string;
  readonly token: string;
  /** Gets a new token after the server refused the present one. */
  readonly refreshToken: () => Promise<string>;
  readonly onNotice: (notice: ConnectionNotice) => void;
  readonly openSocket?: (url: string, protocol: string) => Socket;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly newMessageId?: () => number;
}

type Reply = Offer | Answer | Done;

const BACKOFF = { initialMs: 250, capMs: 10_000 };
/** From opening the socket to the welcome. */
const JOIN_TIMEOUT_MS = 10_000;
/** Even with rare pings a dead socket is noticed soon after one. */
const MAX_PONG_WAIT_MS = 5_000;
/** A connection that dies sooner has not ended the trouble: its back-off goes on growing. */
const STABLE_AFTER_MS = 5_000;

/** 1000 tells the server that this participant leaves, so any other reason to close has a code of its own. */
const OwnCloseCode = { leaving: 1000, moving: 4000, silent: 4001, malformed: 4002 } as const;

export class RoomConnection {
  readonly #options: ConnectionOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #outbox: Outbox;
  readonly #requests = new Requests<Reply>();
  #token: string;
  #tokenRefused = false;
  #state: ConnectionState = "connecting";
  #closed = false;
  #socket: Socket | null = null;
  #epoch: string | null = null;
  #offset: number | null = null;
  #pingMs = 0;
  #nonce = 0;
  #joinTimer: Timer | null = null;
  #pingTimer: Timer | null = null;
  #pongTimer: Timer | null = null;
  #stableTimer: Timer | null = null;
  #retryTimer: Timer | null = null;
  #moveTimer: Timer | null = null;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#token = options.token;
    this.#clock = options.clock ?? systemClock;
    this.#backoff = new Backoff({ ...BACKOFF, ...(options.random && { random: options.random }) });
    this.#outbox = new Outbox({
      clock: this.#clock,
      transmit: (messageId, text) => {
        this.#send({ kind: "chat", messageId, text });
      },
      onChange: (chat) => {
        options.onNotice({ type: "outgoing", chat });
      },
      ...(options.newMessageId && { newMessageId: options.newMessageId }),
    });
  }

  get state(): ConnectionState {
    return this.#state;
  }

  open(): void {
    this.#options.onNotice({ type: "state", state: this.#state });
    this.#connect();
  }

  /** Leaves the room: the server takes this as the participant's own wish. */
  close(): void {
    this.#drop(OwnCloseCode.leaving, "leaving");
    this.#giveUp();
  }

  /** Ends a wait between two attempts, for instance when the device is back online. */
  retryNow(): void {
    if (this.#retryTimer === null) return;
    this.#retryTimer.cancel();
    this.#retryTimer = null;
    this.#connect();
  }

  sendChat(text: string): void {
    this.#outbox.post(text);
  }

  retryChat(messageId: number): void {
    this.#outbox.retry(messageId);
  }

  async publish(sdp: string): Promise<Answer> {
    const reply = await this.#request((request) => ({ kind: "publish", request, sdp }));
    if (reply.kind !== "answer") throw new ProtocolError("publish was not answered with an answer");
    return reply;
  }

  async subscribe(): Promise<Offer> {
    const reply = await this.#request((request) => ({ kind: "subscribe", request }));
    if (reply.kind !== "offer") throw new ProtocolError("subscribe was not answered with an offer");
    return reply;
  }

  async accept(session: string, sdp: string): Promise<void> {
    await this.#request((request) => ({ kind: "accept", request, session, sdp }));
  }

  async hangup(session: string): Promise<void> {
    await this.#request((request) => ({ kind: "hangup", request, session }));
  }

  #request(message: (request: number) => ClientMessage): Promise<Reply> {
    if (this.#state !== "connected") return Promise.reject(new ConnectionLost());
    return this.#requests.open((request) => {
      this.#send(message(request));
    });
  }

  #send(message: ClientMessage): void {
    this.#socket?.send(encodeClientMessage(message));
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.onNotice({ type: "state", state });
  }

  #connect(): void {
    const open = this.#options.openSocket ?? openWebSocket;
    const socket = open(this.#options.url, SUBPROTOCOL);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = (): void => {
      this.#join();
    };
    socket.onmessage = (event): void => {
      this.#receive(event.data);
    };
    socket.onclose = (event): void => {
      this.#lost(event.code);
    };
    this.#joinTimer = this.#clock.after(JOIN_TIMEOUT_MS, () => {
      this.#abandon(OwnCloseCode.silent, "no welcome");
    });
  }

  #join(): void {
    // Epoch and offset come together or not at all; without an event seen there is nothing to resume.
    const position = this.#offset === null ? null : { epoch: this.#epoch, offset: this.#offset };
    this.#send({ kind: "join", token: this.#token, ...(position ?? { epoch: null, offset: null }) });
  }

  #receive(data: unknown): void {
    let message: ServerMessage | null;
    try {
      if (!(data instanceof ArrayBuffer)) throw new ProtocolError("frame is not binary");
      message = decodeServerMessage(data);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      // The frame may have held events: resuming from the last good offset brings them again.
      this.#abandon(OwnCloseCode.malformed, error.message);
      return;
    }
    if (message !== null) this.#handle(message);
  }

  #handle(message: ServerMessage): void {
    const { onNotice } = this.#options;
    switch (message.kind) {
      case "welcome":
        this.#welcomed(message);
        return;
      case "pong":
        if (message.nonce === this.#nonce) this.#pongTimer?.cancel();
        return;
      case "events": {
        const seen = this.#offset ?? -1;
        const events = message.events.filter(({ offset }) => offset > seen);
        if (message.lastOffset !== null) this.#offset = Math.max(seen, message.lastOffset);
        if (events.length > 0) onNotice({ type: "events", events });
        return;
      }
      case "sent":
        this.#outbox.acknowledge(message.messageId, message.offset);
        return;
      case "gap":
        // Another epoch counts its own offsets; the old one must not hide its events.
        if (message.reason === "epoch") this.#offset = null;
        this.#epoch = message.epoch;
        onNotice({ type: "gap", reason: message.reason, offset: message.offset });
        return;
      case "error":
        if (!this.#requests.refuse(message) && !this.#outbox.refuse(message)) {
          onNotice({ type: "error", error: message });
        }
        return;
      case "viewers":
        onNotice({ type: "viewers", count: message.count });
        return;
      case "offer":
      case "answer":
      case "done":
        this.#requests.answer(message);
        return;
      case "move":
        this.#moveTimer?.cancel();
        this.#moveTimer = this.#clock.after(message.delayMs, () => {
          this.#drop(OwnCloseCode.moving, "moving");
          this.#setState("reconnecting");
          this.#connect();
        });
        return;
    }
  }

  #welcomed(welcome: Welcome): void {
    this.#joinTimer?.cancel();
    this.#tokenRefused = false;
    if (this.#epoch !== null && this.#epoch !== welcome.epoch) this.#offset = null;
    this.#epoch = welcome.epoch;
    // The log is empty: whatever comes into it while this client is away comes after offset 0.
    if (welcome.offset === 0) this.#offset ??= 0;
    this.#pingMs = welcome.pingMs;
    this.#stableTimer = this.#clock.after(STABLE_AFTER_MS, () => {
      this.#backoff.reset();
    });
    this.#schedulePing();
    this.#setState("connected");
    this.#options.onNotice({ type: "welcome", welcome });
    this.#outbox.connected();
  }

  #schedulePing(): void {
    this.#pingTimer = this.#clock.after(this.#pingMs, () => {
      this.#nonce += 1;
      this.#send({ kind: "ping", nonce: this.#nonce });
      this.#pongTimer?.cancel();
      this.#pongTimer = this.#clock.after(Math.min(this.#pingMs, MAX_PONG_WAIT_MS), () => {
        this.#abandon(OwnCloseCode.silent, "no pong");
      });
      this.#schedulePing();
    });
  }

  /** Closes a socket that is of no use any more without waiting for the other side, which may be gone. */
  #abandon(code: number, reason: string): void {
    this.#drop(code, reason);
    this.#reconnect();
  }

  #lost(code: number): void {
    this.#forgetSocket();
    switch (code) {
      case CloseCode.forbidden:
        this.#refused("forbidden");
        return;
      case CloseCode.roomUnknown:
        this.#refused("room_unknown");
        return;
      case CloseCode.tokenRefused:
        this.#tokenRefused = true;
        break;
    }
    this.#reconnect();
  }

  #refused(reason: RefusalReason): void {
    this.#giveUp();
    this.#options.onNotice({ type: "refused", reason });
  }

  #giveUp(): void {
    this.#closed = true;
    this.#retryTimer?.cancel();
    this.#retryTimer = null;
    this.#outbox.close();
    this.#setState("closed");
  }

  #reconnect(): void {
    this.#setState("reconnecting");
    this.#retryTimer = this.#clock.after(this.#backoff.next(), () => {
      this.#retryTimer = null;
      if (this.#tokenRefused) void this.#connectWithNewToken();
      else this.#connect();
    });
  }

  async #connectWithNewToken(): Promise<void> {
    try {
      this.#token = await this.#options.refreshToken();
    } catch {
      // The API may be as unreachable as the socket was; the next attempt asks it again.
      if (this.#closed) return;
      this.#reconnect();
      return;
    }
    if (this.#closed) return;
    this.#tokenRefused = false;
    this.#connect();
  }

  #drop(code: number, reason: string): void {
    const socket = this.#socket;
    this.#forgetSocket();
    socket?.close(code, reason);
  }

  #forgetSocket(): void {
    if (this.#socket !== null) {
      this.#socket.onopen = null;
      this.#socket.onmessage = null;
      this.#socket.onclose = null;
      this.#socket = null;
    }
    for (const timer of [
      this.#joinTimer,
      this.#pingTimer,
      this.#pongTimer,
      this.#stableTimer,
      this.#moveTimer,
    ]) {
      timer?.cancel();
    }
    this.#outbox.disconnected();
    this.#requests.abandonAll();
  }
}

function openWebSocket(url: string, protocol: string): Socket {
  return new WebSocket(url, protocol);
}

/** Where the room's socket is, seen from the page that this script runs in. */
export function roomSocketUrl(room: string, page: Location = location): string {
  const scheme = page.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${page.host}/v1/rooms/${room}/socket`;
}
