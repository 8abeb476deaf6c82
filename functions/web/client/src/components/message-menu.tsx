import { useId, useState, type KeyboardEvent, type ReactNode } from "react";

import { ModerationAction } from "../protocol/messages.ts";
import type { Moderation } from "../room/connection.ts";
import type { ChatEntry } from "../room/timeline.ts";
import { Icon } from "./icons.tsx";

const TIME_OUT_S = 600;

interface MessageMenuProps {
  readonly entry: ChatEntry;
  readonly onModerate: (moderation: Moderation) => void;
}

/** What a moderator can do about a message, opened beneath it: nothing in a list that scrolls can cut it off. */
export function MessageMenu({ entry, onModerate }: MessageMenuProps): ReactNode {
  const [open, setOpen] = useState(false);
  const id = useId();
  const { offset, sender, name } = entry;

  const act = (moderation: Partial<Moderation> & Pick<Moderation, "action">): void => {
    setOpen(false);
    onModerate({ participant: null, offset: null, seconds: null, ...moderation });
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Escape") setOpen(false);
  };

  return (
    <div className={open ? "message-menu open" : "message-menu"} onKeyDown={onKeyDown}>
      <button
        type="button"
        className="menu-toggle"
        data-testid="message-menu"
        aria-label={`Moderate ${name}’s message`}
        aria-expanded={open}
        aria-controls={id}
        onClick={() => {
          setOpen(!open);
        }}
      >
        <Icon name="more" />
      </button>
      <div id={id} className="menu-actions" hidden={!open}>
        <button
          type="button"
          className="button small"
          data-testid="message-delete"
          disabled={offset === null}
          onClick={() => {
            act({ action: ModerationAction.delete, offset });
          }}
        >
          Delete
        </button>
        <button
          type="button"
          className="button small"
          data-testid="message-time-out"
          onClick={() => {
            act({ action: ModerationAction.timeOut, participant: sender, seconds: TIME_OUT_S });
          }}
        >
          Time out 10 min
        </button>
        <button
          type="button"
          className="button small danger"
          data-testid="message-ban"
          onClick={() => {
            act({ action: ModerationAction.ban, participant: sender });
          }}
        >
          Ban
        </button>
      </div>
    </div>
  );
}
