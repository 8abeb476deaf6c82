/** What publisher and viewer share: a peer connection towards the SFU, and the judgement that it has failed. */
import type { Clock, Timer } from "./clock.ts";


/** A short interruption heals by itself through ICE consent checks. */
const DISCONNECTED_GRACE_MS = 3_000;
/** From the SFU's description to DTLS being up. */
const CONNECT_TIMEOUT_MS = 10_000;

export type PeerFactory = () => RTCPeerConnection;

/** The SFU is ICE-lite with host candidates in its SDP: only a network that lets little through needs a TURN server. */
export function openPeer(iceServers: readonly RTCIceServer[]): RTCPeerConnection {
  return new RTCPeerConnection({ iceServers: [...iceServers], bundlePolicy: "max-bundle" });
}

export const newPeer: PeerFactory = () => openPeer([]);

export interface PeerWatch {
  stop(): void;
}

export interface PeerEvents {
  readonly onConnected: () => void;
  /** Called once; the connection is of no use any more. */
  readonly onFailed: () => void;
}

/** Watches a connection whose descriptions are set. */
export function watchPeer(peer: RTCPeerConnection, clock: Clock, events: PeerEvents): PeerWatch {
  let timer: Timer | null = null;
  const stop = (): void => {
    timer?.cancel();
    peer.removeEventListener("connectionstatechange", onChange);
  };
  const fail = (): void => {
    stop();
    events.onFailed();
  };
  const failAfter = (delayMs: number): void => {
    timer?.cancel();
    timer = clock.after(delayMs, fail);
  };
  const onChange = (): void => {
    switch (peer.connectionState) {
      case "connected":
        timer?.cancel();
        events.onConnected();
        break;
      case "disconnected":
        failAfter(DISCONNECTED_GRACE_MS);
        break;
      case "failed":
      case "closed":
        fail();
        break;
      case "new":
      case "connecting":
        break;
    }
  };
  failAfter(CONNECT_TIMEOUT_MS);
  peer.addEventListener("connectionstatechange", onChange);
  // It may have come up, or gone, before anyone watched.
  onChange();
  return { stop };
}

/** The local description as it stands: the SFU learns our candidates from our connectivity checks. */
export function localSdp(peer: RTCPeerConnection): string {
  const description = peer.localDescription;
  if (description === null) throw new Error("The peer connection has no local description.");
  return description.sdp;
}
