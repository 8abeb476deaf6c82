/** Messages from client to server. */

export interface Join {
  readonly kind: "join";
  readonly token: string;
  /** Where to resume, or null for a fresh join. */
  readonly epoch: string | null;
  readonly offset: number | null;
}

export interface Ping {
  readonly kind: "ping";
  readonly nonce: number;
}

export interface Chat {
  readonly kind: "chat";
  readonly messageId: number;
  readonly text: string;
}

export interface Publish {
  readonly kind: "publish";
  readonly request: number;
  /** Plain, or compressed by `compressSdp`. */
  readonly sdp: string | Uint8Array;
  /** A session whose place this one takes: the same stream, from another worker. */
  readonly insteadOf: string | null;
}

export interface Subscribe {
  readonly kind: "subscribe";
  readonly request: number;
  /** A session whose worker is about to go, or seems to be gone. */
  readonly insteadOf: string | null;
}

export interface Accept {
  readonly kind: "accept";
  readonly request: number;
  readonly session: string;
  /** Plain, or compressed by `compressSdp`. */
  readonly sdp: string | Uint8Array;
}

export interface Hangup {
  readonly kind: "hangup";
  readonly request: number;
  readonly session: string;
}

/** One ICE candidate, packed by `packCandidate`; an empty one says that no more will come. */
export interface Candidate {
  readonly kind: "candidate";
  readonly session: string;
  readonly candidate: Uint8Array;
}

export interface Candidates {
  readonly kind: "candidates";
  readonly session: string;
  /** 1 to 32 of them. */
  readonly candidates: readonly Uint8Array[];
}

export interface React {
  readonly kind: "react";
  /** At most 16 bytes of UTF-8. */
  readonly reaction: string;
  /** How many since the last such message, 1 to 20. */
  readonly count: number;
}

export interface Typing {
  readonly kind: "typing";
}

export interface Gift {
  readonly kind: "gift";
  /** Random, once per gift: sending it again gives nothing twice. Answered with `sent`. */
  readonly key: number;
  readonly gift: string;
  readonly quantity: number;
}

export interface Moderate {
  readonly kind: "moderate";
  readonly request: number;
  /** One of `ModerationAction`. */
  readonly action: number;
  readonly participant: string | null;
  readonly offset: number | null;
  readonly seconds: number | null;
}

/** Null leaves a setting as it is. */
export interface Configure {
  readonly kind: "configure";
  readonly request: number;
  readonly title: string | null;
  readonly category: string | null;
  readonly slowModeS: number | null;
  readonly waitingRoom: boolean | null;
  readonly autoAccept: boolean | null;
  readonly blockedTerms: readonly string[] | null;
}

export interface Admit {
  readonly kind: "admit";
  readonly request: number;
  /** Null for everybody who waits. */
  readonly participant: string | null;
  readonly accept: boolean;
}

export interface People {
  readonly kind: "people";
  readonly request: number;
}

/** What this viewer's player measured since the last such message. */
export interface Playback {
  readonly kind: "playback";
  readonly layer: number;
  readonly bitrateKbps: number;
  readonly fps: number;
  readonly freezes: number;
  readonly lost: number;
}

/** What this viewer wants to get of a session. Answered with `done`. */
export interface Quality {
  readonly kind: "quality";
  readonly request: number;
  readonly session: string;
  /** One of `QualityMode`. */
  readonly mode: number;
  /** The most that is to be given, where the mode is `layer`. */
  readonly layer: string | null;
}

/** How tall this viewer's player is, in pixels of the device; 0 is not known. */
export interface Viewport {
  readonly kind: "viewport";
  readonly session: string;
  readonly height: number;
}

/** This side's new ICE credentials for a session. Answered with `restarted`. */
export interface Restart {
  readonly kind: "restart";
  readonly request: number;
  readonly session: string;
  readonly ufrag: string;
  readonly password: string;
}

export type ClientMessage =
  | Join
  | Ping
  | Chat
  | Publish
  | Subscribe
  | Accept
  | Hangup
  | Candidate
  | Candidates
  | React
  | Typing
  | Gift
  | Moderate
  | Configure
  | Admit
  | People
  | Playback
  | Quality
  | Viewport
  | Restart;
