import { useState, type KeyboardEvent, type ReactNode, type SyntheticEvent } from "react";

import { MAX_CHAT_CHARACTERS } from "../protocol/messages.ts";
import { Icon } from "./icons.tsx";

const GRAPHEMES = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The room counts characters as their reader does, an emoji of a family as one. */
function countCharacters(text: string): number {
  return Array.from(GRAPHEMES.segment(text)).length;
}

interface ChatInputProps {
  readonly onSend: (text: string) => void;
  /** At every change that is not the end of it. */
  readonly onTyping?: (() => void) | undefined;
  /** What else can be sent, in front of the field. */
  readonly children?: ReactNode;
}

export function ChatInput({ onSend, onTyping, children }: ChatInputProps): ReactNode {
  const [text, setText] = useState("");
  const trimmed = text.trim();
  const remaining = MAX_CHAT_CHARACTERS - countCharacters(trimmed);
  const sendable = trimmed !== "" && remaining >= 0;

  const send = (): void => {
    if (!sendable) return;
    onSend(trimmed);
    setText("");
  };

  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    send();
  };

  const onKeyDown = (event: KeyboardEvent): void => {
    // Enter also confirms a word in an input method; that is not meant for us.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };

  return (
    <form className="chat-form" onSubmit={onSubmit}>
      {children}
      <label className="visually-hidden" htmlFor="chat-input">
        Message
      </label>
      <textarea
        id="chat-input"
        data-testid="chat-input"
        rows={1}
        placeholder="Say something"
        value={text}
        aria-describedby="chat-remaining"
        aria-invalid={remaining < 0}
        enterKeyHint="send"
        onChange={(event) => {
          setText(event.target.value);
          if (event.target.value !== "") onTyping?.();
        }}
        onKeyDown={onKeyDown}
      />
      <span id="chat-remaining" className={remaining < 0 ? "remaining over" : "remaining"} hidden={trimmed === ""}>
        {remaining}
        <span className="visually-hidden"> characters left</span>
      </span>
      <button
        type="submit"
        className="icon-button send"
        data-testid="chat-send"
        aria-label="Send message"
        disabled={!sendable}
      >
        <Icon name="send" />
      </button>
    </form>
  );
}
