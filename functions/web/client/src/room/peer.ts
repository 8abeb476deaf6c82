/** What publisher and viewer share: a peer connection towards the SFU, and the judgement that it has failed. */
import type { Clock, Timer } from "./clock.ts";
import { activityOf, GONE_MS, SilenceDetector, type InboundReport } from "./media-health.ts";
import { ConnectionLost } from "./requests.ts";

/** A short interruption heals by itself through ICE consent checks. */
const DISCONNECTED_GRACE_MS = 3_000;
/** From both sides' new credentials to a path that works. */
const RESTART_GRACE_MS = 5_000;
const SAMPLE_MS = 400;
/** From the SFU's description to DTLS being up. */
const CONNECT_TIMEOUT_MS = 10_000;

/** States of a connection that has had a path. */
const STARTED: readonly RTCPeerConnectionState[] = ["connected", "disconnected", "failed"];

export type PeerFactory = () => RTCPeerConnection;

/** The SFU is ICE-lite with host candidates in its SDP: only a network that lets little through needs a TURN server. */
export function openPeer(iceServers: readonly RTCIceServer[]): RTCPeerConnection {
  return new RTCPeerConnection({ iceServers: [...iceServers], bundlePolicy: "max-bundle" });
}

export const newPeer: PeerFactory = () => openPeer([]);

export interface PeerWatch {
  stop(): void;
  /** The device may be in another network: looks for another path. */
  restart(): void;
  /** The socket is back: a restart that waited for it can be made. */
  signalingRestored(): void;
}

export interface PeerEvents {
  readonly onConnected: () => void;
  /** Called once; the connection is of no use any more. */
  readonly onFailed: () => void;
  /** Nothing comes from the worker any more: it, or the path, may be gone. Called once for each time. */
  readonly onSilent: () => void;
  /** What came after a silence. */
  readonly onHeard: () => void;
  /** Begins ICE anew within the connection. */
  readonly restartIce: () => Promise<void>;
}

/**
 * Watches a connection whose descriptions are set. Where nothing comes over its path any more, it looks for another one
 * at once: browsers say so later, and then the SFU is close to giving up.
 */
export function watchPeer(peer: RTCPeerConnection, clock: Clock, events: PeerEvents): PeerWatch {
  let timer: Timer | null = null;
  let sampling: Timer | null = null;
  const silence = new SilenceDetector();
  const gone = new SilenceDetector(GONE_MS);
  let silentAt: number | null = null;
  let stopped = false;
  let restarting = false;
  let waiting = false;
  const stop = (): void => {
    stopped = true;
    timer?.cancel();
    sampling?.cancel();
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
  const restart = (): void => {
    if (stopped || restarting || !STARTED.includes(peer.connectionState)) return;
    restarting = true;
    waiting = false;
    events.restartIce().then(
      () => {
        restarting = false;
        if (!stopped && peer.connectionState !== "connected") failAfter(RESTART_GRACE_MS);
      },
      (error: unknown) => {
        restarting = false;
        if (stopped) return;
        if (error instanceof ConnectionLost) waiting = true;
        // A path that works goes on whatever became of the restart.
        else if (peer.connectionState !== "connected") fail();
      },
    );
  };
  const onChange = (): void => {
    switch (peer.connectionState) {
      case "connected":
        timer?.cancel();
        waiting = false;
        events.onConnected();
        break;
      case "disconnected":
        failAfter(DISCONNECTED_GRACE_MS);
        restart();
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
  const sample = (): void => {
    sampling = clock.after(SAMPLE_MS, () => {
      void peer.getStats().then((reports) => {
        if (stopped) return;
        const activity = activityOf(reports.values() as Iterable<InboundReport>);
        if (silence.fellSilent(activity, clock.now())) restart();
        if (gone.fellSilent(activity, clock.now())) {
          silentAt = activity;
          events.onSilent();
        } else if (silentAt !== null && activity !== silentAt) {
          silentAt = null;
          events.onHeard();
        }
        sample();
      });
    });
  };
  failAfter(CONNECT_TIMEOUT_MS);
  sample();
  peer.addEventListener("connectionstatechange", onChange);
  // It may have come up, or gone, before anyone watched.
  onChange();
  return {
    stop,
    restart,
    signalingRestored: () => {
      if (waiting) restart();
    },
  };
}

/** The local description as it stands: the SFU learns our candidates from our connectivity checks. */
export function localSdp(peer: RTCPeerConnection): string {
  const description = peer.localDescription;
  if (description === null) throw new Error("The peer connection has no local description.");
  return description.sdp;
}
