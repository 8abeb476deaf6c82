import { beforeEach, describe, expect, it, vi } from "vitest";

import { compressSdp } from "../protocol/sdp.ts";
import { RoomConnection, type ConnectionNotice } from "./connection.ts";
import { ConnectionLost, RequestRefused } from "./requests.ts";
import { FakeClock, FakeSocket, settle } from "./testing.ts";

const T0 = 1_795_352_400_000_000;
const PING_MS = 4_000;

let clock: FakeClock;
let sockets: FakeSocket[];
let notices: ConnectionNotice[];
let random: number;
let refreshToken: ReturnType<typeof vi.fn<() => Promise<string>>>;
let connection: RoomConnection;

function socket(): FakeSocket {
  const latest = sockets.at(-1);
  if (latest === undefined) throw new Error("no socket was opened");
  return latest;
}

function welcome(overrides: { epoch?: string; offset?: number; live?: boolean } = {}): void {
  const { epoch = "e1", offset = T0, live = false } = overrides;
  socket().receive(33, "c1", "me", "Ana", "viewer", epoch, offset, live, 1, PING_MS, "function-1");
}

function join(overrides: Parameters<typeof welcome>[0] = {}): void {
  socket().accept();
  welcome(overrides);
}

function chatEvent(messageId: number, sender = "other"): unknown[] {
  return [1, sender, "Bo", messageId, `text ${messageId}`];
}

function seenOffsets(): number[] {
  return notices.flatMap((notice) => (notice.type === "events" ? notice.events.map(({ offset }) => offset) : []));
}

function states(): string[] {
  return notices.flatMap((notice) => (notice.type === "state" ? [notice.state] : []));
}

function chatStatuses(): string[] {
  return notices.flatMap((notice) => (notice.type === "outgoing" ? [notice.message.status] : []));
}

function chatsOn(fake: FakeSocket): unknown[] {
  return fake.sent.filter((frame) => Array.isArray(frame) && frame[0] === 3);
}

beforeEach(() => {
  clock = new FakeClock();
  sockets = [];
  notices = [];
  random = 0.5;
  refreshToken = vi.fn(() => Promise.resolve("token-2"));
  let messageId = 100;
  connection = new RoomConnection({
    url: "ws://test/v1/rooms/r/socket",
    token: "token-1",
    refreshToken,
    onNotice: (notice) => notices.push(notice),
    openSocket: () => {
      const fake = new FakeSocket();
      sockets.push(fake);
      return fake;
    },
    clock,
    random: () => random,
    newMessageId: () => (messageId += 1),
  });
  connection.open();
});

describe("joining", () => {
  it("sends the join as first frame, without a position", () => {
    socket().accept();
    expect(socket().sent).toEqual([[1, "token-1", null, null]]);
  });

  it("is connected only after the welcome", () => {
    socket().accept();
    expect(connection.state).toBe("connecting");
    welcome();
    expect(states()).toEqual(["connecting", "connected"]);
  });

  it("tries again when no welcome comes", () => {
    socket().accept();
    clock.advance(10_000);
    expect(socket().closedWith).toBe(4001);
    clock.advance(125);
    expect(sockets).toHaveLength(2);
  });
});

