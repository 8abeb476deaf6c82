/** Events of the room log: what was said and done, in an order that everybody sees. */

export type EndReason = "left" | "lost" | "replaced" | "drained" | "ended";

export interface ChatEvent {
  readonly type: "chat";
  readonly sender: string;
  readonly name: string;
  readonly messageId: number;
  readonly text: string;
}

export interface StreamStarted {
  readonly type: "stream_started";
  readonly session: string;
  readonly name: string;
  /** The session in whose place the stream goes on; empty for a stream of its own. */
  readonly continues: string;
}

export interface StreamEnded {
  readonly type: "stream_ended";
  readonly session: string;
  readonly reason: EndReason;
}

export interface GiftEvent {
  readonly type: "gift";
  readonly sender: string;
  readonly name: string;
  readonly key: number;
  readonly gift: string;
  readonly quantity: number;
}

/** The event at `offset` is to be shown no more. */
export interface Deleted {
  readonly type: "deleted";
  readonly offset: number;
}

export interface Sanction {
  readonly type: "sanction";
  readonly participant: string;
  /** One of `ModerationAction`, but not `delete`. */
  readonly action: number;
  /** Milliseconds since 1970; 0 for good, or when lifted. */
  readonly untilMs: number;
}

export interface SettingsChanged {
  readonly type: "settings_changed";
  readonly title: string;
  readonly category: string;
  readonly slowModeS: number;
  readonly waitingRoom: boolean;
}

export type RoomEvent =
  ChatEvent | StreamStarted | StreamEnded | GiftEvent | Deleted | Sanction | SettingsChanged;

/** An event and its place in the room log: microseconds since 1970, strictly increasing. */
export interface LoggedEvent {
  readonly offset: number;
  readonly event: RoomEvent;
}
