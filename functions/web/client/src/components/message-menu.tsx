import { useId, useState, type KeyboardEvent, type ReactNode } from "react";

import { ModerationAction } from "../protocol/messages.ts";
import type { Moderation } from "../room/connection.ts";
import type { Decision } from "../room/sanctions.ts";
import type { PersonEntry } from "../room/timeline.ts";
import { Icon } from "./icons.tsx";
import { PersonActions } from "./person-actions.tsx";

interface MessageMenuProps {
  readonly entry: PersonEntry;
  readonly onModerate: (moderation: Moderation) => void;
  readonly sanction?: Decision | undefined;
}

/** What a moderator can do about a message, opened beneath it: nothing in a list that scrolls can cut it off. */
export function MessageMenu({ entry, onModerate, sanction }: MessageMenuProps): ReactNode {
  /** When it was opened, ms since 1970: what holds then is what it offers to end. */
  const [openedAt, setOpenedAt] = useState<number | null>(null);
  const open = openedAt !== null;
  const id = useId();
  const { offset, sender, name } = entry;

  const act = (moderation: Moderation): void => {
    setOpenedAt(null);
    onModerate(moderation);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Escape") setOpenedAt(null);
  };

  return (
    <div className={open ? "message-menu open" : "message-menu"} onKeyDown={onKeyDown}>
      <button
        type="button"
        className="menu-toggle"
        data-testid="message-menu"
        aria-label={`Moderate ${name}’s ${entry.kind === "gift" ? "gift" : "message"}`}
        aria-expanded={open}
        aria-controls={id}
        onClick={() => {
          setOpenedAt(open ? null : Date.now());
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
            act({ action: ModerationAction.delete, participant: null, offset, seconds: null });
          }}
        >
          Delete
        </button>
        <PersonActions
          participant={sender}
          sanction={sanction}
          at={openedAt ?? 0}
          testIds="message"
          onModerate={act}
        />
      </div>
    </div>
  );
}