describe("resuming", () => {
  it("presents the epoch and the last offset it saw", () => {
    join();
    socket().receive(35, T0, [
      [1, chatEvent(1)],
      [7, chatEvent(2)],
    ]);
    socket().lose();
    clock.advance(125);
    socket().accept();
    expect(socket().sent).toEqual([[1, "token-1", "e1", T0 + 7]]);
  });

  it("shows no event twice", () => {
    join();
    socket().receive(35, T0, [[1, chatEvent(1)]]);
    socket().lose();
    clock.advance(125);
    join();
    socket().receive(35, T0, [
      [1, chatEvent(1)],
      [2, chatEvent(2)],
    ]);
    expect(seenOffsets()).toEqual([T0 + 1, T0 + 2]);
  });

  it("resumes behind events of a type it does not know", () => {
    join();
    socket().receive(35, T0, [[9, [77, "later"]]]);
    socket().lose();
    clock.advance(125);
    socket().accept();
    expect(socket().sent).toEqual([[1, "token-1", "e1", T0 + 9]]);
  });

  it("joins afresh when it has seen nothing yet", () => {
    join();
    socket().lose();
    clock.advance(125);
    socket().accept();
    expect(socket().sent).toEqual([[1, "token-1", null, null]]);
  });

  it("resumes from the very beginning of a room that was empty", () => {
    join({ offset: 0 });
    socket().lose();
    clock.advance(125);
    socket().accept();
    expect(socket().sent).toEqual([[1, "token-1", "e1", 0]]);
  });

  it("says a gap aloud, and takes the events of a new epoch whatever their offsets", () => {
    join();
    socket().receive(35, T0, [[50, chatEvent(1)]]);
    socket().lose();
    clock.advance(125);
    join({ epoch: "e2", offset: T0 + 20 });
    socket().receive(37, "epoch", "e2", T0 + 20);
    socket().receive(35, T0, [[20, chatEvent(2)]]);
    expect(notices).toContainEqual({ type: "gap", reason: "epoch", offset: T0 + 20 });
    expect(seenOffsets()).toEqual([T0 + 50, T0 + 20]);
  });

  it("drops the socket on a malformed frame, to get again what it may have held", () => {
    join();
    socket().receive(35, T0, [[1, chatEvent(1)]]);
    socket().receiveBytes(Uint8Array.from([0xc1]));
    expect(socket().closedWith).toBe(4002);
    clock.advance(125);
    socket().accept();
    expect(socket().sent).toEqual([[1, "token-1", "e1", T0 + 1]]);
  });
});

describe("staying connected", () => {
  it("pings at the interval the server asks for", () => {
    join();
    clock.advance(PING_MS);
    expect(socket().sent.at(-1)).toEqual([2, 1]);
    socket().receive(34, 1);
    clock.advance(PING_MS);
    expect(socket().sent.at(-1)).toEqual([2, 2]);
    expect(connection.state).toBe("connected");
  });

  it("reconnects when a pong does not come", () => {
    join();
    clock.advance(2 * PING_MS);
    expect(sockets[0]?.closedWith).toBe(4001);
    expect(connection.state).toBe("reconnecting");
  });

  it("backs off with full jitter between nothing and ten seconds", () => {
    const longest: number[] = [];
    random = 1 - Number.EPSILON;
    for (let attempt = 0; attempt < 9; attempt += 1) {
      socket().lose();
      longest.push(Math.max(...clock.delays));
      clock.advance(10_000);
    }
    expect(longest.map(Math.round)).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
    random = 0;
    socket().lose();
    expect(clock.delays).toEqual([0]);
  });

  it("begins the back-off anew only after a connection that lasted", () => {
    join();
    socket().lose();
    clock.advance(125);
    join();
    socket().lose();
    expect(clock.delays).toEqual([250]);
    clock.advance(250);
    join();
    clock.advance(PING_MS);
    socket().receive(34, 1);
    clock.advance(1_000);
    socket().lose();
    expect(clock.delays).toEqual([125]);
  });

  it("tries at once when told that it may work again", () => {
    socket().lose();
    connection.retryNow();
    expect(sockets).toHaveLength(2);
    expect(clock.delays).toHaveLength(1);
  });

  it("moves to another instance after its own delay, without leaving the room", () => {
    join();
    socket().receive(43, 700);
    clock.advance(699);
    expect(sockets).toHaveLength(1);
    clock.advance(1);
    expect(sockets[0]?.closedWith).toBe(4000);
    expect(sockets).toHaveLength(2);
    join();
    expect(states()).toEqual(["connecting", "connected", "reconnecting", "connected"]);
  });
});

