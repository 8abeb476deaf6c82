/**
 * The connection of one participant to one room.
 *
 * It joins, keeps the socket alive with pings, and when the socket goes it comes back by itself and resumes at
 * (epoch, offset), so that no event of the room is missed or seen twice. Media is none of its business: peer
 * connections outlive any number of sockets.
 */
import { decodeServerMessage, encodeClientMessage } from "../protocol/codec.ts";
import { ProtocolError } from "../protocol/fields.ts";
import { compressSdp } from "../protocol/sdp.ts";
import {
  CloseCode,
  ErrorCode,
  SUBPROTOCOL,
  type Admit,
  type Answer,
  type ClientMessage,
  type Configure,
  type Done,
  type ErrorMessage,
  type GapReason,
  type Knocks,
  type LoggedEvent,
  type Moderate,
  type Offer,
  type PeopleList,
  type QualityNotice,
  type ReactionCount,
  type Restarted,
  type ServerMessage,
  type Welcome,
} from "../protocol/messages.ts";
import { Backoff } from "./backoff.ts";
import { systemClock, type Clock, type Timer } from "./clock.ts";
import type { IceCredentials } from "./ice-restart.ts";
import { Outbox, type ChatContent, type GiftContent, type Outgoing } from "./outbox.ts";
import { ReactionSender } from "./reaction-sender.ts";
import { ConnectionLost, Requests } from "./requests.ts";
import { TypingWatch, type Typists } from "./typing-watch.ts";

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

/** Why the connection gave up for good; `not_let_in` by a streamer, from the waiting room. */
export type RefusalReason = "forbidden" | "not_let_in" | "banned" | "displaced" | "room_unknown";

/** Why there is no way in just now; the connection goes on trying. */
export type Obstacle = "room_full" | "too_many_connections" | "backed_off";

export type ConnectionNotice =
  | { readonly type: "state"; readonly state: ConnectionState }
  | { readonly type: "welcome"; readonly welcome: Welcome }
  /** One batch from the server, without what was seen before. */
  | { readonly type: "events"; readonly events: readonly LoggedEvent[] }
  | { readonly type: "gap"; readonly reason: GapReason; readonly offset: number }
  | { readonly type: "viewers"; readonly count: number }
  /** At the door, at this place in the line. */
  | { readonly type: "waiting"; readonly position: number }
  | { readonly type: "obstacle"; readonly obstacle: Obstacle; readonly retryAfterMs: number }
  | { readonly type: "knocks"; readonly knocks: Knocks }
  | { readonly type: "people"; readonly people: PeopleList }
  | { readonly type: "reactions"; readonly reactions: readonly ReactionCount[] }
  | { readonly type: "typing"; readonly typing: Typists }
  | { readonly type: "quality"; readonly quality: QualityNotice }
  /** The worker of this media session is about to go. */
  | { readonly type: "relocate"; readonly session: string }
  | { readonly type: "outgoing"; readonly message: Outgoing }
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

type Reply = Offer | Answer | Done | PeopleList | Restarted;

/** What to ask for in a request; its kind and number are the connection's own. */
export type Moderation = Omit<Moderate, "kind" | "request">;
export type Settings = Partial<Omit<Configure, "kind" | "request">>;
export type Admission = Omit<Admit, "kind" | "request">;

const BACKOFF = { initialMs: 250, capMs: 10_000 };
/** From opening the socket to the welcome. */
const JOIN_TIMEOUT_MS = 10_000;
/** Even with rare pings a dead socket is noticed soon after one. */
const MAX_PONG_WAIT_MS = 5_000;
/** At the door nobody has said yet how often to ping; the server takes three times this for gone. */
const WAITING_PING_MS = 20_000;
/** A room that is full is not empty a moment later. */
const OBSTACLE_RETRY_MS = 5_000;
const TYPING_INTERVAL_MS = 2_000;
/** A connection that dies sooner has not ended the trouble: its back-off goes on growing. */
const STABLE_AFTER_MS = 5_000;

