/** The room as its page shows it: a pure function of what the connection has said so far. */
import type {
  Knocks,
  LoggedEvent,
  PeopleList,
  ReactionCount,
  Sanction,
  SettingsChanged,
  StreamEnded,
  Welcome,
} from "../protocol/messages.ts";
import type { ConnectionNotice, ConnectionState, Obstacle, RefusalReason } from "./connection.ts";
import { NO_SANCTIONS, withSanction, type Sanctions } from "./sanctions.ts";
import { obstacleSentence, sanctionSentence, settingsSentence } from "./sentences.ts";
import {
  emptyTimeline,
  nameOf,
  offsetToMs,
  withContribution,
  withNotice,
  withOutgoing,
  withoutOffset,
  type NoticeTone,
  type Timeline,
} from "./timeline.ts";
import type { Typists } from "./typing-watch.ts";

export type StreamState =
  /** Not told yet. */
  | { readonly kind: "unknown" }
  | { readonly kind: "waiting" }
  /** `session` is null until the log names it. */
  /** `continues` is the session in whose place it goes on, empty for a stream of its own. */
  | { readonly kind: "live"; readonly session: string | null; readonly name: string | null; readonly continues: string }
  | { readonly kind: "ended"; readonly text: string };

/** One reaction on its way up the screen. */
export interface Floating {
  readonly id: number;
  readonly reaction: string;
}

export interface RoomState {
  readonly connection: ConnectionState;
  readonly welcome: Welcome | null;
  readonly stream: StreamState;
  readonly viewers: number;
  readonly timeline: Timeline;
  readonly refusal: RefusalReason | null;
  /** Place in the line at the door, or null when not there. */
  readonly waiting: number | null;
  readonly obstacle: Obstacle | null;
  /** Who waits at the door, for those who may open it. */
  readonly knocks: Pick<Knocks, "waiting" | "count">;
  /** As last told by the log; null until then. */
  readonly settings: SettingsChanged | null;
  /** What was decided about people. */
  readonly sanctions: Sanctions;
  /** Who was here when that was last asked; null until then. */
  readonly people: Pick<PeopleList, "total" | "people"> | null;
  readonly typists: Typists;
  /** The newest reactions, oldest first. */
  readonly floating: readonly Floating[];
}

const NOBODY_WAITS = { waiting: [], count: 0 };
const NOBODY_TYPES = { names: [], count: 0 };

/** More at once is no more joy, and costs the video frames. */
export const MAX_FLOATING = 30;
/** Of one reaction in one frame. */
const MAX_FLOATING_OF_ONE = 8;

export const initialRoomState: RoomState = {
  connection: "connecting",
  welcome: null,
  stream: { kind: "unknown" },
  viewers: 0,
  timeline: emptyTimeline,
  refusal: null,
  waiting: null,
  obstacle: null,
  knocks: NOBODY_WAITS,
  settings: null,
  sanctions: NO_SANCTIONS,
  people: null,
  typists: NOBODY_TYPES,
  floating: [],
};

/** What was decided before the part of the log that a join brings, with the names of those days. */
export interface PastSanctions {
  readonly type: "past_sanctions";
  readonly decided: readonly { readonly offset: number; readonly event: Sanction; readonly name: string | null }[];
}

