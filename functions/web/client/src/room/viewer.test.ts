import { beforeEach, describe, expect, it, vi } from "vitest";

import type { Offer } from "../protocol/messages.ts";
import { FakeMediaStream, FakePeer } from "./fake-peer.ts";
import { ConnectionLost } from "./requests.ts";
import { FakeClock, settle } from "./testing.ts";
import { Viewer, type ViewerState } from "./viewer.ts";

let clock: FakeClock;
let peers: FakePeer[];
let states: ViewerState[];
let sessions: number;
const subscribe = vi.fn<() => Promise<Offer>>();
const accept = vi.fn<(session: string, sdp: string) => Promise<void>>();
const hangup = vi.fn<(session: string) => Promise<void>>();
let viewer: Viewer;

function peer(): FakePeer {
  const latest = peers.at(-1);
  if (latest === undefined) throw new Error("no peer connection was made");
  return latest;
}

async function play(): Promise<void> {
  viewer.watch(false);
  await settle();
  peer().become("connected");
}

async function pass(seconds: number, eachSecond: () => void = () => undefined): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    eachSecond();
    clock.advance(1_000);
    await settle();
  }
}

beforeEach(() => {
  vi.stubGlobal("MediaStream", FakeMediaStream);
  clock = new FakeClock();
  peers = [];
  states = [];
  sessions = 0;
  subscribe.mockReset().mockImplementation(() => {
    sessions += 1;
    return Promise.resolve({ kind: "offer", request: 1, session: `v${sessions}`, sdp: "remote offer" });
  });
  accept.mockReset().mockResolvedValue();
  hangup.mockReset().mockResolvedValue();
  viewer = new Viewer({
    signaling: { subscribe, accept, hangup },
    onState: (state) => states.push(state),
    clock,
    random: () => 0.5,
    newPeer: () => {
      const fake = new FakePeer();
      peers.push(fake);
      return fake as unknown as RTCPeerConnection;
    },
  });
});

describe("Viewer", () => {
  it("answers the offer at once and plays when media connects", async () => {
    await play();
    expect(accept).toHaveBeenCalledExactlyOnceWith("v1", "local answer");
    expect(states).toHaveLength(1);
    expect(states[0]?.stream).not.toBeNull();
  });

  it("subscribes once however often it is told that the room is live", async () => {
    await play();
    viewer.watch(false);
    await settle();
    expect(subscribe).toHaveBeenCalledOnce();
  });

  it("leaves flowing media alone when signalling comes back", async () => {
    await play();
    viewer.signalingRestored();
    await pass(20, () => (peer().framesDecoded += 30));
    expect(peers).toHaveLength(1);
  });

  it("subscribes anew when no frame is decoded for five seconds, and keeps the old picture meanwhile", async () => {
    await play();
    const old = peer();
    await pass(7);
    await settle();
    expect(peers).toHaveLength(2);
    expect(old.connectionState).toBe("connected");
    expect(states.at(-1)).toMatchObject({ trouble: "The video has stalled." });
    peer().become("connected");
    expect(old.connectionState).toBe("closed");
    expect(hangup).toHaveBeenCalledExactlyOnceWith("v1");
    expect(states.at(-1)).toMatchObject({ trouble: null });
  });

  it("subscribes anew when the peer connection fails", async () => {
    await play();
    peer().become("failed");
    clock.advance(250);
    await settle();
    expect(subscribe).toHaveBeenCalledTimes(2);
  });

  it("subscribes to a new session at once", async () => {
    await play();
    viewer.watch(true);
    await settle();
    expect(subscribe).toHaveBeenCalledTimes(2);
  });

  it("tries at once when the socket is back that its request was lost with", async () => {
    subscribe.mockRejectedValueOnce(new ConnectionLost());
    viewer.watch(false);
    await settle();
    viewer.signalingRestored();
    await settle();
    expect(subscribe).toHaveBeenCalledTimes(2);
  });

  it("waits for media when the socket goes between the answer and its confirmation", async () => {
    accept.mockRejectedValueOnce(new ConnectionLost());
    await play();
    expect(states.at(-1)?.stream).not.toBeNull();
    expect(subscribe).toHaveBeenCalledOnce();
  });

  it("tears everything down when the stream ends", async () => {
    await play();
    viewer.stop();
    clock.advance(60_000);
    await settle();
    expect(peer().connectionState).toBe("closed");
    expect(states.at(-1)).toEqual({ stream: null, trouble: null });
    expect(subscribe).toHaveBeenCalledOnce();
  });
});