/** 1000 tells the server that this participant leaves, so any other reason to close has a code of its own. */
const OwnCloseCode = { leaving: 1000, moving: 4000, silent: 4001, malformed: 4002 } as const;

export class RoomConnection {
  readonly #options: ConnectionOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #chats: Outbox<ChatContent>;
  readonly #gifts: Outbox<GiftContent>;
  readonly #reactions: ReactionSender;
  readonly #typing: TypingWatch;
  readonly #requests = new Requests<Reply>();
  #token: string;
  #tokenRefused = false;
  #state: ConnectionState = "connecting";
  #closed = false;
  #socket: Socket | null = null;
  #epoch: string | null = null;
  #offset: number | null = null;
  /** Where the log ended at the welcome: what is before is history. */
  #joinedAt = 0;
  /** Whether this socket stands at the door. */
  #waiting = false;
  /** The last refusal on a socket that was not welcomed: its close code alone does not say enough. */
  #turned: ErrorMessage | null = null;
  /** The server asked for peace until then. */
  #notBefore = 0;
  #typedAt = 0;
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
    const outbox = {
      clock: this.#clock,
      onChange: (message: Outgoing): void => {
        options.onNotice({ type: "outgoing", message });
      },
      ...(options.newMessageId && { newMessageId: options.newMessageId }),
    };
    this.#chats = new Outbox<ChatContent>({
      ...outbox,
      verb: "write",
      transmit: (messageId, { text }) => {
        this.#send({ kind: "chat", messageId, text });
      },
    });
    this.#gifts = new Outbox<GiftContent>({
      ...outbox,
      verb: "give gifts",
      transmit: (key, { gift, quantity }) => {
        this.#send({ kind: "gift", key, gift, quantity });
      },
    });
    this.#reactions = new ReactionSender({
      clock: this.#clock,
      transmit: (reaction, count) => {
        if (this.#state === "connected") this.#send({ kind: "react", reaction, count });
      },
    });
    this.#typing = new TypingWatch({
      clock: this.#clock,
      onChange: (typing) => {
        options.onNotice({ type: "typing", typing });
      },
    });
  }

  get #outboxes(): readonly [Outbox<ChatContent>, Outbox<GiftContent>] {
    return [this.#chats, this.#gifts];
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

  /** After another connection of the same person took over: takes the room back, resuming where this one was. */
  takeOver(): void {
    if (!this.#closed) return;
    this.#closed = false;
    this.#setState("reconnecting");
    this.#connect();
  }

  /** Ends a wait between two attempts, for instance when the device is back online. */
  retryNow(): void {
    if (this.#retryTimer === null || this.#clock.now() < this.#notBefore) return;
    this.#retryTimer.cancel();
    this.#retryTimer = null;
    this.#connect();
  }

  sendChat(text: string): void {
    this.#chats.post({ kind: "chat", text });
  }

  sendGift(gift: string, quantity: number): void {
    this.#gifts.post({ kind: "gift", gift, quantity });
  }

  /** Sends a chat or a gift that failed again. */
  retry(messageId: number): void {
    for (const outbox of this.#outboxes) outbox.retry(messageId);
  }

  react(reaction: string): void {
    if (this.#state === "connected") this.#reactions.add(reaction);
  }

  /** To be called at every key: the room is told often enough to know, and no more. */
  typing(): void {
    const now = this.#clock.now();
    if (this.#state !== "connected" || now - this.#typedAt < TYPING_INTERVAL_MS) return;
    this.#typedAt = now;
    this.#send({ kind: "typing" });
  }

  async moderate(moderation: Moderation): Promise<void> {
    await this.#request((request) => ({ kind: "moderate", request, ...moderation }));
  }

  /** Changes the settings that are given and leaves the others. */
  async configure(settings: Settings): Promise<void> {
    await this.#request((request) => ({ kind: "configure", request, ...UNCHANGED, ...settings }));
  }

  async admit(admission: Admission): Promise<void> {
    await this.#request((request) => ({ kind: "admit", request, ...admission }));
  }

  /** Asks who is here; the answer is told as a notice. */
  async people(): Promise<void> {
    const people = await this.#request((request) => ({ kind: "people", request }));
    if (people.kind !== "people_list") throw new ProtocolError("people was not answered with a list");
    this.#options.onNotice({ type: "people", people });
  }

  async publish(sdp: string, insteadOf: string | null): Promise<Answer> {
    const reply = await this.#request((request) => ({ kind: "publish", request, sdp: compressSdp(sdp), insteadOf }));
    if (reply.kind !== "answer") throw new ProtocolError("publish was not answered with an answer");
    return reply;
  }

  async subscribe(insteadOf: string | null): Promise<Offer> {
    const reply = await this.#request((request) => ({ kind: "subscribe", request, insteadOf }));
    if (reply.kind !== "offer") throw new ProtocolError("subscribe was not answered with an offer");
    return reply;
  }

  async accept(session: string, sdp: string): Promise<void> {
    await this.#request((request) => ({ kind: "accept", request, session, sdp: compressSdp(sdp) }));
  }

  async hangup(session: string): Promise<void> {
    await this.#request((request) => ({ kind: "hangup", request, session }));
  }

  /** Says what to get of a session: `mode` is one of `QualityMode`. */
  async quality(session: string, mode: number, layer: string | null): Promise<void> {
    await this.#request((request) => ({ kind: "quality", request, session, mode, layer }));
  }

  /** Says how tall the player is; lost where there is no connection just now. */
  viewport(session: string, height: number): void {
    if (this.#state === "connected") this.#send({ kind: "viewport", session, height });
  }

  /** Begins ICE anew: brings the other side's credentials. */
  async restart(session: string, { ufrag, password }: IceCredentials): Promise<IceCredentials> {
    const reply = await this.#request((request) => ({ kind: "restart", request, session, ufrag, password }));
    if (reply.kind !== "restarted") throw new ProtocolError("restart was not answered with credentials");
    return { ufrag: reply.ufrag, password: reply.password };
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
        for (const { offset, event } of events) {
          if (event.type === "chat" && offset > this.#joinedAt) this.#typing.spoke(event.name);
        }
        return;
      }
      case "sent":
        for (const outbox of this.#outboxes) outbox.acknowledge(message.messageId, message.offset);
        return;
      case "gap":
        // Another epoch counts its own offsets; the old one must not hide its events.
        if (message.reason === "epoch") this.#offset = null;
        this.#epoch = message.epoch;
        onNotice({ type: "gap", reason: message.reason, offset: message.offset });
        return;
      case "error":
        if (message.code === ErrorCode.banned && message.reference === null) this.#turned = message;
        if (this.#state !== "connected") {
          // What it means is told by the close that follows.
          this.#turned = message;
          return;
        }
        if (!this.#requests.refuse(message) && !this.#outboxes.some((outbox) => outbox.refuse(message))) {
          onNotice({ type: "error", error: message });
        }
        return;
      case "viewers":
        onNotice({ type: "viewers", count: message.count });
        return;
      case "offer":
      case "answer":
      case "done":
      case "people_list":
      case "restarted":
        this.#requests.answer(message);
        return;
      case "quality_notice":
        onNotice({ type: "quality", quality: message });
        return;
      case "relocate":
        onNotice({ type: "relocate", session: message.session });
        return;
      case "move":
        this.#moveTimer?.cancel();
        this.#moveTimer = this.#clock.after(message.delayMs, () => {
          this.#drop(OwnCloseCode.moving, "moving");
          this.#setState("reconnecting");
          this.#connect();
        });
        return;
      case "waiting":
        this.#waits(message.position);
        return;
      case "knocks":
        onNotice({ type: "knocks", knocks: message });
        return;
      case "reactions":
        onNotice({ type: "reactions", reactions: message.reactions });
        return;
      case "typing_notice":
        this.#typing.hear(message);
        return;
      // Not used here so far.
      case "stats":
        return;
    }
  }

  /** The streamer may take as long as they like; meanwhile pings show that somebody still stands here. */
  #waits(position: number): void {
    this.#joinTimer?.cancel();
    if (!this.#waiting) {
      this.#waiting = true;
      this.#pingMs = WAITING_PING_MS;
      this.#schedulePing();
    }
    this.#options.onNotice({ type: "waiting", position });
  }

  #welcomed(welcome: Welcome): void {
    this.#joinTimer?.cancel();
    this.#pingTimer?.cancel();
    this.#waiting = false;
    this.#turned = null;
    this.#tokenRefused = false;
    if (this.#epoch !== null && this.#epoch !== welcome.epoch) this.#offset = null;
    this.#epoch = welcome.epoch;
    this.#joinedAt = welcome.offset;
    // The log is empty: whatever comes into it while this client is away comes after offset 0.
    if (welcome.offset === 0) this.#offset ??= 0;
    this.#pingMs = welcome.pingMs;
    this.#stableTimer = this.#clock.after(STABLE_AFTER_MS, () => {
      this.#backoff.reset();
    });
    this.#schedulePing();
    this.#setState("connected");
    this.#options.onNotice({ type: "welcome", welcome });
    for (const outbox of this.#outboxes) outbox.connected();
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
    const waited = this.#waiting;
    const turned = this.#turned;
    this.#forgetSocket();
    switch (code) {
      case CloseCode.forbidden:
        if (turned?.code === ErrorCode.banned) this.#refused("banned");
        else this.#refused(waited || turned?.code === ErrorCode.forbidden ? "not_let_in" : "forbidden");
        return;
      case CloseCode.displaced:
        this.#refused("displaced");
        return;
      case CloseCode.roomUnknown:
        this.#refused("room_unknown");
        return;
      case CloseCode.tokenRefused:
        this.#tokenRefused = true;
        break;
    }
    const obstacle = turned === null ? null : obstacleIn(turned);
    if (obstacle === null) {
      this.#reconnect();
      return;
    }
    const retryAfterMs = turned?.retryAfterMs ?? OBSTACLE_RETRY_MS;
    if (obstacle === "backed_off") this.#notBefore = this.#clock.now() + retryAfterMs;
    this.#options.onNotice({ type: "obstacle", obstacle, retryAfterMs });
    this.#reconnect(retryAfterMs);
  }

  #refused(reason: RefusalReason): void {
    this.#giveUp();
    this.#options.onNotice({ type: "refused", reason });
  }

  #giveUp(): void {
    this.#closed = true;
    this.#retryTimer?.cancel();
    this.#retryTimer = null;
    for (const outbox of this.#outboxes) outbox.close();
    this.#setState("closed");
  }

  #reconnect(atLeastMs = 0): void {
    this.#setState("reconnecting");
    this.#retryTimer = this.#clock.after(Math.max(this.#backoff.next(), atLeastMs), () => {
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
    this.#waiting = false;
    this.#turned = null;
    this.#reactions.clear();
    this.#typing.clear();
    for (const outbox of this.#outboxes) outbox.disconnected();
    this.#requests.abandonAll();
  }
}

const UNCHANGED = {
  title: null,
  category: null,
  slowModeS: null,
  waitingRoom: null,
  autoAccept: null,
  blockedTerms: null,
} as const;

function obstacleIn({ code }: ErrorMessage): Obstacle | null {
  switch (code) {
    case ErrorCode.roomFull:
      return "room_full";
    case ErrorCode.tooManyConnections:
      return "too_many_connections";
    case ErrorCode.backedOff:
      return "backed_off";
    default:
      return null;
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
