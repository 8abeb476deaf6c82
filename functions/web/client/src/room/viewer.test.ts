import { beforeEach, describe, expect, it, vi } from "vitest";

import { ErrorCode, QualityMode, QualityReason, type Offer, type QualityNotice } from "../protocol/messages.ts";
import { FakeMediaStream, FakePeer } from "./fake-peer.ts";
import type { IceCredentials } from "./ice-restart.ts";
import { ConnectionLost, RequestRefused } from "./requests.ts";
import { FakeClock, settle } from "./testing.ts";
import { NOT_WATCHING, Viewer, type ViewerState } from "./viewer.ts";

let clock: FakeClock;
let peers: FakePeer[];
let states: ViewerState[];
let sessions: number;
const subscribe = vi.fn<(insteadOf: string | null) => Promise<Offer>>();
const accept = vi.fn<(session: string, sdp: string) => Promise<void>>();
const hangup = vi.fn<(session: string) => Promise<void>>();
const restart = vi.fn<(session: string, ours: IceCredentials) => Promise<IceCredentials>>();
const quality = vi.fn<(session: string, mode: number, layer: string | null) => Promise<void>>();
const viewport = vi.fn<(session: string, height: number) => void>();
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
  restart.mockReset().mockResolvedValue({ ufrag: "remote", password: "password" });
  quality.mockReset().mockResolvedValue();
  viewport.mockReset();
  viewer = new Viewer({
    signaling: { subscribe, accept, hangup, quality, viewport, restart },
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
    await pass(7, () => (peer().bytes += 1_000));
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
    expect(states.at(-1)).toEqual(NOT_WATCHING);
    expect(subscribe).toHaveBeenCalledOnce();
  });

  it("restarts ICE on the same connection when the browser has lost the path", async () => {
    await play();
    peer().become("disconnected");
    await settle();
    expect(restart).toHaveBeenCalledExactlyOnceWith("v1", { ufrag: "local1", password: "secret1" });
    peer().become("connected");
    await pass(20, () => (peer().framesDecoded += 30));
    expect(peers).toHaveLength(1);
  });

  /** Media for two seconds, then nothing more. */
  async function fallSilent(): Promise<void> {
    await play();
    await pass(2, () => {
      peer().bytes += 1_000;
      peer().framesDecoded += 30;
    });
  }

  it("subscribes elsewhere within two seconds when nothing comes any more, and keeps the old picture meanwhile", async () => {
    await fallSilent();
    const old = peer();
    for (let step = 0; step < 5; step += 1) {
      clock.advance(400);
      await settle();
    }
    expect(peers).toHaveLength(2);
    expect(subscribe).toHaveBeenLastCalledWith("v1");
    expect(old.connectionState).toBe("connected");
    peer().become("connected");
    expect(old.connectionState).toBe("closed");
  });

  it("stays when the worker is heard again before another subscription is up", async () => {
    await fallSilent();
    const old = peer();
    await pass(2);
    old.bytes += 1_000;
    await pass(1);
    expect(peers).toHaveLength(2);
    expect(peer().connectionState).toBe("closed");
    expect(old.connectionState).toBe("connected");
    expect(hangup).toHaveBeenCalledExactlyOnceWith("v2");
  });

  it("restarts ICE as well: it may be the network of this device", async () => {
    subscribe.mockImplementationOnce(() => Promise.resolve({ kind: "offer", request: 1, session: "v1", sdp: "remote offer" }));
    subscribe.mockImplementation(() => new Promise(() => undefined));
    await fallSilent();
    await pass(5);
    expect(restart).toHaveBeenCalledOnce();
  });

  it("goes to another worker when the server says that its own is about to go", async () => {
    await play();
    viewer.relocate("another");
    viewer.relocate("v1");
    clock.advance(0);
    await settle();
    expect(subscribe).toHaveBeenLastCalledWith("v1");
    expect(subscribe).toHaveBeenCalledTimes(2);
    const old = peers[0];
    expect(old?.connectionState).toBe("connected");
    peer().become("connected");
    expect(old?.connectionState).toBe("closed");
  });

  it.each([
    ["w2-b", 1],
    ["v1-b", 2],
  ])("where the stream goes on in place of %s has subscribed %i times", async (former, times) => {
    subscribe.mockResolvedValueOnce({ kind: "offer", request: 1, session: "v1-a", sdp: "remote offer" });
    await play();
    viewer.continues(former);
    clock.advance(1_500);
    await settle();
    expect(subscribe).toHaveBeenCalledTimes(times);
  });

  it("waits for a streamer who sends nothing while the path answers", async () => {
    await play();
    peer().bytes += 1_000;
    await pass(9, () => (peer().checks += 1));
    expect(restart).not.toHaveBeenCalled();
    expect(peers).toHaveLength(1);
  });

  it("makes a restart that went with the socket when the socket is back", async () => {
    restart.mockRejectedValueOnce(new ConnectionLost());
    await play();
    peer().become("disconnected");
    await settle();
    viewer.signalingRestored();
    await settle();
    expect(restart).toHaveBeenCalledTimes(2);
    peer().become("connected");
    expect(peers).toHaveLength(1);
  });

  it("subscribes anew at once when the server does not know the session any more", async () => {
    restart.mockRejectedValueOnce(refusal(ErrorCode.unknownSession));
    await play();
    peer().become("disconnected");
    await settle();
    clock.advance(250);
    await settle();
    expect(subscribe).toHaveBeenCalledTimes(2);
  });

  it("says its wish and its player's height of each subscription, the height once it stands still", async () => {
    await play();
    for (const height of [400, 410, 420]) viewer.fit(height);
    clock.advance(299);
    expect(viewport).not.toHaveBeenCalled();
    clock.advance(1);
    expect(viewport).toHaveBeenCalledExactlyOnceWith("v1", 420);
    viewer.choose({ kind: "layer", layer: "q" });
    expect(quality).toHaveBeenCalledExactlyOnceWith("v1", QualityMode.layer, "q");
    viewer.watch(true);
    await settle();
    expect(quality).toHaveBeenLastCalledWith("v2", QualityMode.layer, "q");
    expect(viewport).toHaveBeenLastCalledWith("v2", 420);
  });

  it("says them again when the socket is back, since its server may be another one", async () => {
    await play();
    viewer.signalingRestored();
    expect(quality).toHaveBeenCalledExactlyOnceWith("v1", QualityMode.auto, null);
  });

  it("goes back to what the connection carries when the stream has no such layer", async () => {
    quality.mockRejectedValueOnce(refusal(ErrorCode.unknownSession));
    await play();
    viewer.choose({ kind: "layer", layer: "x" });
    expect(states.at(-1)?.wish).toEqual({ kind: "layer", layer: "x" });
    await settle();
    expect(states.at(-1)?.wish).toEqual({ kind: "auto" });
  });

  it("takes a picture that stands still for what it is while it gets sound alone", async () => {
    await play();
    viewer.told(notice("v1", null, QualityReason.network));
    await pass(30);
    expect(peers).toHaveLength(1);
    viewer.told(notice("other", "q", QualityReason.best));
    expect(states.at(-1)?.quality).toMatchObject({ session: "v1", layer: null });
    viewer.told(notice("v1", "q", QualityReason.best));
    await pass(8, () => (peer().bytes += 1_000));
    await settle();
    expect(peers).toHaveLength(2);
  });
});

function notice(session: string, layer: string | null, why: number): QualityNotice {
  return { kind: "quality_notice", session, layer, height: 0, why, layers: [] };
}

function refusal(code: number): RequestRefused {
  return new RequestRefused({ kind: "error", code, message: "refused", reference: 1, retryAfterMs: null });
}
