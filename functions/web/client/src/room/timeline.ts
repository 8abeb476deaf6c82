/** What the chat panel shows: chats and gifts of the room log in their order, notices among them, own unsent ones last. */
import type { ChatEvent, GiftEvent } from "../protocol/messages.ts";
import type { Content, DeliveryStatus, Outgoing } from "./outbox.ts";
import { giftSentence } from "./sentences.ts";

/** What somebody said or gave. */
interface Contribution {
  /** The same before and after it is sent, so that the page keeps its element. */
  readonly key: string;
  /** Of a gift, its key. */
  readonly messageId: number;
  readonly sender: string;
  readonly name: string;
  readonly text: string;
  /** Where it is in the room log, once it is. */
  readonly offset: number | null;
  /** ms since 1970. */
  readonly at: number;
  readonly own: boolean;
  readonly status: DeliveryStatus;
  readonly note: string | null;
}

export interface ChatEntry extends Contribution {
  readonly kind: "chat";
}

export interface GiftEntry extends Contribution {
  readonly kind: "gift";
  readonly gift: string;
}

/** What has a sender, and can be taken back. */
export type PersonEntry = ChatEntry | GiftEntry;

export type NoticeTone = "plain" | "warning";

export interface NoticeEntry {
  readonly kind: "notice";
  readonly key: string;
  readonly text: string;
  readonly at: number;
  readonly tone: NoticeTone;
}

export type TimelineEntry = PersonEntry | NoticeEntry;

export interface Timeline {
  /** Ordered by time; an event's offset is its time. */
  readonly log: readonly TimelineEntry[];
  /** Own chats and gifts that are not in the log yet, in the order they were made. */
  readonly unsent: readonly PersonEntry[];
}

export interface Author {
  readonly participant: string;
  readonly name: string;
}

export const emptyTimeline: Timeline = { log: [], unsent: [] };

/** Older entries leave the page; the server keeps them. */
export const MAX_ENTRIES = 500;

/** Offsets are µs since 1970, entries carry ms. */
export function offsetToMs(offset: number): number {
  return offset / 1000;
}

/** Takes in a chat or a gift of the log. */
export function withContribution(
  timeline: Timeline,
  event: ChatEvent | GiftEvent,
  offset: number,
  own: boolean,
): Timeline {
  const { sender, name } = event;
  const place = { sender, name, offset, at: offsetToMs(offset), own, status: "sent", note: null } as const;
  const entry =
    event.type === "chat"
      ? personEntry(event.messageId, { kind: "chat", text: event.text }, place)
      : personEntry(event.key, { kind: "gift", gift: event.gift, quantity: event.quantity }, place);
  return {
    log: insert(timeline.log, entry),
    unsent: own ? without(timeline.unsent, entry.key) : timeline.unsent,
  };
}

/** Takes in the news of one of our own messages; once sent it stands in the log at its offset. */
export function withOutgoing(timeline: Timeline, message: Outgoing, author: Author): Timeline {
  const entry = personEntry(message.messageId, message.content, {
    sender: author.participant,
    name: author.name,
    offset: message.offset,
    at: message.offset === null ? message.writtenAt : offsetToMs(message.offset),
    own: true,
    status: message.status,
    note: message.note,
  });
  if (message.status === "sent") {
    return { log: insert(timeline.log, entry), unsent: without(timeline.unsent, entry.key) };
  }
  if (timeline.log.some(({ key }) => key === entry.key)) return timeline;
  const known = timeline.unsent.some(({ key }) => key === entry.key);
  return {
    log: timeline.log,
    unsent: known
      ? timeline.unsent.map((other) => (other.key === entry.key ? entry : other))
      : [...timeline.unsent, entry],
  };
}

export function withNotice(timeline: Timeline, notice: Omit<NoticeEntry, "kind">): Timeline {
  return { ...timeline, log: insert(timeline.log, { kind: "notice", ...notice }) };
}

/** Takes back the message or gift at this offset of the room log. */
export function withoutOffset(timeline: Timeline, offset: number): Timeline {
  return { ...timeline, log: timeline.log.filter((entry) => entry.kind === "notice" || entry.offset !== offset) };
}

/** The name that a participant last took part under, as far as this page knows. */
export function nameOf(timeline: Timeline, participant: string): string | null {
  for (const entry of timeline.log.toReversed()) {
    if (entry.kind !== "notice" && entry.sender === participant) return entry.name;
  }
  return null;
}

function personEntry(
  messageId: number,
  content: Content,
  place: Omit<Contribution, "key" | "messageId" | "text">,
): PersonEntry {
  const key = `${content.kind}-${place.sender}-${messageId}`;
  switch (content.kind) {
    case "chat":
      return { kind: "chat", key, messageId, text: content.text, ...place };
    case "gift":
      return { kind: "gift", key, messageId, gift: content.gift, text: giftSentence(place, content), ...place };
  }
}

/** Nearly every entry is the newest, so the search starts at the end. */
function insert(log: readonly TimelineEntry[], entry: TimelineEntry): readonly TimelineEntry[] {
  if (log.some(({ key }) => key === entry.key)) return log;
  const before = log.findLastIndex(({ at }) => at <= entry.at);
  return log.toSpliced(before + 1, 0, entry).slice(-MAX_ENTRIES);
}

function without(entries: readonly PersonEntry[], key: string): readonly PersonEntry[] {
  return entries.filter((entry) => entry.key !== key);
}
