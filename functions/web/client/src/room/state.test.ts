import { describe, expect, it } from "vitest";

import type { LoggedEvent, RoomEvent, Sanction, Welcome } from "../protocol/messages.ts";
import type { ConnectionNotice } from "./connection.ts";
import { standing } from "./sanctions.ts";
import { typingSentence } from "./sentences.ts";
import { initialRoomState, MAX_FLOATING, reduceRoom, type PastSanctions, type RoomState } from "./state.ts";
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
    message: { messageId, content: { kind: "chat", text: `text ${messageId}` }, status, writtenAt: T0 / 1000, offset, note: null },
  };
}

function after(...notices: readonly (ConnectionNotice | PastSanctions)[]): RoomState {
  return notices.reduce((state, notice) => reduceRoom(state, notice, T0 / 1000), initialRoomState);
}

function texts(state: RoomState): string[] {
  return [...state.timeline.log, ...state.timeline.unsent].map((entry) => entry.text);
}

const started = (session: string): RoomEvent => ({ type: "stream_started", session, name: "Bo", continues: "" });
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
    expect(state.stream).toEqual({ kind: "live", session: null, name: null, continues: "" });
    expect(reduceRoom(state, events([0, started("s1")]), 0).stream).toEqual({ kind: "live", session: "s1", name: "Bo", continues: "" });
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
      message: { messageId: 7, content: { kind: "chat", text: "x" }, status: "failed", writtenAt: 0, offset: null, note: "too long" },
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

describe("the door", () => {
  it("is waited at until the welcome or a refusal", () => {
    const waiting = after({ type: "waiting", position: 2 });
    expect(waiting.waiting).toBe(2);
    expect(reduceRoom(waiting, welcome(), 0).waiting).toBeNull();
    expect(reduceRoom(waiting, { type: "refused", reason: "not_let_in" }, 0).waiting).toBeNull();
  });

  it("tells an obstacle once until it is gone", () => {
    const full = { type: "obstacle", obstacle: "room_full", retryAfterMs: 1 } as const;
    const state = after(welcome(), full, full);
    expect(state.obstacle).toBe("room_full");
    expect(texts(state)).toHaveLength(1);
    expect(reduceRoom(state, welcome(), 0).obstacle).toBeNull();
  });

  it("forgets who knocked when the connection is a new one", () => {
    const knocks = { kind: "knocks", waiting: [{ participant: "bo", name: "Bo" }], count: 1 } as const;
    const state = after(welcome(), { type: "knocks", knocks });
    expect(state.knocks.count).toBe(1);
    expect(reduceRoom(state, welcome(), 0).knocks.count).toBe(0);
  });

  it("is open again to whoever takes the room back", () => {
    const displaced = after({ type: "state", state: "closed" }, { type: "refused", reason: "displaced" });
    expect(displaced.refusal).toBe("displaced");
    expect(reduceRoom(displaced, { type: "state", state: "reconnecting" }, 0).refusal).toBeNull();
  });
});

