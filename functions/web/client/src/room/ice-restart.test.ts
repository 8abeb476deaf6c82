import { describe, expect, it } from "vitest";

import { FakePeer } from "./fake-peer.ts";
import { asAnswer, credentialsIn, restartIce, type IceCredentials } from "./ice-restart.ts";

const sdp = (...lines: string[]): string => [...lines, ""].join("\r\n");

const REMOTE = sdp(
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=candidate:1 1 udp 1 192.0.2.1 7000 typ host",
  "a=ice-ufrag:old1",
  "a=ice-pwd:oldoldoldoldoldoldoldold",
  "a=setup:actpass",
  "a=sendonly",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=ice-ufrag:old1",
  "a=ice-pwd:oldoldoldoldoldoldoldold",
  "a=setup:actpass",
);
const THEIRS = { ufrag: "new1", password: "newnewnewnewnewnewnewnew" };

describe("asAnswer", () => {
  it("keeps the other side's description but for its credentials, and answers its own offer", () => {
    const answer = asAnswer({ sdp: REMOTE }, { sdp: "a=setup:active\r\n" }, THEIRS);
    expect(answer).toBe(
      REMOTE.replaceAll("old1", "new1")
        .replaceAll("oldoldoldoldoldoldoldold", "newnewnewnewnewnewnewnew")
        .replaceAll("actpass", "passive"),
    );
  });

  it("leaves each side the part in the handshake that it had", () => {
    expect(asAnswer({ sdp: REMOTE }, { sdp: "a=setup:passive\r\n" }, THEIRS)).toContain("a=setup:active\r\n");
    const answered = REMOTE.replaceAll("actpass", "passive");
    expect(asAnswer({ sdp: answered }, { sdp: "a=setup:actpass\r\n" }, THEIRS)).not.toContain("a=setup:active\r\n");
  });
});

describe("credentialsIn", () => {
  it("finds them, or says that there are none", () => {
    expect(credentialsIn(REMOTE)).toEqual({ ufrag: "old1", password: "oldoldoldoldoldoldoldold" });
    expect(credentialsIn(sdp("a=ice-ufrag:old1"))).toBeNull();
  });
});

describe("restartIce", () => {
  const connected = (): FakePeer => {
    const peer = new FakePeer();
    peer.remoteSdp = REMOTE;
    peer.localDescription = { sdp: "a=setup:active\r\n" };
    return peer;
  };

  it("gives the new credentials away and takes the other side's over", async () => {
    const peer = connected();
    const given: IceCredentials[] = [];
    await restartIce(peer as unknown as RTCPeerConnection, (ours) => {
      given.push(ours);
      return Promise.resolve(THEIRS);
    });
    expect(given).toEqual([{ ufrag: "local1", password: "secret1" }]);
    expect(peer.remoteSdp).toContain("a=ice-ufrag:new1\r\n");
    expect(peer.remoteSdp).toContain("a=setup:passive\r\n");
  });

  it("undoes its offer when there is no answer, so that it can be tried again", async () => {
    const peer = connected();
    const lost = new Error("lost");
    const attempt = restartIce(peer as unknown as RTCPeerConnection, () => Promise.reject(lost));
    await expect(attempt).rejects.toBe(lost);
    expect(peer.rollbacks).toBe(1);
    expect(peer.remoteSdp).toBe(REMOTE);
  });
});
