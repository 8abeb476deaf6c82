/**
 * The messages of sub-protocol `headrace.1` as discriminated unions.
 *
 * On the wire each is one MessagePack array `[kind, …]`; the codec maps arrays to these and back.
 * Integers fit in 53 bits, so `number` holds every one of them exactly.
 */

export const SUBPROTOCOL = "headrace.1";

/** The longest chat text, in Unicode code points (which is how the server counts). */
export const MAX_CHAT_CHARACTERS = 500;

export type Role = "streamer" | "viewer";
export type GapReason = "trimmed" | "epoch";
export type EndReason = "left" | "lost" | "replaced" | "drained";

export interface Join {
  readonly kind: "join";
  readonly token: string;
  /** Where to resume, or null for a fresh join. */
  readonly epoch: string | null;
  readonly offset: number | null;
}

export interface Ping {
  readonly kind: "ping";
  readonly nonce: number;
}

export interface Chat {
  readonly kind: "chat";
  readonly messageId: number;
  readonly text: string;
}

export interface Publish {
  readonly kind: "publish";
  readonly request: number;
  readonly sdp: string;
}

export interface Subscribe {
  readonly kind: "subscribe";
  readonly request: number;
}

export interface Accept {
  readonly kind: "accept";
  readonly request: number;
  readonly session: string;
  readonly sdp: string;
}

export interface Hangup {
  readonly kind: "hangup";
  readonly request: number;
  readonly session: string;
}

export type ClientMessage = Join | Ping | Chat | Publish | Subscribe | Accept | Hangup;

export interface Welcome {
  readonly kind: "welcome";
  readonly connection: string;
  readonly participant: string;
  readonly name: string;
  readonly role: Role;
  readonly epoch: string;
  readonly offset: number;
  readonly live: boolean;
  readonly viewers: number;
  readonly pingMs: number;
  readonly instance: string;
}

export interface Pong {
  readonly kind: "pong";
  readonly nonce: number;
}

export interface ChatEvent {
  readonly type: "chat";
  readonly sender: string;
  readonly name: string;
  readonly messageId: number;
  readonly text: string;
}

export interface StreamStarted {
  readonly type: "stream_started";
  readonly session: string;
  readonly name: string;
}

export interface StreamEnded {
  readonly type: "stream_ended";
  readonly session: string;
  readonly reason: EndReason;
}

export type RoomEvent = ChatEvent | StreamStarted | StreamEnded;

/** An event and its place in the room log: microseconds since 1970, strictly increasing. */
export interface LoggedEvent {
  readonly offset: number;
  readonly event: RoomEvent;
}

export interface Events {
  readonly kind: "events";
  readonly events: readonly LoggedEvent[];
  /** Offset of the batch's last event, counting those of unknown type that were skipped; null when empty. */
  readonly lastOffset: number | null;
}

export interface Sent {
  readonly kind: "sent";
  readonly messageId: number;
  readonly offset: number;
}

export interface Gap {
  readonly kind: "gap";
  readonly reason: GapReason;
  readonly epoch: string;
  readonly offset: number;
}

export interface ErrorMessage {
  readonly kind: "error";
  readonly code: number;
  readonly message: string;
  readonly reference: number | null;
  readonly retryAfterMs: number | null;
}

export interface Offer {
  readonly kind: "offer";
  readonly request: number;
  readonly session: string;
  readonly sdp: string;
}

export interface Answer {
  readonly kind: "answer";
  readonly request: number;
  readonly session: string;
  readonly sdp: string;
}

export interface Viewers {
  readonly kind: "viewers";
  readonly count: number;
}

export interface Done {
  readonly kind: "done";
  readonly request: number;
}

export interface Move {
  readonly kind: "move";
  readonly delayMs: number;
}

export type ServerMessage =
  Welcome | Pong | Events | Sent | Gap | ErrorMessage | Offer | Answer | Viewers | Done | Move;

export const ClientKind = {
  join: 1,
  ping: 2,
  chat: 3,
  publish: 4,
  subscribe: 5,
  accept: 6,
  hangup: 7,
} as const;

export const ServerKind = {
  welcome: 33,
  pong: 34,
  events: 35,
  sent: 36,
  gap: 37,
  error: 38,
  offer: 39,
  answer: 40,
  viewers: 41,
  done: 42,
  move: 43,
} as const;

export const EventType = {
  chat: 1,
  streamStarted: 2,
  streamEnded: 3,
} as const;

export const ErrorCode = {
  malformed: 1,
  unauthorized: 2,
  tokenExpired: 3,
  forbidden: 4,
  roomUnknown: 5,
  rateLimited: 6,
  invalidText: 7,
  notLive: 8,
  noCapacity: 9,
  sdpRefused: 10,
  unknownSession: 11,
  unavailable: 12,
  frameTooLarge: 13,
  joinExpected: 14,
  alreadyJoined: 15,
  unknownKind: 16,
} as const;

export const CloseCode = {
  tokenRefused: 4401,
  forbidden: 4403,
  roomUnknown: 4404,
} as const;
