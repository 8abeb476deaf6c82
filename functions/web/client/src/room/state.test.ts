import { describe, expect, it } from "vitest";

import type { LoggedEvent, RoomEvent, Welcome } from "../protocol/messages.ts";
import type { ConnectionNotice } from "./connection.ts";
import { initialRoomState, reduceRoom, type RoomState } from "./state.ts";
import { MAX_ENTRIES } from "./timeline.ts";

const T0 = 1_795_352_400_000_000;

function welcome(overrides: Partial<Welcome> = {}): ConnectionNotice {
  return {
    type: "welcome",
    welcome: {
      kind: "welcome",
      connection: "c1",
      participant: "me",
      name: "Ana",
      role: "viewer",
      epoch: "e1",
      offset: T0,
      live: false,
      viewers: 3,
      pingMs: 20_000,
      instance: "function-1",
      ...overrides,
    },
  };
}

function events(...logged: readonly (readonly [number, RoomEvent])[]): ConnectionNotice {
  return { type: "events", events: logged.map(([delta, event]): LoggedEvent => ({ offset: T0 + delta, event })) };
}

function chat(messageId: number, sender = "other", text = `text ${messageId}`): RoomEvent {
  return { type: "chat", sender, name: sender, messageId, text };
}

function outgoing(messageId: number, status: "pending" | "sent" | "failed", offset: number | null = null): ConnectionNotice {
  return {
    type: "outgoing",
    chat: { messageId, text: `text ${messageId}`, status, writtenAt: T0 / 1000, offset, note: null },
  };
}

function after(...notices: readonly ConnectionNotice[]): RoomState {
  return notices.reduce((state, notice) => reduceRoom(state, notice, T0 / 1000), initialRoomState);
}

function texts(state: RoomState): string[] {
  return [...state.timeline.log, ...state.timeline.unsent].map((entry) => entry.text);
}

const started = (session: string): RoomEvent => ({ type: "stream_started", session, name: "Bo" });
const ended = (session: string, reason: "left" | "lost" | "replaced" | "drained"): RoomEvent => ({
  type: "stream_ended",
  session,
  reason,
});

describe("the stream", () => {
  it("is waited for when the room is not live at the welcome", () => {
    expect(after(welcome()).stream).toEqual({ kind: "waiting" });
  });

  it("is live from the welcome on, and gets its name from the log", () => {
    const state = after(welcome({ live: true }));
    expect(state.stream).toEqual({ kind: "live", session: null, name: null });
    expect(reduceRoom(state, events([0, started("s1")]), 0).stream).toEqual({ kind: "live", session: "s1", name: "Bo" });
  });

  it("ends with a sentence that names its streamer", () => {
    const state = after(welcome(), events([1, started("s1")], [2, ended("s1", "left")]));
    expect(state.stream).toEqual({ kind: "ended", text: "Bo has ended the stream" });
    expect(texts(state)).toEqual(["Bo is live", "Bo has ended the stream"]);
  });

  it("goes on when the end of a session that was replaced comes late", () => {
    const state = after(welcome(), events([1, started("s1")], [2, started("s2")], [3, ended("s1", "replaced")]));
    expect(state.stream).toMatchObject({ kind: "live", session: "s2" });
  });

  it("has ended when a reconnect finds the room no longer live", () => {
    const state = after(welcome({ live: true }), welcome({ live: false }));
    expect(state.stream.kind).toBe("ended");
  });

  it("keeps its session over a reconnect while live", () => {
    const state = after(welcome(), events([1, started("s1")]), welcome({ live: true }));
    expect(state.stream).toMatchObject({ kind: "live", session: "s1" });
  });
});

describe("the timeline", () => {
  it("shows own chats last until they are in the log, then at their place", () => {
    const pending = after(welcome(), outgoing(7, "pending"), events([5, chat(1)]));
    expect(texts(pending)).toEqual(["text 1", "text 7"]);
    const sent = reduceRoom(pending, outgoing(7, "sent", T0 + 3), 0);
    expect(texts(sent)).toEqual(["text 7", "text 1"]);
    expect(sent.timeline.log[0]).toMatchObject({ own: true, status: "sent" });
  });

  it.each([
    ["acknowledgement first", [outgoing(7, "sent", T0 + 3), events([3, chat(7, "me")])]],
    ["event first", [events([3, chat(7, "me")]), outgoing(7, "sent", T0 + 3)]],
  ])("shows an own chat once, %s", (_, notices) => {
    const state = after(welcome(), outgoing(7, "pending"), ...notices);
    expect(texts(state)).toEqual(["text 7"]);
  });

  it("keeps apart two people's chats that share a message id", () => {
    const state = after(welcome(), events([1, chat(7, "a")], [2, chat(7, "b")]));
    expect(state.timeline.log).toHaveLength(2);
  });

  it("shows a failed chat as failed, with its reason", () => {
    const state = after(welcome(), outgoing(7, "pending"), {
      type: "outgoing",
      chat: { messageId: 7, text: "x", status: "failed", writtenAt: 0, offset: null, note: "too long" },
    });
    expect(state.timeline.unsent).toMatchObject([{ status: "failed", note: "too long" }]);
  });

  it("has a warning where a gap is", () => {
    const state = after(welcome(), { type: "gap", reason: "trimmed", offset: T0 + 1 }, events([2, chat(1)]));
    expect(state.timeline.log).toMatchObject([{ kind: "notice", tone: "warning" }, { kind: "chat" }]);
  });

  it("drops its oldest entries beyond its bound", () => {
    const many = Array.from({ length: MAX_ENTRIES + 20 }, (_, index) => [index, chat(index)] as const);
    const state = after(welcome(), events(...many));
    expect(state.timeline.log).toHaveLength(MAX_ENTRIES);
    expect(state.timeline.log[0]).toMatchObject({ messageId: 20 });
  });
});

describe("the room", () => {
  it("takes the viewer count from the welcome and from its updates", () => {
    expect(after(welcome()).viewers).toBe(3);
    expect(after(welcome(), { type: "viewers", count: 12 }).viewers).toBe(12);
  });

  it("remembers a refusal", () => {
    expect(after({ type: "refused", reason: "room_unknown" }).refusal).toBe("room_unknown");
  });
});
