/**
 * Watches the room's stream: subscribes while the room is live and subscribes anew when media fails.
 *
 * A new subscription is built beside the old one, which keeps its picture until the new one is connected.
 * Signalling may come and go meanwhile: connected media is left alone. What the viewer wishes to get, and how tall the
 * player is, goes with them from one subscription to the next.
 */
import type { Offer, QualityNotice } from "../protocol/messages.ts";
import { Backoff } from "./backoff.ts";
import { systemClock, type Clock, type Timer } from "./clock.ts";
import { restartIce, type IceCredentials } from "./ice-restart.ts";
import { sampleOf, StallDetector, type InboundReport } from "./media-health.ts";
import { localSdp, newPeer, watchPeer, type PeerFactory, type PeerWatch } from "./peer.ts";
import { ConnectionLost, RequestRefused } from "./requests.ts";
import { AUTO, onTheWire, withoutVideo, type Wish } from "./wishes.ts";

export interface ViewerState {
  /** What to play, or null. Stays the same object while the same subscription plays. */
  readonly stream: MediaStream | null;
  /** Why there is no good picture at the moment, or null. */
  readonly trouble: string | null;
  readonly wish: Wish;
  /** What the server says that it sends, once it has. */
  readonly quality: QualityNotice | null;
}

export const NOT_WATCHING: ViewerState = { stream: null, trouble: null, wish: AUTO, quality: null };

/** The part of the room connection that watching needs. */
export interface SubscribeSignaling {
  subscribe(insteadOf: string | null): Promise<Offer>;
  accept(session: string, sdp: string): Promise<void>;
  hangup(session: string): Promise<void>;
  quality(session: string, mode: number, layer: string | null): Promise<void>;
  viewport(session: string, height: number): void;
  restart(session: string, ours: IceCredentials): Promise<IceCredentials>;
}

export interface ViewerOptions {
  readonly signaling: SubscribeSignaling;
  readonly onState: (state: ViewerState) => void;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly newPeer?: PeerFactory;
}

const BACKOFF = { initialMs: 500, capMs: 10_000 };
const SAMPLE_MS = 1_000;
/** A player that is being resized has no size worth telling before it stands still. */
const VIEWPORT_DEBOUNCE_MS = 300;
/** Those who leave a worker together are spread over this time. */
const SPREAD_MS = 1_500;
const SILENT_SPREAD_MS = 200;
/** Playback this long proves the subscription good: only then does the back-off begin anew. */
const PROVEN_AFTER_MS = 10_000;

interface Subscription {
  readonly peer: RTCPeerConnection;
  readonly stream: MediaStream;
  session: string | null;
  watch: PeerWatch | null;
  sampling: Timer | null;
  quality: QualityNotice | null;
}

export class Viewer {
  readonly #options: ViewerOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #random: () => number;
  #watching = false;
  /** The one that plays. */
  #current: Subscription | null = null;
  /** The one that is being set up. */
  #next: Subscription | null = null;
  #retry: Timer | null = null;
  #viewportTimer: Timer | null = null;
  #height = 0;
  #state = NOT_WATCHING;

  constructor(options: ViewerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#backoff = new Backoff({ ...BACKOFF, ...(options.random && { random: options.random }) });
  }