describe("refusals", () => {
  it("gets a new token after 4401 and joins with it", async () => {
    join();
    socket().lose(4401);
    clock.advance(125);
    await settle();
    socket().accept();
    expect(refreshToken).toHaveBeenCalledOnce();
    expect(socket().sent).toEqual([[1, "token-2", null, null]]);
  });

  it("goes on trying while no new token can be had", async () => {
    refreshToken.mockRejectedValueOnce(new Error("unreachable"));
    socket().lose(4401);
    clock.advance(125);
    await settle();
    expect(sockets).toHaveLength(1);
    clock.advance(250);
    await settle();
    expect(sockets).toHaveLength(2);
  });

  it.each([
    [4403, "forbidden"],
    [4404, "room_unknown"],
  ])("never comes back after %i", (code, reason) => {
    join();
    socket().lose(code);
    clock.advance(60_000);
    expect(sockets).toHaveLength(1);
    expect(connection.state).toBe("closed");
    expect(notices.at(-1)).toEqual({ type: "refused", reason });
  });

  it.each([1006, 1012, 4400, 4408, 4429, 4430])("comes back after %i", (code) => {
    join();
    socket().lose(code);
    clock.advance(125);
    expect(sockets).toHaveLength(2);
  });

  it("closes with 1000 when its person leaves, and stays away", () => {
    join();
    connection.close();
    clock.advance(60_000);
    expect(sockets.map(({ closedWith }) => closedWith)).toEqual([1000]);
  });
});

describe("own chats", () => {
  it("are pending until the server has them in the log", () => {
    join();
    connection.sendChat("hello");
    expect(socket().sent.at(-1)).toEqual([3, 101, "hello"]);
    socket().receive(36, 101, T0 + 3);
    expect(chatStatuses()).toEqual(["pending", "sent"]);
  });

  it("wait while offline and go out in order after the welcome", () => {
    connection.sendChat("one");
    connection.sendChat("two");
    join();
    expect(chatsOn(socket())).toEqual([
      [3, 101, "one"],
      [3, 102, "two"],
    ]);
  });

  it("are sent again with the same id when the socket went before the acknowledgement", () => {
    join();
    connection.sendChat("kept");
    connection.sendChat("acknowledged");
    socket().receive(36, 102, T0 + 3);
    socket().lose();
    clock.advance(125);
    join();
    expect(chatsOn(socket())).toEqual([[3, 101, "kept"]]);
  });

  it("go out again after the time that a rate limit names, oldest first and one by one", () => {
    join();
    connection.sendChat("one");
    connection.sendChat("two");
    socket().receive(38, 6, "too fast", 101, 400);
    socket().receive(38, 6, "too fast", 102, 400);
    clock.advance(399);
    expect(chatsOn(socket())).toHaveLength(2);
    clock.advance(1);
    expect(chatsOn(socket()).slice(2)).toEqual([[3, 101, "one"]]);
    socket().receive(36, 101, T0 + 1);
    expect(chatsOn(socket()).slice(3)).toEqual([[3, 102, "two"]]);
    socket().receive(36, 102, T0 + 2);
    expect(chatStatuses().filter((status) => status === "sent")).toHaveLength(2);
  });

  it("fail after too many refusals, and can be tried again by hand", () => {
    join();
    connection.sendChat("unlucky");
    for (let refusal = 0; refusal < 6; refusal += 1) {
      socket().receive(38, 6, "too fast", 101, 100);
      clock.advance(100);
    }
    expect(chatStatuses().at(-1)).toBe("failed");
    connection.retry(101);
    expect(chatsOn(socket()).at(-1)).toEqual([3, 101, "unlucky"]);
    expect(chatStatuses().at(-1)).toBe("pending");
  });

  it("fail at once when their text is refused", () => {
    join();
    connection.sendChat("bad");
    socket().receive(38, 7, "a message has at most 500 characters", 101, null);
    expect(chatStatuses()).toEqual(["pending", "failed"]);
  });
});

describe("own gifts", () => {
  const giftsOn = (fake: FakeSocket): unknown[] =>
    fake.sent.filter((frame) => Array.isArray(frame) && frame[0] === 12);

  it("are sent again with the same key until the server has them", () => {
    join();
    connection.sendGift("rose", 3);
    socket().lose();
    clock.advance(125);
    join();
    expect(sockets.flatMap(giftsOn)).toEqual([
      [12, 101, "rose", 3],
      [12, 101, "rose", 3],
    ]);
    socket().receive(36, 101, T0 + 3);
    expect(chatStatuses()).toEqual(["pending", "sent"]);
  });

  it("do not wait for a chat that slow mode holds up", () => {
    join();
    connection.sendChat("hello");
    socket().receive(38, 18, "slow mode", 101, 30_000);
    connection.sendGift("rose", 1);
    expect(giftsOn(socket())).toEqual([[12, 102, "rose", 1]]);
  });

  it("say that whoever is silenced may not give them, and can be given again later", () => {
    join();
    connection.sendGift("rose", 1);
    socket().receive(38, 17, "you may not write", 101, 60_000);
    const note = "you may not give gifts for 60 s.";
    expect(notices.at(-1)).toMatchObject({ message: { status: "failed", note } });
    connection.retry(101);
    expect(giftsOn(socket())).toHaveLength(2);
  });
});

