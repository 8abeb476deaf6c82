/** The room as its page shows it: a pure function of what the connection has said so far. */
import type { LoggedEvent, StreamEnded, Welcome } from "../protocol/messages.ts";
import type { ConnectionNotice, ConnectionState, RefusalReason } from "./connection.ts";
import { emptyTimeline, offsetToMs, withChat, withNotice, withOutgoing, type Timeline } from "./timeline.ts";

export type StreamState =
  /** Not told yet. */
  | { readonly kind: "unknown" }
  | { readonly kind: "waiting" }
  /** `session` is null until the log names it. */
  | { readonly kind: "live"; readonly session: string | null; readonly name: string | null }
  | { readonly kind: "ended"; readonly text: string };

export interface RoomState {
  readonly connection: ConnectionState;
  readonly welcome: Welcome | null;
  readonly stream: StreamState;
  readonly viewers: number;
  readonly timeline: Timeline;
  readonly refusal: RefusalReason | null;
}

export const initialRoomState: RoomState = {
  connection: "connecting",
  welcome: null,
  stream: { kind: "unknown" },
  viewers: 0,
  timeline: emptyTimeline,
  refusal: null,
};

export function reduceRoom(state: RoomState, notice: ConnectionNotice, nowMs: number): RoomState {
  switch (notice.type) {
    case "state":
      return { ...state, connection: notice.state };
    case "welcome":
      return {
        ...state,
        welcome: notice.welcome,
        viewers: notice.welcome.viewers,
        stream: streamAtWelcome(state.stream, notice.welcome.live),
      };
    case "events":
      return notice.events.reduce(applyEvent, state);
    case "gap":
      return {
        ...state,
        timeline: withNotice(state.timeline, {
          key: `gap-${notice.offset}`,
          at: notice.offset === 0 ? nowMs : offsetToMs(notice.offset),
          tone: "warning",
          text:
            notice.reason === "trimmed"
              ? "Some messages from while you were away are no longer available."
              : "The room was restored, and some earlier messages may be missing.",
        }),
      };
    case "viewers":
      return { ...state, viewers: notice.count };
    case "outgoing": {
      const { welcome } = state;
      if (welcome === null) return state;
      return { ...state, timeline: withOutgoing(state.timeline, notice.chat, welcome) };
    }
    case "error":
      return {
        ...state,
        timeline: withNotice(state.timeline, {
          key: `error-${nowMs}`,
          at: nowMs,
          tone: "warning",
          text: notice.error.message,
        }),
      };
    case "refused":
      return { ...state, refusal: notice.reason };
  }
}

/** The welcome is right about whether the room is live; the events after it say what happened meanwhile. */
function streamAtWelcome(stream: StreamState, live: boolean): StreamState {
  if (live) return stream.kind === "live" ? stream : { kind: "live", session: null, name: null };
  if (stream.kind === "live") return { kind: "ended", text: "The stream has ended." };
  return stream.kind === "unknown" ? { kind: "waiting" } : stream;
}

function applyEvent(state: RoomState, { offset, event }: LoggedEvent): RoomState {
  switch (event.type) {
    case "chat":
      return {
        ...state,
        timeline: withChat(state.timeline, event, offset, event.sender === state.welcome?.participant),
      };
    case "stream_started":
      return {
        ...state,
        stream: { kind: "live", session: event.session, name: event.name },
        timeline: withNotice(state.timeline, {
          key: `started-${offset}`,
          at: offsetToMs(offset),
          tone: "plain",
          text: `${event.name} is live`,
        }),
      };
    case "stream_ended":
      return ended(state, event, offset);
  }
}

function ended(state: RoomState, event: StreamEnded, offset: number): RoomState {
  const { stream } = state;
  // A session that another has replaced may be reported as ended after its successor's start.
  if (stream.kind === "live" && stream.session !== null && stream.session !== event.session) return state;
  const name = stream.kind === "live" ? stream.name : null;
  const text = endSentence(event, name);
  return {
    ...state,
    stream: { kind: "ended", text },
    timeline: withNotice(state.timeline, { key: `ended-${offset}`, at: offsetToMs(offset), tone: "plain", text }),
  };
}

function endSentence({ reason }: StreamEnded, name: string | null): string {
  const who = name ?? "The streamer";
  switch (reason) {
    case "left":
      return `${who} has ended the stream`;
    case "lost":
      return `${who} has lost the connection`;
    case "replaced":
      return `${who} is switching to another device`;
    case "drained":
      return "The stream is moving to another server";
  }
}