  /** The room is live. With `afresh`, by a session other than the one that was subscribed. */
  watch(afresh: boolean): void {
    if (this.#watching && !afresh) return;
    this.#watching = true;
    this.#backoff.reset();
    this.#cancelRetry();
    void this.#subscribe();
  }

  /** The stream has ended, or this page leaves it. */
  stop(): void {
    this.#watching = false;
    this.#cancelRetry();
    this.#discard(this.#next);
    this.#next = null;
    this.#discard(this.#current);
    this.#current = null;
    this.#setState({ stream: null, trouble: null, quality: null });
  }

  /** What to get from now on, of this stream and of the next ones. */
  choose(wish: Wish): void {
    this.#setState({ wish });
    if (this.#current !== null) void this.#tellWish(this.#current);
  }

  /** How tall the player is, in pixels of the device. */
  fit(height: number): void {
    this.#viewportTimer?.cancel();
    if (height === this.#height) return;
    this.#viewportTimer = this.#clock.after(VIEWPORT_DEBOUNCE_MS, () => {
      this.#height = height;
      if (this.#current !== null) this.#tellHeight(this.#current);
    });
  }

  /** The server says what one of our sessions gets. */
  told(quality: QualityNotice): void {
    for (const subscription of [this.#current, this.#next]) {
      if (subscription?.session === quality.session) subscription.quality = quality;
    }
    if (this.#current?.session === quality.session) this.#setState({ quality });
  }

  /** The stream goes on in the place of another session: who watched at the worker that this was at subscribes anew. */
  continues(former: string): void {
    const current = this.#current;
    if (current?.session == null || workerOf(current.session) !== workerOf(former)) return;
    this.#goOver(current, this.#random() * SPREAD_MS);
  }

  /** The worker of that session is about to go. */
  relocate(session: string): void {
    if (this.#current?.session === session) this.#goOver(this.#current, 0);
  }

  /** The device may be in another network. */
  networkChanged(): void {
    this.#current?.watch?.restart();
  }

  /** The socket is back: what waited for it need not wait longer. Media that flows is not touched. */
  signalingRestored(): void {
    if (this.#current !== null) {
      this.#current.watch?.signalingRestored();
      // The server's process may be another one, which does not know yet whom to tell what this session gets.
      void this.#tellWish(this.#current);
      this.#tellHeight(this.#current);
    }
    if (!this.#watching || this.#retry === null) return;
    this.#cancelRetry();
    void this.#subscribe();
  }

  /** Another subscription beside the present one, from another worker. */
  #goOver(current: Subscription, delayMs: number): void {
    if (!this.#watching || this.#next !== null) return;
    this.#cancelRetry();
    this.#retry = this.#clock.after(delayMs, () => {
      this.#retry = null;
      if (current === this.#current) void this.#subscribe();
    });
  }

  async #subscribe(): Promise<void> {
    this.#discard(this.#next);
    const peer = (this.#options.newPeer ?? newPeer)();
    const subscription: Subscription = {
      peer,
      stream: new MediaStream(),
      session: null,
      watch: null,
      sampling: null,
      quality: null,
    };
    this.#next = subscription;
    peer.addEventListener("track", ({ track }) => {
      subscription.stream.addTrack(track);
    });
    try {
      const { signaling } = this.#options;
      const offer = await signaling.subscribe(this.#current?.session ?? null);
      if (this.#next !== subscription) {
        signaling.hangup(offer.session).catch(() => undefined);
        return;
      }
      subscription.session = offer.session;
      await peer.setRemoteDescription({ type: "offer", sdp: offer.sdp });
      await peer.setLocalDescription();
      await this.#accept(subscription, offer.session);
      if (this.#next !== subscription) return;
      if (this.#state.wish.kind !== "auto") void this.#tellWish(subscription);
      this.#tellHeight(subscription);
      subscription.watch = watchPeer(peer, this.#clock, {
        onConnected: () => {
          this.#play(subscription);
        },
        onFailed: () => {
          this.#resubscribe("The video connection was lost.");
        },
        onSilent: () => {
          if (subscription === this.#current) this.#goOver(subscription, this.#random() * SILENT_SPREAD_MS);
        },
        onHeard: () => {
          this.#heard(subscription);
        },
        restartIce: () =>
          restartIce(peer, (ours) => this.#options.signaling.restart(offer.session, ours)),
      });
    } catch (error) {
      if (this.#next === subscription) this.#failed(error);
    }
  }

  /** What seemed to be gone is there after all: another subscription is not needed. */
  #heard(subscription: Subscription): void {
    if (subscription !== this.#current || subscription.peer.connectionState !== "connected") return;
    this.#cancelRetry();
    this.#discard(this.#next);
    this.#next = null;
    this.#setState({ trouble: null });
  }

  async #accept(subscription: Subscription, session: string): Promise<void> {
    try {
      await this.#options.signaling.accept(session, localSdp(subscription.peer));
    } catch (error) {
      // The answer may have arrived before the socket went. If it did not, media does not come up and we start again.
      if (!(error instanceof ConnectionLost)) throw error;
    }
  }

  async #tellWish(subscription: Subscription): Promise<void> {
    const { wish } = this.#state;
    const { mode, layer } = onTheWire(wish);
    if (subscription.session === null) return;
    try {
      await this.#options.signaling.quality(subscription.session, mode, layer);
    } catch (error) {
      // Another stream has other layers. What went with the socket is said again when that is back.
      if (error instanceof RequestRefused && wish.kind === "layer" && this.#state.wish === wish) {
        this.#setState({ wish: AUTO });
      }
    }
  }

  #tellHeight(subscription: Subscription): void {
    if (subscription.session !== null && this.#height > 0) {
      this.#options.signaling.viewport(subscription.session, this.#height);
    }
  }

  #play(subscription: Subscription): void {
    if (subscription !== this.#next) return;
    this.#discard(this.#current);
    this.#current = subscription;
    this.#next = null;
    this.#setState({ stream: subscription.stream, trouble: null, quality: subscription.quality });
    this.#sample(subscription, new StallDetector(), this.#clock.now());
  }

  #sample(subscription: Subscription, stall: StallDetector, startedAt: number): void {
    subscription.sampling = this.#clock.after(SAMPLE_MS, () => {
      void (async (): Promise<void> => {
        const reports = await subscription.peer.getStats();
        if (subscription !== this.#current) return;
        const now = this.#clock.now();
        if (now - startedAt >= PROVEN_AFTER_MS) this.#backoff.reset();
        if (withoutVideo(this.#state.wish, this.#state.quality)) {
          this.#sample(subscription, new StallDetector(), startedAt);
          return;
        }
        if (stall.stalled(sampleOf(reports.values() as Iterable<InboundReport>), now)) {
          this.#resubscribe("The video has stalled.");
          return;
        }
        this.#sample(subscription, stall, startedAt);
      })();
    });
  }

  #failed(error: unknown): void {
    this.#discard(this.#next);
    this.#next = null;
    if (error instanceof RequestRefused && error.final) {
      this.#setState({ stream: null, trouble: error.message, quality: null });
      return;
    }
    const refused = error instanceof RequestRefused;
    this.#resubscribe(
      refused ? error.message : "The video could not be set up.",
      refused ? (error.retryAfterMs ?? 0) : 0,
    );
  }

  #resubscribe(trouble: string, atLeastMs = 0): void {
    if (!this.#watching) return;
    this.#setState({ stream: this.#current?.stream ?? null, trouble });
    this.#cancelRetry();
    this.#retry = this.#clock.after(Math.max(atLeastMs, this.#backoff.next()), () => {
      this.#retry = null;
      void this.#subscribe();
    });
  }

  #discard(subscription: Subscription | null): void {
    if (subscription === null) return;
    subscription.watch?.stop();
    subscription.sampling?.cancel();
    subscription.peer.close();
    if (subscription.session !== null) {
      // Best effort: a session that ended with its stream, or with its worker, is unknown by now.
      this.#options.signaling.hangup(subscription.session).catch(() => undefined);
    }
  }

  #cancelRetry(): void {
    this.#retry?.cancel();
    this.#retry = null;
  }

  #setState(change: Partial<ViewerState>): void {
    const state = { ...this.#state, ...change };
    const { stream, trouble, wish, quality } = this.#state;
    if (state.stream === stream && state.trouble === trouble && state.wish === wish && state.quality === quality) {
      return;
    }
    this.#state = state;
    this.#options.onState(state);
  }
}

/** The worker that a session is at: its id begins the session's. */
function workerOf(session: string): string {
  return session.split("-", 1)[0] ?? session;
}
