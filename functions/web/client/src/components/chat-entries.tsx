import { memo, type ReactNode } from "react";

import type { Moderation } from "../room/connection.ts";
import type { ChatEntry, NoticeEntry } from "../room/timeline.ts";
import { Icon } from "./icons.tsx";
import { MessageMenu } from "./message-menu.tsx";

const NAME_COLOURS = 8;

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

interface MessageProps {
  readonly entry: ChatEntry;
  /** Whether the sender's name stands above it: not when they go on speaking. */
  readonly headed: boolean;
  readonly onRetry: (messageId: number) => void;
  /** Given to those who may. */
  readonly onModerate?: ((moderation: Moderation) => void) | undefined;
}

export const Message = memo(function Message({ entry, headed, onRetry, onModerate }: MessageProps): ReactNode {
  const at = new Date(entry.at);
  return (
    <li
      className={`message ${entry.status}${entry.own ? " own" : ""}${headed ? " headed" : ""}`}
      data-testid="chat-message"
      data-message-id={entry.messageId}
      data-status={entry.status}
    >
      {headed && (
        <div className="message-head">
          <span className={`sender colour-${colourOf(entry.sender)}`}>{entry.name}</span>
          {entry.own && <span className="you">you</span>}
          <time dateTime={at.toISOString()}>{TIME.format(at)}</time>
        </div>
      )}
      <p title={TIME.format(at)}>{entry.text}</p>
      {onModerate !== undefined && !entry.own && <MessageMenu entry={entry} onModerate={onModerate} />}
      {entry.status === "pending" && <span className="message-note">{entry.note ?? "Sending…"}</span>}
      {entry.status === "failed" && (
        <span className="message-note failed" role="alert">
          Not sent: {entry.note}{" "}
          <button
            type="button"
            className="link"
            onClick={() => {
              onRetry(entry.messageId);
            }}
          >
            Try again
          </button>
        </span>
      )}
    </li>
  );
});

export const Notice = memo(function Notice({ entry }: { readonly entry: NoticeEntry }): ReactNode {
  const at = new Date(entry.at);
  return (
    <li className={`notice ${entry.tone}`} data-testid="notice">
      {entry.tone === "warning" && <Icon name="warning" />}
      <span>{entry.text}</span>
      <time dateTime={at.toISOString()}>{TIME.format(at)}</time>
    </li>
  );
});

/** The same person has the same colour for everyone and for good. */
function colourOf(participant: string): number {
  let hash = 0;
  for (let index = 0; index < participant.length; index += 1) {
    hash = (hash * 31 + participant.charCodeAt(index)) >>> 0;
  }
  return hash % NAME_COLOURS;
}
