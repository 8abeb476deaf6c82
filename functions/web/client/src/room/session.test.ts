import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { ApiClient } from "../api/client.ts";
import { FakeMediaStream, FakePeer } from "./fake-peer.ts";
import { RoomSession } from "./session.ts";
import { FakeSocket, settle } from "./testing.ts";

const T0 = 1_795_352_400_000_000;

const TURN = { urls: ["turn:turn.example:3478"], username: "60:me", credential: "secret" };

let sockets: FakeSocket[];
let configurations: RTCConfiguration[];
let peers: FakePeer[];
let session: RoomSession;

function socket(): FakeSocket {
  const latest = sockets.at(-1);
  if (latest === undefined) throw new Error("no socket was opened");
  return latest;
}

function join(live: boolean): void {
  socket().accept();
  socket().receive(33, "c1", "me", "Ana", "viewer", "e1", T0, live, 1, 20_000, "function-1");
}

function event(delta: number, ...elements: readonly unknown[]): void {
  socket().receive(35, T0, [[delta, elements]]);
}

/** The numbers of the requests of one kind that were sent on the present socket. */
function requests(kind: number): unknown[] {
  return socket().sent.flatMap((frame): unknown[] => (Array.isArray(frame) && frame[0] === kind ? [frame[1]] : []));
}

const SUBSCRIBE = 5;
const HANGUP = 7;

async function play(): Promise<void> {
  socket().receive(39, requests(SUBSCRIBE).at(-1), "w1-viewer", "remote offer");
  await settle();
  socket().receive(42, (requests(SUBSCRIBE).at(-1) as number) + 1);
  await settle();
  peers.at(-1)?.become("connected");
}

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
  peers = [];
  configurations = [];
  vi.stubGlobal("location", { protocol: "http:", host: "test" });
  vi.stubGlobal("MediaStream", FakeMediaStream);
  vi.stubGlobal("WebSocket", function openSocket() {
    const fake = new FakeSocket();
    sockets.push(fake);
    return fake;
  });
  vi.stubGlobal("RTCPeerConnection", function openPeer(configuration: RTCConfiguration) {
    configurations.push(configuration);
    const fake = new FakePeer();
    peers.push(fake);
    return fake;
  });
  session = new RoomSession(new ApiClient(), "abcde23456", {
    token: "t",
    expires_in_s: 60,
    role: "viewer",
    ice_servers: [TURN],
  });
  session.open();
});

afterEach(() => {
  session.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("RoomSession", () => {
  it("subscribes at the welcome to a live room, and once only when the history names the session", () => {
    join(true);
    event(0, 2, "s1", "Bo");
    expect(requests(SUBSCRIBE)).toHaveLength(1);
    expect(session.snapshot().room.stream).toMatchObject({ kind: "live", session: "s1" });
  });

  it("opens its connections with the ICE servers that came with the token", () => {
    join(true);
    expect(configurations[0]?.iceServers).toEqual([TURN]);
  });

  it("waits for the stream to start, plays it, and stops at its end", async () => {
    join(false);
    expect(requests(SUBSCRIBE)).toHaveLength(0);
    event(5, 2, "s1", "Bo");
    await play();
    expect(session.snapshot().viewer.stream).not.toBeNull();
    event(6, 3, "s1", "left");
    expect(session.snapshot().viewer.stream).toBeNull();
    expect(peers[0]?.connectionState).toBe("closed");
  });

  it("subscribes anew when another session takes over", async () => {
    join(false);
    event(5, 2, "s1", "Bo");
    await play();
    socket().receive(35, T0, [
      [6, [3, "s1", "replaced"]],
      [7, [2, "s2", "Bo"]],
    ]);
    expect(requests(SUBSCRIBE)).toHaveLength(2);
    expect(peers[0]?.connectionState).toBe("connected");
  });

  it("leaves its subscription alone when the same stream goes on from elsewhere", async () => {
    join(false);
    event(5, 2, "s1", "Bo");
    await play();
    event(6, 2, "s2", "Bo", "s1");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(requests(SUBSCRIBE)).toHaveLength(1);
    expect(session.snapshot().room.timeline.log).toHaveLength(1);
    event(7, 2, "s3", "Bo", "s2");
    event(8, 3, "s2", "drained");
    expect(session.snapshot().room.stream).toMatchObject({ kind: "live", session: "s3" });
  });

  it("keeps its video untouched while the socket is replaced", async () => {
    join(false);
    event(5, 2, "s1", "Bo");
    await play();
    const before = session.snapshot().viewer.stream;
    socket().lose();
    await vi.advanceTimersByTimeAsync(250);
    expect(sockets).toHaveLength(2);
    join(true);
    expect(requests(SUBSCRIBE)).toHaveLength(0);
    expect(peers).toHaveLength(1);
    expect(session.snapshot().viewer.stream).toBe(before);
  });

  it("hangs up, closes its media and leaves with 1000 when the page goes", async () => {
    join(false);
    event(5, 2, "s1", "Bo");
    await play();
    session.close();
    expect(requests(HANGUP)).toHaveLength(1);
    expect(peers[0]?.connectionState).toBe("closed");
    expect(socket().closedWith).toBe(1000);
  });

  it("tells its listeners of every change until they leave", () => {
    const listener = vi.fn();
    const unsubscribe = session.subscribe(listener);
    join(false);
    expect(listener).toHaveBeenCalled();
    unsubscribe();
    listener.mockClear();
    socket().receive(41, 9);
    expect(listener).not.toHaveBeenCalled();
  });
});
