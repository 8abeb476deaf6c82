import { memo, type ReactNode } from "react";

import type { Moderation } from "../room/connection.ts";
import type { Decision } from "../room/sanctions.ts";
import type { ChatEntry, GiftEntry, NoticeEntry, PersonEntry } from "../room/timeline.ts";
import { GiftPicture } from "./gift-picture.tsx";
import { Icon } from "./icons.tsx";
import { MessageMenu } from "./message-menu.tsx";
import { colourOf } from "./name-colour.ts";

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

interface EntryProps<E extends PersonEntry> {
  readonly entry: E;
  readonly onRetry: (messageId: number) => void;
  /** Given to those who may. */
  readonly onModerate?: ((moderation: Moderation) => void) | undefined;
  /** What was decided about its sender. */
  readonly sanction?: Decision | undefined;
}

interface MessageProps extends EntryProps<ChatEntry> {
  /** Whether the sender's name stands above it: not when they go on speaking. */
  readonly headed: boolean;
}

export const Message = memo(function Message({ headed, ...props }: MessageProps): ReactNode {
  const { entry } = props;
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
      <Beneath {...props} />
    </li>
  );
});

export const GiftMessage = memo(function GiftMessage(props: EntryProps<GiftEntry>): ReactNode {
  const { entry } = props;
  const at = new Date(entry.at);
  return (
    <li
      className={`message gift ${entry.status}${entry.own ? " own" : ""}`}
      data-testid="chat-gift"
      data-message-id={entry.messageId}
      data-status={entry.status}
    >
      <div className="gift-line">
        <GiftPicture gift={entry.gift} />
        <p>{entry.text}</p>
        <time dateTime={at.toISOString()}>{TIME.format(at)}</time>
      </div>
      <Beneath {...props} />
    </li>
  );
});

/** What can be done about an entry, and what became of its sending. */
function Beneath({ entry, onRetry, onModerate, sanction }: EntryProps<PersonEntry>): ReactNode {
  return (
    <>
      {onModerate !== undefined && !entry.own && (
        <MessageMenu entry={entry} onModerate={onModerate} sanction={sanction} />
      )}
      {entry.status === "pending" && <span className="message-note">{entry.note ?? "Sending…"}</span>}
      {entry.status === "failed" && (
        <span className="message-note failed" role="alert">
          {entry.kind === "gift" ? "Not given" : "Not sent"}: {entry.note}{" "}
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
    </>
  );
}

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
