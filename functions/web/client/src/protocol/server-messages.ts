/** Messages from server to client. */
import type { LoggedEvent } from "./room-events.ts";

export type Role = "streamer" | "viewer";
export type GapReason = "trimmed" | "epoch";

export interface Welcome {
  readonly kind: "welcome";
  readonly connection: string;
  readonly participant: string;
  readonly name: string;
  readonly role: Role;
  readonly epoch: string;
  readonly offset: number;
  readonly live: boolean;
  readonly viewers: number;
  readonly pingMs: number;
  readonly instance: string;
}

export interface Pong {
  readonly kind: "pong";
  readonly nonce: number;
}

export interface Events {
  readonly kind: "events";
  readonly events: readonly LoggedEvent[];
  /** Offset of the batch's last event, counting those of unknown type that were skipped; null when empty. */
  readonly lastOffset: number | null;
}

export interface Sent {
  readonly kind: "sent";
  readonly messageId: number;
  readonly offset: number;
}

export interface Gap {
  readonly kind: "gap";
  readonly reason: GapReason;
  readonly epoch: string;
  readonly offset: number;
}

export interface ErrorMessage {
  readonly kind: "error";
  readonly code: number;
  readonly message: string;
  readonly reference: number | null;
  readonly retryAfterMs: number | null;
}

export interface Offer {
  readonly kind: "offer";
  readonly request: number;
  readonly session: string;
  readonly sdp: string;
}

export interface Answer {
  readonly kind: "answer";
  readonly request: number;
  readonly session: string;
  readonly sdp: string;
}

export interface Viewers {
  readonly kind: "viewers";
  readonly count: number;
}

export interface Done {
  readonly kind: "done";
  readonly request: number;
}

export interface Move {
  readonly kind: "move";
  readonly delayMs: number;
}

export interface ReactionCount {
  readonly reaction: string;
  readonly count: number;
}

/** Everybody's reactions since the last such message. */
export interface Reactions {
  readonly kind: "reactions";
  readonly reactions: readonly ReactionCount[];
}

export interface TypingNotice {
  readonly kind: "typing_notice";
  /** Some of those who type. */
  readonly names: readonly string[];
  readonly count: number;
}

export interface Stats {
  readonly kind: "stats";
  readonly bitrateKbps: number;
  readonly fps: number;
  readonly viewersPeak: number;
  readonly viewersTotal: number;
  readonly messages: number;
}

/** This connection waits to be let in; `welcome` follows then. */
export interface Waiting {
  readonly kind: "waiting";
  readonly position: number;
}

export interface Knock {
  readonly participant: string;
  readonly name: string;
}

export interface Knocks {
  readonly kind: "knocks";
  /** Some of those who wait. */
  readonly waiting: readonly Knock[];
  readonly count: number;
}

export interface Person {
  readonly participant: string;
  readonly name: string;
  readonly role: string;
}

export interface PeopleList {
  readonly kind: "people_list";
  readonly request: number;
  readonly total: number;
  /** Some of those who are here. */
  readonly people: readonly Person[];
}

/** A layer that can be had: its height in pixels, 0 where that is not known, and what it costs. */
export interface LayerQuality {
  readonly name: string;
  readonly height: number;
  readonly bitrateKbps: number;
}

/** What a session of this viewer's gets at present. */
export interface QualityNotice {
  readonly kind: "quality_notice";
  readonly session: string;
  /** Null is no video. */
  readonly layer: string | null;
  readonly height: number;
  /** One of `QualityReason`: why it is not more. */
  readonly why: number;
  /** What is being sent to the room, cheapest first. */
  readonly layers: readonly LayerQuality[];
}

/** The worker's ICE credentials after a restart. */
export interface Restarted {
  readonly kind: "restarted";
  readonly request: number;
  readonly ufrag: string;
  readonly password: string;
}

/** The worker of a media session is about to go: make another session beside it, then end this one. */
export interface Relocate {
  readonly kind: "relocate";
  readonly session: string;
}

export type ServerMessage =
  | Welcome
  | Pong
  | Events
  | Sent
  | Gap
  | ErrorMessage
  | Offer
  | Answer
  | Viewers
  | Done
  | Move
  | Reactions
  | TypingNotice
  | Stats
  | Waiting
  | Knocks
  | PeopleList
  | QualityNotice
  | Restarted
  | Relocate;
