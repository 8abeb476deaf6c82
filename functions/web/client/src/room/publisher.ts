/**
 * Publishes one captured stream to the SFU, and keeps it published until it is told to stop.
 *
 * Signalling may come and go under it: the peer connection is replaced only when media itself has failed or the
 * server says that the session is gone.
 */
import type { Answer, EndReason } from "../protocol/messages.ts";
import { Backoff } from "./backoff.ts";
import { systemClock, type Clock, type Timer } from "./clock.ts";
import { restartIce, type IceCredentials } from "./ice-restart.ts";
import { localSdp, newPeer, watchPeer, type PeerFactory, type PeerWatch } from "./peer.ts";
import { DEFAULT_PRESET, encodingsOf, type Preset } from "./presets.ts";
import { ConnectionLost, RequestRefused } from "./requests.ts";

export type PublisherState =
  | { readonly kind: "idle" }
  | { readonly kind: "starting" }
  | { readonly kind: "live"; readonly session: string }
  /** Was refused or interrupted; tries again by itself. */
  | { readonly kind: "recovering"; readonly reason: string }
  /** Has stopped for good, for a reason worth saying. */
  | { readonly kind: "failed"; readonly reason: string };

/** The part of the room connection that publishing needs. */
export interface PublishSignaling {
  publish(sdp: string, insteadOf: string | null): Promise<Answer>;
  hangup(session: string): Promise<void>;
  restart(session: string, ours: IceCredentials): Promise<IceCredentials>;
}

export interface PublisherOptions {
  readonly signaling: PublishSignaling;
  readonly onState: (state: PublisherState) => void;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly newPeer?: PeerFactory;
}

const BACKOFF = { initialMs: 500, capMs: 10_000 };
/** Viewers go over to a new session at a keyframe of it: so long the former one goes on sending, if its worker lets it. */
const FORMER_MS = 8_000;

