import { useId, useRef, useState, type ReactNode } from "react";

import type { ConnectionState, Moderation } from "../room/connection.ts";
import { NO_SANCTIONS, type Sanctions } from "../room/sanctions.ts";
import { typingSentence } from "../room/sentences.ts";
import type { Timeline, TimelineEntry } from "../room/timeline.ts";
import type { Typists } from "../room/typing-watch.ts";
import { GiftMessage, Message, Notice } from "./chat-entries.tsx";
import { ChatInput } from "./chat-input.tsx";
import { GiftPicker } from "./gift-picker.tsx";
import { Icon } from "./icons.tsx";
import { useStickToEnd } from "./use-stick-to-end.ts";

interface ChatPanelProps {
  readonly timeline: Timeline;
  readonly connection: ConnectionState;
  readonly typists?: Typists;
  readonly onSend: (text: string) => void;
  readonly onRetry: (messageId: number) => void;
  readonly onReconnect: () => void;
  readonly onTyping?: () => void;
  /** Given to those who may give. */
  readonly onGive?: ((gift: string, quantity: number) => void) | undefined;
  /** Given to those who may; the same function over time, or every message is drawn anew. */
  readonly onModerate?: ((moderation: Moderation) => void) | undefined;
  /** What moderators have decided about people. */
  readonly sanctions?: Sanctions;
}

/** A pause after which the same sender is named again. */
const GROUP_MS = 5 * 60_000;

const NOBODY: Typists = { names: [], count: 0 };

export function ChatPanel({
  timeline,
  connection,
  typists = NOBODY,
  onSend,
  onRetry,
  onReconnect,
  onTyping,
  onGive,
  onModerate,
  sanctions = NO_SANCTIONS,
}: ChatPanelProps): ReactNode {
  const entries: readonly TimelineEntry[] = [...timeline.log, ...timeline.unsent];
  const { ref, onScroll, unseen, toEnd } = useStickToEnd<HTMLOListElement>(entries.at(-1)?.key);
  const typing = typingSentence(typists);
  const slowed = timeline.unsent.some(({ kind, status, note }) => kind === "chat" && status === "pending" && note !== null);

  const [giving, setGiving] = useState(false);
  const giftButton = useRef<HTMLButtonElement>(null);
  const pickerId = useId();
  const closePicker = (): void => {
    setGiving(false);
    giftButton.current?.focus();
  };

  return (
    <section className="chat" aria-label="Chat">
      <h2 className="chat-title">Chat</h2>
      {connection === "reconnecting" && (
        <div className="chat-banner" role="status">
          <span className="spinner" aria-hidden="true" />
          <span>Reconnecting. What you write is sent once we are back.</span>
          <button type="button" className="link" onClick={onReconnect}>
            Retry now
          </button>
        </div>
      )}
      <div className="chat-scroll">
        <ol
          ref={ref}
          className="chat-list"
          role="log"
          aria-live="polite"
          aria-relevant="additions"
          aria-label="Messages"
          tabIndex={0}
          onScroll={onScroll}
        >
          {entries.length === 0 && <li className="chat-empty">No messages yet. Say hello!</li>}
          {entries.map((entry, index) =>
            entry.kind === "notice" ? (
              <Notice key={entry.key} entry={entry} />
            ) : entry.kind === "gift" ? (
              <GiftMessage
                key={entry.key}
                entry={entry}
                onRetry={onRetry}
                onModerate={onModerate}
                sanction={sanctions.get(entry.sender)}
              />
            ) : (
              <Message
                key={entry.key}
                entry={entry}
                headed={startsGroup(entries[index - 1], entry)}
                onRetry={onRetry}
                onModerate={onModerate}
                sanction={sanctions.get(entry.sender)}
              />
            ),
          )}
        </ol>
        {unseen && (
          <button type="button" className="button small new-messages" onClick={toEnd}>
            <Icon name="down" /> New messages
          </button>
        )}
      </div>
      {slowed && (
        <div className="chat-banner" role="status">
          <Icon name="warning" />
          <span>Your messages wait their turn: they are sent as soon as the room accepts them.</span>
        </div>
      )}
      <div className="typing-line">{typing !== null && <p data-testid="typing">{typing}</p>}</div>
      {giving && onGive !== undefined && (
        <GiftPicker
          id={pickerId}
          onClose={closePicker}
          onGive={(gift, quantity) => {
            onGive(gift, quantity);
            closePicker();
            toEnd();
          }}
        />
      )}
      <ChatInput
        onTyping={onTyping}
        onSend={(text) => {
          onSend(text);
          toEnd();
        }}
      >
        {onGive !== undefined && (
          <button
            ref={giftButton}
            type="button"
            className="icon-button"
            data-testid="gift-open"
            aria-label="Give a gift"
            title="Give a gift"
            aria-expanded={giving}
            aria-controls={pickerId}
            onClick={() => {
              setGiving(!giving);
            }}
          >
            <Icon name="gift" />
          </button>
        )}
      </ChatInput>
    </section>
  );
}

function startsGroup(previous: TimelineEntry | undefined, entry: TimelineEntry): boolean {
  return (
    previous?.kind !== "chat" ||
    entry.kind !== "chat" ||
    previous.sender !== entry.sender ||
    entry.at - previous.at > GROUP_MS
  );
}
