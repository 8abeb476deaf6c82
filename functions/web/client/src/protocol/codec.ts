/** Encodes client messages and decodes server messages of sub-protocol `headrace.1`. */
import { Decoder, Encoder } from "@msgpack/msgpack";

import {
  ProtocolError,
  readArray,
  readBoolean,
  readOneOf,
  readString,
  readUint,
  readUintOrNull,
} from "./fields.ts";
import {
  ClientKind,
  EventType,
  ServerKind,
  type ClientMessage,
  type EndReason,
  type Events,
  type GapReason,
  type LoggedEvent,
  type Role,
  type RoomEvent,
  type ServerMessage,
} from "./messages.ts";

const ROLES: readonly Role[] = ["streamer", "viewer"];
const GAP_REASONS: readonly GapReason[] = ["trimmed", "epoch"];
const END_REASONS: readonly EndReason[] = ["left", "lost", "replaced", "drained"];

const encoder = new Encoder();
const decoder = new Decoder();

export function encodeClientMessage(message: ClientMessage): Uint8Array<ArrayBuffer> {
  return encoder.encode(clientElements(message));
}

function clientElements(message: ClientMessage): readonly unknown[] {
  switch (message.kind) {
    case "join":
      return [ClientKind.join, message.token, message.epoch, message.offset];
    case "ping":
      return [ClientKind.ping, message.nonce];
    case "chat":
      return [ClientKind.chat, message.messageId, message.text];
    case "publish":
      return [ClientKind.publish, message.request, message.sdp];
    case "subscribe":
      return [ClientKind.subscribe, message.request];
    case "accept":
      return [ClientKind.accept, message.request, message.session, message.sdp];
    case "hangup":
      return [ClientKind.hangup, message.request, message.session];
  }
}

/**
 * Decodes one frame from the server.
 *
 * Returns null for a kind this client does not know, which a newer server may send.
 * Trailing elements beyond those listed in the contract are ignored for the same reason.
 * @throws ProtocolError when the frame is malformed.
 */
export function decodeServerMessage(frame: ArrayBuffer | Uint8Array): ServerMessage | null {
  const f = readArray(unpack(frame), "frame");
  switch (readUint(f, 0, "kind")) {
    case ServerKind.welcome:
      return {
        kind: "welcome",
        connection: readString(f, 1, "welcome.connection"),
        participant: readString(f, 2, "welcome.participant"),
        name: readString(f, 3, "welcome.name"),
        role: readOneOf(f, 4, ROLES, "welcome.role"),
        epoch: readString(f, 5, "welcome.epoch"),
        offset: readUint(f, 6, "welcome.offset"),
        live: readBoolean(f, 7, "welcome.live"),
        viewers: readUint(f, 8, "welcome.viewers"),
        pingMs: readUint(f, 9, "welcome.ping_ms"),
        instance: readString(f, 10, "welcome.instance"),
      };
    case ServerKind.pong:
      return { kind: "pong", nonce: readUint(f, 1, "pong.nonce") };
    case ServerKind.events:
      return readEvents(f);
    case ServerKind.sent:
      return {
        kind: "sent",
        messageId: readUint(f, 1, "sent.message_id"),
        offset: readUint(f, 2, "sent.offset"),
      };
    case ServerKind.gap:
      return {
        kind: "gap",
        reason: readOneOf(f, 1, GAP_REASONS, "gap.reason"),
        epoch: readString(f, 2, "gap.epoch"),
        offset: readUint(f, 3, "gap.offset"),
      };
    case ServerKind.error:
      return {
        kind: "error",
        code: readUint(f, 1, "error.code"),
        message: readString(f, 2, "error.message"),
        reference: readUintOrNull(f, 3, "error.reference"),
        retryAfterMs: readUintOrNull(f, 4, "error.retry_after_ms"),
      };
    case ServerKind.offer:
      return { kind: "offer", ...readDescription(f, "offer") };
    case ServerKind.answer:
      return { kind: "answer", ...readDescription(f, "answer") };
    case ServerKind.viewers:
      return { kind: "viewers", count: readUint(f, 1, "viewers.count") };
    case ServerKind.done:
      return { kind: "done", request: readUint(f, 1, "done.request") };
    case ServerKind.move:
      return { kind: "move", delayMs: readUint(f, 1, "move.delay_ms") };
    default:
      return null;
  }
}

function unpack(frame: ArrayBuffer | Uint8Array): unknown {
  try {
    return decoder.decode(frame);
  } catch (error) {
    throw new ProtocolError("frame is not MessagePack", { cause: error });
  }
}

function readDescription(
  f: readonly unknown[],
  kind: string,
): { request: number; session: string; sdp: string } {
  return {
    request: readUint(f, 1, `${kind}.request`),
    session: readString(f, 2, `${kind}.session`),
    sdp: readString(f, 3, `${kind}.sdp`),
  };
}

function readEvents(f: readonly unknown[]): Events {
  const base = readUint(f, 1, "events.base");
  const events: LoggedEvent[] = [];
  let lastOffset: number | null = null;
  for (const entry of readArray(f[2], "events.list")) {
    const pair = readArray(entry, "events.entry");
    const offset = base + readUint(pair, 0, "events.delta");
    if (!Number.isSafeInteger(offset)) throw new ProtocolError("event offset exceeds 53 bits");
    const event = readEvent(readArray(pair[1], "event"));
    if (event !== null) events.push({ offset, event });
    lastOffset = offset;
  }
  return { kind: "events", events, lastOffset };
}

function readEvent(e: readonly unknown[]): RoomEvent | null {
  switch (readUint(e, 0, "event.type")) {
    case EventType.chat:
      return {
        type: "chat",
        sender: readString(e, 1, "chat.sender"),
        name: readString(e, 2, "chat.name"),
        messageId: readUint(e, 3, "chat.message_id"),
        text: readString(e, 4, "chat.text"),
      };
    case EventType.streamStarted:
      return {
        type: "stream_started",
        session: readString(e, 1, "stream_started.session"),
        name: readString(e, 2, "stream_started.name"),
      };
    case EventType.streamEnded:
      return {
        type: "stream_ended",
        session: readString(e, 1, "stream_ended.session"),
        reason: readOneOf(e, 2, END_REASONS, "stream_ended.reason"),
      };
    default:
      return null;
  }
}