interface Attempt {
  readonly peer: RTCPeerConnection;
  session: string | null;
  watch: PeerWatch | null;
}

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  #stream: MediaStream | null = null;
  #preset: Preset = DEFAULT_PRESET;
  #attempt: Attempt | null = null;
  /** One that is being set up beside it. */
  #next: Attempt | null = null;
  /** The session that the stream had last: the next one takes its place. */
  #former: string | null = null;
  readonly #retiring = new Map<Attempt, Timer>();
  #retry: Timer | null = null;
  #state: PublisherState = { kind: "idle" };

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#backoff = new Backoff({ ...BACKOFF, ...(options.random && { random: options.random }) });
  }

  get state(): PublisherState {
    return this.#state;
  }

  /** The session this publisher believes to be live, if any. */
  get session(): string | null {
    return this.#attempt?.session ?? null;
  }

  start(stream: MediaStream, preset: Preset): void {
    this.#stream = stream;
    this.#preset = preset;
    this.#setState({ kind: "starting" });
    void this.#publish();
  }

  /** Ends the stream as its streamer's own wish. */
  stop(): void {
    const session = this.session;
    this.#end();
    this.#setState({ kind: "idle" });
    if (session !== null) this.#hangUp(session);
  }

  /** Puts another device's track in the place of the present one of its kind, without a new negotiation. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    const attempts = [this.#attempt, this.#next, ...this.#retiring.keys()];
    const senders = attempts.flatMap((attempt) => attempt?.peer.getSenders() ?? []);
    const ofKind = senders.filter((sender) => sender.track?.kind === track.kind);
    await Promise.all(ofKind.map((sender) => sender.replaceTrack(track)));
  }

  /** The server says that a session of the room has ended. */
  sessionEnded(session: string, reason: EndReason): void {
    if (session !== this.session) return;
    this.#former = session;
    if (reason === "ended") {
      this.#end();
      this.#setState({ kind: "failed", reason: "This room has ended. Open it again to go live." });
    } else if (reason === "replaced") {
      this.#end();
      this.#setState({ kind: "failed", reason: "Another device or encoder has taken over this stream." });
    } else {
      this.#recover("The media server let go of the stream.");
    }
  }

  /** The socket is back. When the room is not live any more, our session went while we could not hear of it. */
  signalingRestored(live: boolean): void {
    if (this.#stream === null) return;
    this.#attempt?.watch?.signalingRestored();
    if (this.#retry !== null || (!live && this.session !== null)) {
      this.#cancelRetry();
      void this.#publish();
    }
  }

  /** The device may be in another network. */
  networkChanged(): void {
    this.#attempt?.watch?.restart();
  }

  /** The worker of that session is about to go: publishes beside it, to another one. */
  relocate(session: string): void {
    if (session === this.session) this.#goOver();
  }

  #goOver(): void {
    if (this.#stream !== null && this.#attempt?.session != null && this.#next === null) void this.#publish(true);
  }

  async #publish(beside = false): Promise<void> {
    if (!beside) this.#dropAttempt();
    const stream = this.#stream;
    if (stream === null) return;
    const peer = (this.#options.newPeer ?? newPeer)();
    const attempt: Attempt = { peer, session: null, watch: null };
    if (beside) this.#next = attempt;
    else this.#attempt = attempt;
    try {
      await addTracks(peer, stream, this.#preset);
      await peer.setLocalDescription();
      const former = beside ? this.session : this.#former;
      const answer = await this.#options.signaling.publish(localSdp(peer), former);
      if (this.#attempt !== attempt && this.#next !== attempt) {
        // Stopped while the server was answering: the session it made must not stay behind.
        this.#hangUp(answer.session);
        return;
      }
      attempt.session = answer.session;
      await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
      attempt.watch = watchPeer(peer, this.#clock, {
        onConnected: () => {
          this.#backoff.reset();
          if (this.#next === attempt) this.#takeOver(attempt);
          this.#former = answer.session;
          this.#setState({ kind: "live", session: answer.session });
        },
        onFailed: () => {
          if (this.#attempt === attempt && this.#next === null) this.#recover("The media connection was lost.");
          else if (this.#next === attempt) this.#dropNext();
        },
        onSilent: () => {
          if (this.#attempt === attempt) this.#goOver();
        },
        onHeard: () => {
          if (this.#attempt === attempt) this.#dropNext();
        },
        restartIce: () =>
          restartIce(peer, (ours) => this.#options.signaling.restart(answer.session, ours)),
      });
    } catch (error) {
      if (this.#attempt === attempt) this.#failed(error);
      // The former session goes on for as long as its worker lets it; when that ends it, we try again.
      else if (this.#next === attempt) this.#dropNext();
    }
  }

  /** Another session has come up beside the present one, which goes on for a while. */
  #takeOver(attempt: Attempt): void {
    const former = this.#attempt;
    this.#attempt = attempt;
    this.#next = null;
    if (former === null) return;
    former.watch?.stop();
    const timer = this.#clock.after(FORMER_MS, () => {
      this.#retire(former);
    });
    this.#retiring.set(former, timer);
  }

  #retire(former: Attempt): void {
    this.#retiring.get(former)?.cancel();
    this.#retiring.delete(former);
    former.peer.close();
    if (former.session !== null) this.#hangUp(former.session);
  }

  #dropNext(): void {
    const next = this.#next;
    this.#next = null;
    next?.watch?.stop();
    next?.peer.close();
    if (next?.session != null) this.#hangUp(next.session);
    const peer = this.#attempt?.peer;
    if (peer !== undefined && ["failed", "closed"].includes(peer.connectionState)) {
      this.#recover("The media connection was lost.");
    }
  }

  #failed(error: unknown): void {
    if (error instanceof RequestRefused && error.final) {
      this.#end();
      this.#setState({ kind: "failed", reason: error.message });
      return;
    }
    const waitMs = error instanceof RequestRefused ? (error.retryAfterMs ?? 0) : 0;
    this.#recover(
      error instanceof RequestRefused || error instanceof ConnectionLost
        ? error.message
        : "The browser could not set up the stream.",
      waitMs,
    );
  }

  #recover(reason: string, atLeastMs = 0): void {
    this.#dropAttempt();
    this.#setState({ kind: "recovering", reason });
    this.#cancelRetry();
    this.#retry = this.#clock.after(Math.max(atLeastMs, this.#backoff.next()), () => {
      this.#retry = null;
      void this.#publish();
    });
  }

  #end(): void {
    this.#stream = null;
    this.#former = null;
    this.#cancelRetry();
    this.#dropAttempt();
    for (const former of [...this.#retiring.keys()]) this.#retire(former);
  }

  #dropAttempt(): void {
    const next = this.#next;
    this.#next = null;
    next?.watch?.stop();
    next?.peer.close();
    this.#attempt?.watch?.stop();
    this.#attempt?.peer.close();
    this.#attempt = null;
  }

  #cancelRetry(): void {
    this.#retry?.cancel();
    this.#retry = null;
  }

  #hangUp(session: string): void {
    // Best effort: the worker also sees the peer connection close.
    this.#options.signaling.hangup(session).catch(() => undefined);
  }

  #setState(state: PublisherState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}

/** The media server gives each viewer the largest layer that their connection takes. */
async function addTracks(peer: RTCPeerConnection, stream: MediaStream, preset: Preset): Promise<void> {
  for (const track of stream.getTracks()) {
    const video = track.kind === "video";
    const { sender } = peer.addTransceiver(track, {
      direction: "sendonly",
      streams: [stream],
      ...(video && { sendEncodings: encodingsOf(preset, track.getSettings().height ?? preset.height) }),
    });
    if (video) await degradeBy(sender, preset.degradation);
  }
}

async function degradeBy(sender: RTCRtpSender, preference: RTCDegradationPreference): Promise<void> {
  const parameters = sender.getParameters();
  parameters.degradationPreference = preference;
  // A wish: a browser that does not know it publishes all the same.
  await sender.setParameters(parameters).catch(() => undefined);
}
