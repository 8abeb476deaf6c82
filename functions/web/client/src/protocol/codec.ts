/** Encodes client messages and decodes server messages of sub-protocol `headrace.1`. */
import { Decoder, Encoder } from "@msgpack/msgpack";

import {
  ProtocolError,
  readArray,
  readBoolean,
  readList,
  readOneOf,
  readString,
  readStringOrNull,
  readStrings,
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
  type Knock,
  type LayerQuality,
  type LoggedEvent,
  type Person,
  type ReactionCount,
  type Role,
  type RoomEvent,
  type ServerMessage,
} from "./messages.ts";
import { inflateSdp } from "./sdp.ts";

const ROLES: readonly Role[] = ["streamer", "viewer"];
const GAP_REASONS: readonly GapReason[] = ["trimmed", "epoch"];
const END_REASONS: readonly EndReason[] = ["left", "lost", "replaced", "drained", "ended"];

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
      return [ClientKind.publish, message.request, message.sdp, message.insteadOf];
    case "subscribe":
      return [ClientKind.subscribe, message.request, message.insteadOf];
    case "accept":
      return [ClientKind.accept, message.request, message.session, message.sdp];
    case "hangup":
      return [ClientKind.hangup, message.request, message.session];
    case "candidate":
      return [ClientKind.candidate, message.session, message.candidate];
    case "candidates":
      return [ClientKind.candidates, message.session, message.candidates];
    case "react":
      return [ClientKind.react, message.reaction, message.count];
    case "typing":
      return [ClientKind.typing];
    case "gift":
      return [ClientKind.gift, message.key, message.gift, message.quantity];
    case "moderate": {
      const { request, action, participant, offset, seconds } = message;
      return [ClientKind.moderate, request, action, participant, offset, seconds];
    }
    case "configure": {
      const { request, title, category, slowModeS, waitingRoom, autoAccept, blockedTerms } = message;
      return [ClientKind.configure, request, title, category, slowModeS, waitingRoom, autoAccept, blockedTerms];
    }
    case "admit":
      return [ClientKind.admit, message.request, message.participant, message.accept];
    case "people":
      return [ClientKind.people, message.request];
    case "playback": {
      const { layer, bitrateKbps, fps, freezes, lost } = message;
      return [ClientKind.playback, layer, bitrateKbps, fps, freezes, lost];
    }
    case "quality":
      return [ClientKind.quality, message.request, message.session, message.mode, message.layer];
    case "viewport":
      return [ClientKind.viewport, message.session, message.height];
    case "restart":
      return [ClientKind.restart, message.request, message.session, message.ufrag, message.password];
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
    case ServerKind.reactions:
      return { kind: "reactions", reactions: readList(f, 1, readReaction, "reactions.reactions") };
    case ServerKind.typingNotice:
      return {
        kind: "typing_notice",
        names: readStrings(f, 1, "typing_notice.names"),
        count: readUint(f, 2, "typing_notice.count"),
      };
    case ServerKind.stats:
      return {
        kind: "stats",
        bitrateKbps: readUint(f, 1, "stats.bitrate_kbps"),
        fps: readUint(f, 2, "stats.fps"),
        viewersPeak: readUint(f, 3, "stats.viewers_peak"),
        viewersTotal: readUint(f, 4, "stats.viewers_total"),
        messages: readUint(f, 5, "stats.messages"),
      };
    case ServerKind.waiting:
      return { kind: "waiting", position: readUint(f, 1, "waiting.position") };
    case ServerKind.knocks:
      return {
        kind: "knocks",
        waiting: readList(f, 1, readKnock, "knocks.waiting"),
        count: readUint(f, 2, "knocks.count"),
      };
    case ServerKind.peopleList:
      return {
        kind: "people_list",
        request: readUint(f, 1, "people_list.request"),
        total: readUint(f, 2, "people_list.total"),
        people: readList(f, 3, readPerson, "people_list.people"),
      };
    case ServerKind.qualityNotice:
      return {
        kind: "quality_notice",
        session: readString(f, 1, "quality_notice.session"),
        layer: readStringOrNull(f, 2, "quality_notice.layer"),
        height: readUint(f, 3, "quality_notice.height"),
        why: readUint(f, 4, "quality_notice.why"),
        layers: readList(f, 5, readLayer, "quality_notice.layers"),
      };
    case ServerKind.restarted:
      return {
        kind: "restarted",
        request: readUint(f, 1, "restarted.request"),
        ufrag: readString(f, 2, "restarted.ufrag"),
        password: readString(f, 3, "restarted.password"),
      };
    case ServerKind.relocate:
      return { kind: "relocate", session: readString(f, 1, "relocate.session") };
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
    sdp: readSdp(f[3], `${kind}.sdp`),
  };
}

function readSdp(value: unknown, what: string): string {
  if (value instanceof Uint8Array) return inflateSdp(value);
  if (typeof value !== "string") throw new ProtocolError(`${what} is neither a string nor compressed`);
  return value;
}

function readReaction(elements: readonly unknown[], what: string): ReactionCount {
  return { reaction: readString(elements, 0, what), count: readUint(elements, 1, what) };
}

function readLayer(elements: readonly unknown[], what: string): LayerQuality {
  return {
    name: readString(elements, 0, what),
    height: readUint(elements, 1, what),
    bitrateKbps: readUint(elements, 2, what),
  };
}

function readKnock(elements: readonly unknown[], what: string): Knock {
  return { participant: readString(elements, 0, what), name: readString(elements, 1, what) };
}

function readPerson(elements: readonly unknown[], what: string): Person {
  return { ...readKnock(elements, what), role: readString(elements, 2, what) };
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
        // A log keeps what earlier servers wrote.
        continues: e.length > 3 ? readString(e, 3, "stream_started.continues") : "",
      };
    case EventType.streamEnded:
      return {
        type: "stream_ended",
        session: readString(e, 1, "stream_ended.session"),
        reason: readOneOf(e, 2, END_REASONS, "stream_ended.reason"),
      };
    case EventType.gift:
      return {
        type: "gift",
        sender: readString(e, 1, "gift.sender"),
        name: readString(e, 2, "gift.name"),
        key: readUint(e, 3, "gift.key"),
        gift: readString(e, 4, "gift.gift"),
        quantity: readUint(e, 5, "gift.quantity"),
      };
    case EventType.deleted:
      return { type: "deleted", offset: readUint(e, 1, "deleted.offset") };
    case EventType.sanction:
      return {
        type: "sanction",
        participant: readString(e, 1, "sanction.participant"),
        action: readUint(e, 2, "sanction.action"),
        untilMs: readUint(e, 3, "sanction.until_ms"),
      };
    case EventType.settingsChanged:
      return {
        type: "settings_changed",
        title: readString(e, 1, "settings_changed.title"),
        category: readString(e, 2, "settings_changed.category"),
        slowModeS: readUint(e, 3, "settings_changed.slow_mode_s"),
        waitingRoom: readBoolean(e, 4, "settings_changed.waiting_room"),
      };
    default:
      return null;
  }
}
