/** What the chat panel shows: chats of the room log in their order, notices among them, own unsent chats last. */
import type { ChatEvent } from "../protocol/messages.ts";
import type { ChatStatus, OutgoingChat } from "./outbox.ts";

export interface ChatEntry {
  readonly kind: "chat";
  /** The same before and after it is sent, so that the page keeps its element. */
  readonly key: string;
  readonly messageId: number;
  readonly sender: string;
  readonly name: string;
  readonly text: string;
  /** Where it is in the room log, once it is. */
  readonly offset: number | null;
  /** ms since 1970. */
  readonly at: number;
  readonly own: boolean;
  readonly status: ChatStatus;
  readonly note: string | null;
}

export type NoticeTone = "plain" | "warning";

export interface NoticeEntry {
  readonly kind: "notice";
  readonly key: string;
  readonly text: string;
  readonly at: number;
  readonly tone: NoticeTone;
}

export type TimelineEntry = ChatEntry | NoticeEntry;

export interface Timeline {
  /** Ordered by time; an event's offset is its time. */
  readonly log: readonly TimelineEntry[];
  /** Own chats that are not in the log yet, in the order they were written. */
  readonly unsent: readonly ChatEntry[];
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

export function withChat(timeline: Timeline, event: ChatEvent, offset: number, own: boolean): Timeline {
  const entry: ChatEntry = {
    kind: "chat",
    key: chatKey(event.sender, event.messageId),
    messageId: event.messageId,
    sender: event.sender,
    name: event.name,
    text: event.text,
    offset,
    at: offsetToMs(offset),
    own,
    status: "sent",
    note: null,
  };
  return {
    log: insert(timeline.log, entry),
    unsent: own ? without(timeline.unsent, entry.key) : timeline.unsent,
  };
}

/** Takes in the news of one of our own chats; once sent it stands in the log at its offset. */
export function withOutgoing(timeline: Timeline, chat: OutgoingChat, author: Author): Timeline {
  const entry: ChatEntry = {
    kind: "chat",
    key: chatKey(author.participant, chat.messageId),
    messageId: chat.messageId,
    sender: author.participant,
    name: author.name,
    text: chat.text,
    offset: chat.offset,
    at: chat.offset === null ? chat.writtenAt : offsetToMs(chat.offset),
    own: true,
    status: chat.status,
    note: chat.note,
  };
  if (chat.status === "sent") {
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

/** Takes back the message at this offset of the room log. */
export function withoutOffset(timeline: Timeline, offset: number): Timeline {
  return { ...timeline, log: timeline.log.filter((entry) => entry.kind !== "chat" || entry.offset !== offset) };
}

/** The name that a participant last wrote under, as far as this page knows. */
export function nameOf(timeline: Timeline, participant: string): string | null {
  const entry = timeline.log.findLast((other) => other.kind === "chat" && other.sender === participant);
  return entry?.kind === "chat" ? entry.name : null;
}

function chatKey(sender: string, messageId: number): string {
  return `chat-${sender}-${messageId}`;
}

/** Nearly every entry is the newest, so the search starts at the end. */
function insert(log: readonly TimelineEntry[], entry: TimelineEntry): readonly TimelineEntry[] {
  if (log.some(({ key }) => key === entry.key)) return log;
  const before = log.findLastIndex(({ at }) => at <= entry.at);
  return log.toSpliced(before + 1, 0, entry).slice(-MAX_ENTRIES);
}

function without(entries: readonly ChatEntry[], key: string): readonly ChatEntry[] {
  return entries.filter((entry) => entry.key !== key);
}
