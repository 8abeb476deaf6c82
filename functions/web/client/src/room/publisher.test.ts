import { beforeEach, describe, expect, it, vi } from "vitest";

import { ErrorCode, type Answer } from "../protocol/messages.ts";
import { FakeMediaStream, FakePeer } from "./fake-peer.ts";
import type { IceCredentials } from "./ice-restart.ts";
import { DEFAULT_PRESET, presetCalled } from "./presets.ts";
import { Publisher, type PublisherState } from "./publisher.ts";
import { ConnectionLost, RequestRefused } from "./requests.ts";
import { FakeClock, settle } from "./testing.ts";

let clock: FakeClock;
let peers: FakePeer[];
let states: PublisherState[];
let sessions: number;
const publish = vi.fn<(sdp: string, insteadOf: string | null) => Promise<Answer>>();
const hangup = vi.fn<(session: string) => Promise<void>>();
const restart = vi.fn<(session: string, ours: IceCredentials) => Promise<IceCredentials>>();
let publisher: Publisher;

function peer(): FakePeer {
  const latest = peers.at(-1);
  if (latest === undefined) throw new Error("no peer connection was made");
  return latest;
}

async function goLive(): Promise<void> {
  publisher.start(new FakeMediaStream() as unknown as MediaStream, DEFAULT_PRESET);
  await settle();
  peer().become("connected");
}