describe("moderation", () => {
  it("takes a deleted message out of the list, and no other", () => {
    const state = after(welcome(), events([1, chat(1)], [2, chat(2)], [3, { type: "deleted", offset: T0 + 1 }]));
    expect(texts(state)).toEqual(["text 2"]);
  });

  it("names who is silenced as they last wrote, and whoever it is themselves", () => {
    const untilMs = T0 / 1000 + 600_000;
    const state = after(
      welcome(),
      events(
        [0, chat(1, "Bo")],
        [1, { type: "sanction", participant: "Bo", action: 2, untilMs }],
        [2, { type: "sanction", participant: "me", action: 2, untilMs }],
        [3, { type: "sanction", participant: "cy", action: 3, untilMs: 0 }],
        [4, { type: "sanction", participant: "Bo", action: 4, untilMs: 0 }],
      ),
    );
    expect(texts(state).slice(1)).toEqual([
      "Bo may not write for 10 min",
      "You may not write for 10 min",
      "Somebody was banned from the room",
      "Bo may take part again",
    ]);
  });

  it("knows what holds against whom, and by what name, until it is lifted", () => {
    const sanction = (participant: string, action: number, untilMs = 0): RoomEvent => ({
      type: "sanction",
      participant,
      action,
      untilMs,
    });
    const person = { participant: "cy", name: "Cy", role: "viewer" } as const;
    const state = after(
      welcome(),
      { type: "people", people: { kind: "people_list", request: 1, total: 1, people: [person] } },
      events([1, chat(1, "Bo")], [2, sanction("Bo", 2, 99)], [3, sanction("cy", 3)], [4, sanction("di", 3)]),
    );
    expect([...state.sanctions.values()]).toEqual([
      { participant: "Bo", name: "Bo", kind: "time_out", untilMs: 99, offset: T0 + 2 },
      { participant: "cy", name: "Cy", kind: "ban", untilMs: 0, offset: T0 + 3 },
      { participant: "di", name: null, kind: "ban", untilMs: 0, offset: T0 + 4 },
    ]);
    const lifted = reduceRoom(state, events([5, sanction("cy", 4)], [6, sanction("di", 4)]), 0);
    expect(standing(lifted.sanctions, 0).map(({ participant }) => participant)).toEqual(["Bo"]);
    expect(texts(lifted).slice(-2)).toEqual(["Cy may take part again", "Somebody may take part again"]);
  });

  it("learns of decisions before its time, and lets the later ones stand", () => {
    const ban = (participant: string): Sanction => ({ type: "sanction", participant, action: 3, untilMs: 0 });
    const state = after(welcome(), events([5, { ...ban("bo"), action: 4 }]), {
      type: "past_sanctions",
      decided: [
        { offset: T0 - 9, event: ban("cy"), name: "Cy" },
        { offset: T0 - 8, event: ban("bo"), name: "Bo" },
      ],
    });
    expect(standing(state.sanctions, 0)).toEqual([
      { participant: "cy", name: "Cy", kind: "ban", untilMs: 0, offset: T0 - 9 },
    ]);
  });

  it("says what is new in the settings, and nothing when nothing is", () => {
    const settings = (slowModeS: number, waitingRoom: boolean, title = "Synths", category = ""): RoomEvent => ({
      type: "settings_changed",
      title,
      category,
      slowModeS,
      waitingRoom,
    });
    const state = after(
      welcome(),
      events(
        [1, settings(0, false)],
        [2, settings(30, true)],
        [3, settings(30, true)],
        [4, settings(0, true, "Drums")],
        [5, settings(0, true, "Drums", "Music")],
      ),
    );
    expect(texts(state)).toEqual([
      "Slow mode: one message every 30 s. New viewers wait to be let in",
      "The title is now “Drums”. Slow mode is off",
      "The category is now “Music”",
    ]);
    expect(state.settings).toMatchObject({ title: "Drums", slowModeS: 0, waitingRoom: true });
  });
});

describe("the crowd", () => {
  const rose = (sender: string, quantity: number): RoomEvent => ({
    type: "gift",
    sender,
    name: sender,
    key: 9,
    gift: "rose",
    quantity,
  });

  it("gives gifts that are told to everyone, also such as this page does not know", () => {
    const state = after(
      welcome(),
      events([1, rose("Bo", 1)], [2, { ...rose("Cy", 3), gift: "gold_bar" } as RoomEvent], [3, rose("me", 1_000)]),
    );
    expect(texts(state)).toEqual(["Bo gave Rose", "Cy gave 3 × Gold bar", "You gave 1,000 × Rose"]);
  });

  it("shows an own gift once, from its sending to its place in the log", () => {
    const content = { kind: "gift", gift: "rose", quantity: 2 } as const;
    const pending = { messageId: 9, content, status: "pending", writtenAt: 0, offset: null, note: null } as const;
    const state = after(welcome(), { type: "outgoing", message: pending });
    expect(state.timeline.unsent).toMatchObject([{ kind: "gift", text: "You gave 2 × Rose", status: "pending" }]);
    const given = reduceRoom(state, events([4, rose("me", 2)]), 0);
    expect(given.timeline.unsent).toEqual([]);
    const sent = { ...pending, status: "sent", offset: T0 + 4 } as const;
    expect(texts(reduceRoom(given, { type: "outgoing", message: sent }, 0))).toEqual(["You gave 2 × Rose"]);
  });

  it("sees a gift no more that a moderator took out", () => {
    const state = after(welcome(), events([1, rose("Bo", 1)], [2, { type: "deleted", offset: T0 + 1 }]));
    expect(texts(state)).toEqual([]);
  });

  it("never has more reactions afloat than the screen can bear, each its own", () => {
    const burst = { type: "reactions", reactions: [{ reaction: "🔥", count: 500 }] } as const;
    const state = after(...Array.from({ length: 9 }, () => burst));
    expect(state.floating).toHaveLength(MAX_FLOATING);
    expect(new Set(state.floating.map(({ id }) => id)).size).toBe(MAX_FLOATING);
  });

  it("types without this page's own person, and not while the connection is away", () => {
    const typing = { kind: "typing_notice", names: ["Ana", "Bo"], count: 2 } as const;
    const state = after(welcome(), { type: "typing", typing });
    expect(typingSentence(state.typists)).toBe("Bo is typing…");
    const away = reduceRoom(state, { type: "state", state: "reconnecting" }, 0);
    expect(typingSentence(away.typists)).toBeNull();
  });
});