describe("requests", () => {
  it("are answered by number, not by order", async () => {
    join();
    const offer = connection.subscribe(null);
    const answer = connection.publish("offer", null);
    expect(socket().sent.slice(1)).toEqual([
      [5, 1, null],
      [4, 2, compressSdp("offer"), null],
    ]);
    socket().receive(40, 2, "w1-pub", "answer sdp");
    socket().receive(39, 1, "w1-sub", "offer sdp");
    await expect(answer).resolves.toMatchObject({ session: "w1-pub", sdp: "answer sdp" });
    await expect(offer).resolves.toMatchObject({ session: "w1-sub", sdp: "offer sdp" });
  });

  it("reject with the server's refusal", async () => {
    join();
    const offer = connection.subscribe(null);
    socket().receive(38, 9, "all workers are full", 1, 1500);
    const refusal = await offer.catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(RequestRefused);
    expect(refusal).toMatchObject({ code: 9, retryAfterMs: 1500, message: "all workers are full" });
  });

  it("reject when the socket goes, and at once when there is none", async () => {
    join();
    const hangup = connection.hangup("w1-x");
    socket().lose();
    await expect(hangup).rejects.toBeInstanceOf(ConnectionLost);
    await expect(connection.subscribe(null)).rejects.toBeInstanceOf(ConnectionLost);
  });

  it("leave errors about nothing of ours to the page", () => {
    join();
    socket().receive(38, 12, "the room cannot be reached at the moment", null, 1000);
    expect(notices.at(-1)).toMatchObject({ type: "error", error: { code: 12 } });
  });
});

describe("the waiting room", () => {
  beforeEach(() => {
    socket().accept();
    socket().receive(47, 2);
  });

  it("is waited in for as long as it takes, with pings going on", () => {
    expect(notices.at(-1)).toEqual({ type: "waiting", position: 2 });
    clock.advance(20_000);
    expect(socket().sent.at(-1)).toEqual([2, 1]);
    socket().receive(34, 1);
    socket().receive(47, 1);
    clock.advance(20_000);
    expect(socket().sent.slice(1)).toEqual([
      [2, 1],
      [2, 2],
    ]);
    expect(sockets).toHaveLength(1);
    expect(connection.state).toBe("connecting");
  });

  it("is left by the welcome, after which pings come as that says", () => {
    welcome();
    expect(connection.state).toBe("connected");
    clock.advance(PING_MS);
    expect(socket().sent.slice(1)).toEqual([[2, 1]]);
  });

  it("ends for good for whoever is turned away", () => {
    socket().receive(38, 4, "you were not let in", null, null);
    socket().lose(4403);
    clock.advance(60_000);
    expect(notices.at(-1)).toEqual({ type: "refused", reason: "not_let_in" });
    expect(sockets).toHaveLength(1);
  });

  it("is entered anew when the socket goes", () => {
    socket().lose();
    clock.advance(125);
    join();
    expect(connection.state).toBe("connected");
  });
});