beforeEach(() => {
  clock = new FakeClock();
  peers = [];
  states = [];
  sessions = 0;
  publish.mockReset().mockImplementation(() => {
    sessions += 1;
    return Promise.resolve({ kind: "answer", request: 1, session: `s${sessions}`, sdp: "remote answer" });
  });
  hangup.mockReset().mockResolvedValue();
  restart.mockReset().mockResolvedValue({ ufrag: "remote", password: "password" });
  publisher = new Publisher({
    signaling: { publish, hangup, restart },
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

describe("Publisher", () => {
  it("offers at once, takes the answer and is live when media connects", async () => {
    await goLive();
    expect(publish).toHaveBeenCalledExactlyOnceWith("local offer", null);
    expect(peer().remoteSdp).toBe("remote answer");
    expect(states).toEqual([{ kind: "starting" }, { kind: "live", session: "s1" }]);
  });

  it("hangs up and closes when its streamer stops", async () => {
    await goLive();
    publisher.stop();
    expect(hangup).toHaveBeenCalledExactlyOnceWith("s1");
    expect(peer().connectionState).toBe("closed");
    expect(publisher.state).toEqual({ kind: "idle" });
  });

  it("leaves connected media alone when signalling comes back to a live room", async () => {
    await goLive();
    publisher.signalingRestored(true);
    await settle();
    expect(peers).toHaveLength(1);
  });

  it("publishes anew when signalling comes back and the session is gone", async () => {
    await goLive();
    publisher.signalingRestored(false);
    await settle();
    expect(publish).toHaveBeenCalledTimes(2);
    expect(publisher.session).toBe("s2");
  });

  it("goes to another worker beside the present session, which goes on for a while", async () => {
    await goLive();
    const old = peer();
    publisher.relocate("s1");
    await settle();
    expect(publish).toHaveBeenLastCalledWith("local offer", "s1");
    expect(publisher.state).toEqual({ kind: "live", session: "s1" });
    peer().become("connected");
    expect(publisher.state).toEqual({ kind: "live", session: "s2" });
    expect(old.connectionState).toBe("connected");
    clock.advance(8_000);
    expect(old.connectionState).toBe("closed");
    expect(hangup).toHaveBeenCalledExactlyOnceWith("s1");
  });

  it("publishes elsewhere when its worker says nothing any more", async () => {
    await goLive();
    peer().bytes = 1_000;
    for (let step = 0; step < 5; step += 1) {
      clock.advance(400);
      await settle();
    }
    expect(publish).toHaveBeenLastCalledWith("local offer", "s1");
  });

  it("stays with its worker when another one cannot be had", async () => {
    await goLive();
    publish.mockRejectedValueOnce(new ConnectionLost());
    publisher.relocate("s1");
    await settle();
    expect(publisher.state).toEqual({ kind: "live", session: "s1" });
    expect(peers[0]?.connectionState).toBe("connected");
  });

  it("names the session that it had when it publishes anew after a failure", async () => {
    await goLive();
    peer().become("failed");
    clock.advance(250);
    await settle();
    expect(publish).toHaveBeenLastCalledWith("local offer", "s1");
  });

  it("waits three seconds for a disconnected peer to heal, then publishes anew", async () => {
    await goLive();
    peer().become("disconnected");
    clock.advance(2_999);
    expect(publisher.state.kind).toBe("live");
    clock.advance(1);
    expect(publisher.state.kind).toBe("recovering");
    clock.advance(250);
    await settle();
    peer().become("connected");
    expect(publisher.state).toEqual({ kind: "live", session: "s2" });
  });

  it("restarts ICE on the same connection when the path is lost, and when the device changes its network", async () => {
    await goLive();
    peer().become("disconnected");
    await settle();
    expect(restart).toHaveBeenCalledExactlyOnceWith("s1", { ufrag: "local1", password: "secret1" });
    peer().become("connected");
    publisher.networkChanged();
    await settle();
    expect(restart).toHaveBeenLastCalledWith("s1", { ufrag: "local2", password: "secret2" });
    clock.advance(60_000);
    expect(peers).toHaveLength(1);
    expect(publish).toHaveBeenCalledOnce();
  });

  it("sends what the preset says", async () => {
    publisher.start(streamWithCamera(), presetCalled("480p"));
    await settle();
    expect(peer().encodings.map(({ rid, maxBitrate }) => [rid, maxBitrate])).toEqual([
      ["h", 288_000],
      ["f", 1_200_000],
    ]);
    expect(peer().degradation).toBe("maintain-framerate");
  });

  it("does nothing when a disconnected peer heals in time", async () => {
    await goLive();
    peer().become("disconnected");
    clock.advance(1_000);
    peer().become("connected");
    clock.advance(60_000);
    expect(peers).toHaveLength(1);
  });

  it.each(["drained", "lost"] as const)("publishes anew when its session is %s", async (reason) => {
    await goLive();
    publisher.sessionEnded("s1", reason);
    clock.advance(500);
    await settle();
    expect(publish).toHaveBeenCalledTimes(2);
  });

  it("gives way to another device that has replaced it", async () => {
    await goLive();
    publisher.sessionEnded("s1", "replaced");
    clock.advance(60_000);
    await settle();
    expect(publisher.state.kind).toBe("failed");
    expect(publish).toHaveBeenCalledOnce();
  });

  it("waits at least as long as the server asks before the next attempt", async () => {
    publish.mockRejectedValueOnce(refusal(ErrorCode.noCapacity, 4_000));
    publisher.start(new FakeMediaStream() as unknown as MediaStream, DEFAULT_PRESET);
    await settle();
    expect(states.at(-1)).toEqual({ kind: "recovering", reason: "refused" });
    expect(clock.delays).toEqual([4_000]);
  });

  it("tries at once when the socket that its request was lost with is back", async () => {
    publish.mockRejectedValueOnce(new ConnectionLost());
    publisher.start(new FakeMediaStream() as unknown as MediaStream, DEFAULT_PRESET);
    await settle();
    publisher.signalingRestored(false);
    await settle();
    expect(publish).toHaveBeenCalledTimes(2);
  });

  it("gives up when it may not publish", async () => {
    publish.mockRejectedValueOnce(refusal(ErrorCode.forbidden, null));
    publisher.start(new FakeMediaStream() as unknown as MediaStream, DEFAULT_PRESET);
    await settle();
    expect(publisher.state).toEqual({ kind: "failed", reason: "refused" });
    expect(clock.delays).toEqual([]);
  });

  it("leaves no session behind when it was stopped during the request", async () => {
    publisher.start(new FakeMediaStream() as unknown as MediaStream, DEFAULT_PRESET);
    publisher.stop();
    await settle();
    expect(publisher.state).toEqual({ kind: "idle" });
    expect(hangup.mock.calls.length).toBe(publish.mock.calls.length);
  });
});

function refusal(code: number, retryAfterMs: number | null): RequestRefused {
  return new RequestRefused({ kind: "error", code, message: "refused", reference: 1, retryAfterMs });
}

function streamWithCamera(): MediaStream {
  const stream = new FakeMediaStream();
  stream.addTrack({ kind: "video", getSettings: () => ({ height: 480 }) } as unknown as MediaStreamTrack);
  return stream as unknown as MediaStream;
}