export function reduceRoom(state: RoomState, notice: ConnectionNotice | PastSanctions, nowMs: number): RoomState {
  switch (notice.type) {
    case "state":
      // Back after a refusal: it holds no more. Who types is known only while connected.
      return {
        ...state,
        connection: notice.state,
        typists: NOBODY_TYPES,
        refusal: notice.state === "closed" ? state.refusal : null,
      };
    case "welcome":
      return {
        ...state,
        welcome: notice.welcome,
        viewers: notice.welcome.viewers,
        stream: streamAtWelcome(state.stream, notice.welcome.live),
        waiting: null,
        obstacle: null,
        // Who waits now is told anew, but only if somebody does.
        knocks: NOBODY_WAITS,
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
      return { ...state, timeline: withOutgoing(state.timeline, notice.message, welcome) };
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
      return { ...state, refusal: notice.reason, waiting: null, obstacle: null };
    case "waiting":
      return { ...state, waiting: notice.position, obstacle: null };
    case "obstacle": {
      const { obstacle } = notice;
      if (state.obstacle === obstacle) return { ...state, waiting: null };
      const told = say(state, `obstacle-${nowMs}`, nowMs, obstacleSentence(obstacle), "warning");
      return { ...told, obstacle, waiting: null };
    }
    case "knocks":
      return { ...state, knocks: { waiting: notice.knocks.waiting, count: notice.knocks.count } };
    case "people":
      return { ...state, people: { total: notice.people.total, people: notice.people.people } };
    case "past_sanctions":
      return {
        ...state,
        sanctions: notice.decided.reduce(
          (known, { offset, event, name }) =>
            withSanction(known, event, offset, knownName(state, event.participant) ?? name),
          state.sanctions,
        ),
      };
    case "typing":
      return { ...state, typists: others(notice.typing, state.welcome?.name) };
    case "quality":
    case "relocate":
      // The viewer's own: see `session.ts`.
      return state;
    case "reactions":
      return { ...state, floating: withFloating(state.floating, notice.reactions) };
  }
}

function say(state: RoomState, key: string, at: number, text: string, tone: NoticeTone = "plain"): RoomState {
  return { ...state, timeline: withNotice(state.timeline, { key, at, tone, text }) };
}

/** What somebody is called, as far as this page knows. */
function knownName({ timeline, people, sanctions }: RoomState, participant: string): string | null {
  return (
    nameOf(timeline, participant) ??
    people?.people.find((person) => person.participant === participant)?.name ??
    sanctions.get(participant)?.name ??
    null
  );
}

/** Nobody needs to be told that they type themselves. */
function others({ names, count }: Typists, own: string | undefined): Typists {
  const self = own === undefined ? -1 : names.indexOf(own);
  return self < 0 ? { names, count } : { names: names.toSpliced(self, 1), count: Math.max(count - 1, 0) };
}

function withFloating(floating: readonly Floating[], reactions: readonly ReactionCount[]): readonly Floating[] {
  let id = floating.at(-1)?.id ?? 0;
  const added = reactions.flatMap(({ reaction, count }) =>
    Array.from({ length: Math.min(count, MAX_FLOATING_OF_ONE) }, () => ({ id: (id += 1), reaction })),
  );
  return [...floating, ...added].slice(-MAX_FLOATING);
}

/** The welcome is right about whether the room is live; the events after it say what happened meanwhile. */
function streamAtWelcome(stream: StreamState, live: boolean): StreamState {
  if (live) return stream.kind === "live" ? stream : { kind: "live", session: null, name: null, continues: "" };
  if (stream.kind === "live") return { kind: "ended", text: "The stream has ended." };
  return stream.kind === "unknown" ? { kind: "waiting" } : stream;
}

function applyEvent(state: RoomState, { offset, event }: LoggedEvent): RoomState {
  switch (event.type) {
    case "chat":
    case "gift":
      return {
        ...state,
        timeline: withContribution(state.timeline, event, offset, event.sender === state.welcome?.participant),
      };
    case "stream_started": {
      const { session, name, continues } = event;
      const stream: StreamState = { kind: "live", session, name, continues };
      // Nothing new for people: it is the stream that they know.
      const known = state.stream.kind === "live" ? state.stream.session : null;
      if (continues !== "" && continues === known) return { ...state, stream };
      return {
        ...state,
        stream,
        timeline: withNotice(state.timeline, {
          key: `started-${offset}`,
          at: offsetToMs(offset),
          tone: "plain",
          text: `${name} is live`,
        }),
      };
    }
    case "stream_ended":
      return ended(state, event, offset);
    case "deleted":
      return { ...state, timeline: withoutOffset(state.timeline, event.offset) };
    case "sanction": {
      const own = event.participant === state.welcome?.participant;
      const name = knownName(state, event.participant);
      const who = own ? "You" : (name ?? "Somebody");
      const at = offsetToMs(offset);
      const decided = { ...state, sanctions: withSanction(state.sanctions, event, offset, name) };
      return say(decided, `sanction-${offset}`, at, sanctionSentence(event, who, at), own ? "warning" : "plain");
    }
    case "settings_changed": {
      const text = settingsSentence(state.settings, event);
      const told = text === null ? state : say(state, `settings-${offset}`, offsetToMs(offset), text);
      return { ...told, settings: event };
    }
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
    case "ended":
      return `${who} has ended this room`;
  }
}