describe("the way in", () => {
  it.each([
    ["at the join", false],
    ["in the room", true],
  ])("is closed for good to the banned, %s", (_, inside) => {
    if (inside) join();
    else socket().accept();
    socket().receive(38, 17, "you may not be in this room", null, null);
    socket().lose(4403);
    clock.advance(60_000);
    expect(notices.at(-1)).toEqual({ type: "refused", reason: "banned" });
    expect(sockets).toHaveLength(1);
  });

  it.each([
    [19, "room_full"],
    [20, "too_many_connections"],
  ])("is tried again after a while when error %i stands in it", (code, obstacle) => {
    socket().accept();
    socket().receive(38, code, "not now", null, null);
    socket().lose(4429);
    expect(notices.at(-2)).toEqual({ type: "obstacle", obstacle, retryAfterMs: 5_000 });
    clock.advance(4_999);
    expect(sockets).toHaveLength(1);
    clock.advance(1);
    expect(sockets).toHaveLength(2);
  });

  it("is left alone for as long as a server that backs off asks, whoever hurries", () => {
    socket().accept();
    socket().receive(38, 21, "too much", null, 30_000);
    socket().lose(4429);
    connection.retryNow();
    clock.advance(29_999);
    expect(sockets).toHaveLength(1);
    clock.advance(1);
    expect(sockets).toHaveLength(2);
  });

  it("is given up to a newer connection, and taken back by hand at the same place in the log", () => {
    join();
    socket().receive(35, T0, [[7, chatEvent(1)]]);
    socket().lose(4409);
    clock.advance(60_000);
    expect(notices.at(-1)).toEqual({ type: "refused", reason: "displaced" });
    expect(sockets).toHaveLength(1);
    connection.takeOver();
    socket().accept();
    expect(socket().sent).toEqual([[1, "token-1", "e1", T0 + 7]]);
    welcome();
    expect(connection.state).toBe("connected");
  });
});

describe("what a crowd does", () => {
  it("sends reactions together, five frames a second at most", () => {
    join();
    for (let tap = 0; tap < 30; tap += 1) connection.react("🔥");
    connection.react("🎉");
    expect(socket().sent.slice(1)).toEqual([[10, "🔥", 1]]);
    clock.advance(199);
    expect(socket().sent).toHaveLength(2);
    clock.advance(201);
    expect(socket().sent.slice(2)).toEqual([
      [10, "🔥", 20],
      [10, "🎉", 1],
    ]);
  });

  it("forgets reactions that it could not send", () => {
    join();
    connection.react("🔥");
    connection.react("🔥");
    socket().lose();
    connection.react("🔥");
    clock.advance(125);
    join();
    clock.advance(1_000);
    expect(socket().sent).toHaveLength(1);
  });

  it("types no more once its message is there, whichever way round the two come", () => {
    join();
    const typing = (): unknown[] => notices.flatMap((notice) => (notice.type === "typing" ? [notice.typing.names] : []));
    socket().receive(45, ["Bo"], 1);
    socket().receive(35, T0, [[1, chatEvent(1)]]);
    socket().receive(45, ["Bo", "Cy"], 2);
    expect(typing()).toEqual([["Bo"], [], ["Cy"]]);
  });

  it("types on whatever it said before this page came", () => {
    join({ offset: T0 + 1 });
    socket().receive(35, T0, [[1, chatEvent(1)]]);
    socket().receive(45, ["Bo"], 1);
    expect(notices.at(-1)).toEqual({ type: "typing", typing: { names: ["Bo"], count: 1 } });
  });

  it("tells of typing every two seconds at most", () => {
    join();
    connection.typing();
    connection.typing();
    clock.advance(1_999);
    connection.typing();
    expect(socket().sent.slice(1)).toEqual([[11]]);
    clock.advance(1);
    connection.typing();
    expect(socket().sent.slice(1)).toEqual([[11], [11]]);
  });
});

describe("moderation", () => {
  it("is a request of its own kind, done when the server says so", async () => {
    join();
    const deleted = connection.moderate({ action: 1, participant: null, offset: T0 + 1, seconds: null });
    const slowed = connection.configure({ slowModeS: 30 });
    const admitted = connection.admit({ participant: "bo", accept: true });
    expect(socket().sent.slice(1)).toEqual([
      [13, 1, 1, null, T0 + 1, null],
      [14, 2, null, null, 30, null, null, null],
      [15, 3, "bo", true],
    ]);
    for (const request of [1, 2, 3]) socket().receive(42, request);
    await Promise.all([deleted, slowed, admitted]);
  });

  it("shows in the status of a refused chat: slow mode waits, a ban does not", () => {
    join();
    connection.sendChat("hello");
    socket().receive(38, 18, "slow mode", 101, 30_000);
    expect(notices.at(-1)).toMatchObject({ message: { status: "pending", note: "Slow mode: waits for its turn (30 s)" } });
    clock.advance(1_000);
    connection.retryNow();
    expect(chatsOn(socket())).toHaveLength(1);
    socket().receive(38, 17, "you may not write", 101, 60_000);
    expect(notices.at(-1)).toMatchObject({ message: { status: "failed", note: "you may not write for 60 s." } });
  });
});
