/**
 * The messages of sub-protocol `headrace.1` as discriminated unions.
 *
 * On the wire each is one MessagePack array `[kind, …]`; the codec maps arrays to these and back.
 * Integers fit in 53 bits, so `number` holds every one of them exactly.
 */

export const SUBPROTOCOL = "headrace.1";

/** The longest chat text, in Unicode code points (which is how the server counts). */
export const MAX_CHAT_CHARACTERS = 500;

/** The longest SDP, in code points as well, compressed or not. */
export const MAX_SDP_CHARACTERS = 32_768;

export type * from "./client-messages.ts";
export type * from "./room-events.ts";
export type * from "./server-messages.ts";

export const ClientKind = {
  join: 1,
  ping: 2,
  chat: 3,
  publish: 4,
  subscribe: 5,
  accept: 6,
  hangup: 7,
  candidate: 8,
  candidates: 9,
  react: 10,
  typing: 11,
  gift: 12,
  moderate: 13,
  configure: 14,
  admit: 15,
  people: 16,
  playback: 17,
  quality: 18,
  viewport: 19,
  restart: 20,
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
  reactions: 44,
  typingNotice: 45,
  stats: 46,
  waiting: 47,
  knocks: 48,
  peopleList: 49,
  qualityNotice: 50,
  restarted: 51,
  relocate: 52,
} as const;

export const EventType = {
  chat: 1,
  streamStarted: 2,
  streamEnded: 3,
  gift: 4,
  deleted: 5,
  sanction: 6,
  settingsChanged: 7,
} as const;

/** What a moderator does; the last three also come back in a `sanction`. */
export const ModerationAction = {
  delete: 1,
  timeOut: 2,
  ban: 3,
  lift: 4,
} as const;

/** What a viewer wants to get. */
export const QualityMode = {
  auto: 0,
  layer: 1,
  audioOnly: 2,
  paused: 3,
} as const;

/** Why a viewer gets the layer that they get, or none. */
export const QualityReason = {
  best: 0,
  network: 1,
  choice: 2,
  viewport: 3,
  tier: 4,
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
  banned: 17,
  slowMode: 18,
  roomFull: 19,
  tooManyConnections: 20,
  backedOff: 21,
} as const;

export const CloseCode = {
  tokenRefused: 4401,
  forbidden: 4403,
  roomUnknown: 4404,
  displaced: 4409,
} as const;
